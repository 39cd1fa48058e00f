"""Multinomial logistic regression on the concatenated blocks."""

from sklearn.linear_model import LogisticRegression

from stages import params
from stages.classifiers.base import SklearnModel, load
from stages.fusion.features import Features

__all__ = ["fit", "load"]


def fit(
    settings: params.LogisticRegression, seed: int, train: Features, validation: Features | None
) -> SklearnModel:
    """Fit on the training products; the validation products are not looked at."""
    estimator = LogisticRegression(
        C=settings.C,
        class_weight=settings.class_weight,
        max_iter=settings.max_iter,
        random_state=seed,
    )
    return SklearnModel(estimator.fit(train.matrix(), train.labels))
