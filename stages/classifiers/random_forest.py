"""A random forest on the principal components of the concatenated blocks.

A tree splits on one number at a time. One of thousands says next to nothing, a principal component
says more, and image blocks no longer outnumber the text's. Each tree draws at most `max_samples`
products: otherwise the forest of a large catalogue would be as large as the catalogue.

One more vote is shared by all classes (the m-estimate of Cestnik 1990, Estimating Probabilities: A
Crucial Task in Machine Learning, with m = 1). No vote of a hundred trees does not mean that a class
is impossible, and a pool that took it so would trust the forest in nothing.
"""

from typing import Any, Literal

import numpy as np

from stages.classifiers.base.estimators import SklearnClassifier
from stages.classifiers.base.interface import ClassifierSettings
from stages.common.blocks import Blocks
from stages.common.large_arrays import slices
from stages.common.settings import Positive, Share

SAMPLE = 20_000  # products that components are learnt from, at most


class Settings(ClassifierSettings):
    """A random forest on principal components."""

    pca_components: Positive
    n_estimators: Positive
    criterion: Literal["gini", "entropy"]
    max_features: Literal["sqrt", "log2"] | Share
    min_samples_leaf: Positive
    max_samples: Positive
    class_weight: Literal["balanced", "balanced_subsample"] | None


class Classifier(SklearnClassifier):
    """A random forest on principal components."""

    settings: Settings

    def build(self, n: int, n_features: int) -> Any:
        """Return the estimator to fit on a matrix of shape (n, n_features)."""
        from sklearn.decomposition import PCA
        from sklearn.ensemble import RandomForestClassifier
        from sklearn.pipeline import make_pipeline

        n_components = min(self.settings.pca_components, n, n_features)
        class_weight = self.settings.class_weight  # "balanced" in `fit_estimator`
        return make_pipeline(
            PCA(n_components, svd_solver="randomized", random_state=self.seed),
            RandomForestClassifier(
                n_estimators=self.settings.n_estimators,
                criterion=self.settings.criterion,
                max_features=self.settings.max_features,
                min_samples_leaf=self.settings.min_samples_leaf,
                max_samples=min(self.settings.max_samples, n),
                class_weight=None if class_weight == "balanced" else class_weight,
                random_state=self.seed,
                n_jobs=-1,
            ),
        )

    def fit_estimator(self, estimator: Any, matrix: np.ndarray, y: np.ndarray) -> None:
        """Fit to the training products, components to a sample of them if they are many.

        Of products that are more than memory holds, only the components are in memory.
        """
        from sklearn.utils.class_weight import compute_sample_weight

        pca, forest = estimator
        drawn = np.sort(np.random.default_rng(self.seed).permutation(len(matrix))[:SAMPLE])
        pca.fit(matrix[drawn])
        reduced = np.concatenate([pca.transform(matrix[rows]) for rows in slices(len(matrix))])
        weights = None
        if self.settings.class_weight == "balanced":
            # Not by the forest: it takes classes that are digits for numbers, and finds none.
            weights = compute_sample_weight("balanced", y)
        forest.fit(reduced, y, sample_weight=weights)
        # Several threads would add the trees' votes up in another order each time.
        forest.set_params(n_jobs=1)

    def predict_proba(self, X: Blocks) -> np.ndarray:
        """Return the probability of each class, float32 of shape (n, len(classes_)), above 0."""
        shares = super().predict_proba(X)
        n_trees = np.float32(self.estimator[-1].n_estimators)
        return (shares * n_trees + 1 / np.float32(shares.shape[1])) / (n_trees + 1)
