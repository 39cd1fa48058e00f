"""A random forest on the principal components of the concatenated blocks.

A tree asks about one number at a time, and of thousands each tells next to nothing; the first
components tell more, and picture blocks no longer outnumber the text's. Each tree draws
`max_samples` products at most: the forest of a large catalogue is otherwise as large as it.
"""

from typing import Literal

from stages.classifiers.base import ClassifierSettings, SklearnModel, load
from stages.common.settings import Positive, Share
from stages.fusion.features import Features

__all__ = ["fit", "load"]


class Settings(ClassifierSettings):
    """A random forest on principal components."""

    pca_components: Positive
    n_estimators: Positive
    criterion: Literal["gini", "entropy"]
    max_features: Literal["sqrt", "log2"] | Share
    min_samples_leaf: Positive
    max_samples: Positive
    class_weight: Literal["balanced", "balanced_subsample"] | None


def fit(
    settings: Settings, seed: int, train: Features, validation: Features | None
) -> SklearnModel:
    """Fit on the training products; the validation products are not looked at."""
    from sklearn.decomposition import PCA
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.pipeline import make_pipeline

    matrix = train.matrix()
    components = PCA(
        min(settings.pca_components, *matrix.shape), svd_solver="randomized", random_state=seed
    )
    forest = RandomForestClassifier(
        n_estimators=settings.n_estimators,
        criterion=settings.criterion,
        max_features=settings.max_features,
        min_samples_leaf=settings.min_samples_leaf,
        max_samples=min(settings.max_samples, len(matrix)),
        class_weight=settings.class_weight,
        random_state=seed,
        n_jobs=-1,
    )
    estimator = make_pipeline(components, forest).fit(matrix, train.labels)
    # Several threads would add the trees' votes up in another order each time.
    forest.set_params(n_jobs=1)
    return SklearnModel(estimator)
