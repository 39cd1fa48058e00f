"""Multinomial logistic regression on the concatenated blocks."""

from typing import Literal

from stages.classifiers.base import ClassifierSettings, SklearnModel, load
from stages.common.settings import Positive, PositiveFloat
from stages.fusion.features import Features

__all__ = ["fit", "load"]


class Settings(ClassifierSettings):
    """Multinomial logistic regression."""

    C: PositiveFloat
    class_weight: Literal["balanced"] | None
    max_iter: Positive


def fit(
    settings: Settings, seed: int, train: Features, validation: Features | None
) -> SklearnModel:
    """Fit on the training products; the validation products are not looked at."""
    from sklearn.linear_model import LogisticRegression

    estimator = LogisticRegression(
        C=settings.C,
        class_weight=settings.class_weight,
        max_iter=settings.max_iter,
        random_state=seed,
    )
    return SklearnModel(estimator.fit(train.matrix(), train.labels))
