"""A support vector machine with a Gaussian kernel on the concatenated blocks.

The time that it takes to fit grows with the square of the number of products. Beyond
`nystroem_above` of them it is a fixed-size least-squares one (Suykens et al. 2002, Least Squares
Support Vector Machines): ridge regression on the Nyström approximation of the kernel by so many
`n_components` (Williams and Seeger 2001).
"""

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from stages.classifiers import base as sklearn_model
from stages.classifiers.base import ClassifierSettings, SklearnModel
from stages.common.settings import Positive, PositiveFloat
from stages.fusion.features import Features

__all__ = ["fit", "load"]


class Settings(ClassifierSettings):
    """A support vector machine with a Gaussian kernel, approximated where products are many."""

    C: PositiveFloat
    gamma: PositiveFloat
    nystroem_above: Annotated[int, Field(ge=0)]
    n_components: Positive
    class_weight: Literal["balanced"] | None


class SvmModel(SklearnModel):
    """A machine for each pair of classes, or for each class where it is approximated."""

    def predict_proba(self, features: Features) -> np.ndarray:
        """Return float32 of shape (n, len(classes)): the probability of each class.

        They are the softmax of `closest_duels`, scikit-learn's own scores counting duels won: they
        choose the same class, and say next to nothing of how sure that is. Of an approximated
        machine they are the softmax of its scores.
        """
        from scipy.special import softmax
        from sklearn.pipeline import Pipeline

        scores = self.estimator.decision_function(features.matrix())
        if not isinstance(self.estimator, Pipeline):
            scores = closest_duels(scores, len(self.classes))
        elif scores.ndim == 1:
            scores = np.column_stack([-scores, scores])
        return softmax(scores, axis=1).astype(np.float32)


def fit(
    settings: Settings, seed: int, train: Features, validation: Features | None
) -> SklearnModel:
    """Fit on the training products; the validation products are not looked at."""
    from sklearn.kernel_approximation import Nystroem
    from sklearn.linear_model import RidgeClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import SVC

    if len(train.labels) <= settings.nystroem_above:
        estimator = SVC(
            C=settings.C,
            gamma=settings.gamma,
            class_weight=settings.class_weight,
            decision_function_shape="ovo",
        )
    else:
        landmarks = min(settings.n_components, len(train.labels))
        estimator = make_pipeline(
            Nystroem(gamma=settings.gamma, n_components=landmarks, random_state=seed),
            RidgeClassifier(1 / settings.C, class_weight=settings.class_weight),
        )
    return SvmModel(estimator.fit(train.matrix(), train.labels))


def load(folder: Path) -> SklearnModel:
    """Load what `SvmModel.save` wrote; raises InputError as `sklearn_model.load` does."""
    return SvmModel(sklearn_model.load(folder).estimator)


def closest_duels(decisions: np.ndarray, classes: int) -> np.ndarray:
    """Return each class's smallest margin over another, float64 of shape (n, classes).

    `decisions` are those of one machine per pair of classes, of shape (n, pairs) in the order (0,
    1), (0, 2), ..., positive where the first wins; for two classes of shape (n,), positive where
    the second does.
    """
    if classes == 2:
        return np.column_stack([-decisions, decisions])
    margins = np.full((len(decisions), classes, classes), np.inf)
    for pair, (one, other) in enumerate(zip(*np.triu_indices(classes, 1), strict=True)):
        margins[:, one, other] = decisions[:, pair]
        margins[:, other, one] = -decisions[:, pair]
    return margins.min(axis=2)
