"""A support vector machine with a Gaussian kernel on the concatenated blocks."""

import numpy as np
from sklearn.svm import SVC

from stages import params
from stages.classifiers.sklearn_model import SklearnModel, decision_scores, fit_temperature, load
from stages.features import Features

__all__ = ["fit", "load"]


def fit(settings: params.Svm, seed: int, train: Features, validation: Features) -> SklearnModel:
    """Fit on the training products, and the scale of its probabilities on the validation ones."""
    estimator = SVC(C=settings.C, gamma=settings.gamma, class_weight=settings.class_weight)
    estimator.fit(train.matrix(), train.labels)
    known = validation.where(np.isin(validation.labels, estimator.classes_))
    scores = decision_scores(estimator, known.matrix())
    return SklearnModel(estimator, fit_temperature(scores, estimator.classes_, known.labels))
