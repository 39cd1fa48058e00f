"""A random forest on the concatenated blocks."""

from sklearn.ensemble import RandomForestClassifier

from stages import params
from stages.classifiers.sklearn_model import SklearnModel, load
from stages.features import Features

__all__ = ["fit", "load"]


def fit(
    settings: params.RandomForest, seed: int, train: Features, validation: Features
) -> SklearnModel:
    """Fit on the training products; the validation products are not looked at."""
    estimator = RandomForestClassifier(
        n_estimators=settings.n_estimators,
        max_features=settings.max_features,
        min_samples_leaf=settings.min_samples_leaf,
        class_weight=settings.class_weight,
        random_state=seed,
        n_jobs=-1,
    )
    estimator.fit(train.matrix(), train.labels)
    # Several threads would add the trees' votes up in another order each time.
    return SklearnModel(estimator.set_params(n_jobs=1))
