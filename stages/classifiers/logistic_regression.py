"""Multinomial logistic regression on the concatenated blocks."""

import sys
import warnings
from functools import cache
from typing import Any, Literal

import numpy as np

from stages.classifiers.base.estimators import SklearnClassifier
from stages.classifiers.base.interface import ClassifierSettings
from stages.common.settings import Positive, PositiveFloat


class Settings(ClassifierSettings):
    """Multinomial logistic regression."""

    C: PositiveFloat
    class_weight: Literal["balanced"] | None
    max_iter: Positive


class Classifier(SklearnClassifier):
    """Multinomial logistic regression."""

    settings: Settings

    def build(self, n: int, n_features: int) -> Any:
        """Return the estimator to fit."""
        from sklearn.linear_model import LogisticRegression

        return LogisticRegression(
            C=self.settings.C,
            class_weight=self.settings.class_weight,
            max_iter=self.settings.max_iter,
            random_state=self.seed,
        )

    def fit_estimator(self, estimator: Any, matrix: np.ndarray, y: np.ndarray) -> None:
        """Fit to the training products; say where that took all iterations."""
        from sklearn.exceptions import ConvergenceWarning

        with warnings.catch_warnings():
            # Nine lines, which name neither the classifier nor its setting.
            warnings.filterwarnings(
                "ignore", "(?s).*Increase the number of iterations", ConvergenceWarning
            )
            estimator.fit(matrix, y)
        if estimator.n_iter_.max() >= self.settings.max_iter:
            _say_limit(self.settings.max_iter)


@cache
def _say_limit(max_iter: int) -> None:
    """Say it once for all models of a process."""
    print(
        f"warning: logistic_regression took all {max_iter} iterations and may not be at its best: "
        "raise classifiers.logistic_regression.max_iter",
        file=sys.stderr,
    )
