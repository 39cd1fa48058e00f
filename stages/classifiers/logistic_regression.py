"""Multinomial logistic regression on the concatenated blocks."""

from typing import Any, Literal

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
