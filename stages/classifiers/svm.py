"""A support vector machine with a Gaussian kernel on the concatenated blocks.

The time to fit it grows with the square of the number of products. Beyond `nystroem_above` products
it is a fixed-size least-squares machine (Suykens et al. 2002, Least Squares Support Vector
Machines): ridge regression on the Nyström approximation of the kernel by `n_components` products
(Williams and Seeger 2001).
"""

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from stages.classifiers.base import ClassifierSettings, SklearnClassifier
from stages.common.blocks import Blocks, concatenate
from stages.common.settings import Positive, PositiveFloat


class Settings(ClassifierSettings):
    """A support vector machine with a Gaussian kernel, approximated where products are many."""

    C: PositiveFloat
    gamma: PositiveFloat
    nystroem_above: Annotated[int, Field(ge=0)]
    n_components: Positive
    class_weight: Literal["balanced"] | None


class Classifier(SklearnClassifier):
    """A machine for each pair of classes, or for each class where it is approximated."""

    settings: Settings

    def build(self, n: int, n_features: int) -> Any:
        """Return the estimator to fit on a matrix of shape (n, n_features)."""
        from sklearn.kernel_approximation import Nystroem
        from sklearn.linear_model import RidgeClassifier
        from sklearn.pipeline import make_pipeline
        from sklearn.svm import SVC

        settings = self.settings
        if n <= settings.nystroem_above:
            return SVC(
                C=settings.C,
                gamma=settings.gamma,
                class_weight=settings.class_weight,
                decision_function_shape="ovo",
            )
        n_components = min(settings.n_components, n)
        return make_pipeline(
            Nystroem(gamma=settings.gamma, n_components=n_components, random_state=self.seed),
            RidgeClassifier(1 / settings.C, class_weight=settings.class_weight),
        )

    def predict_proba(self, X: Blocks) -> np.ndarray:
        """Return the probability of each class, float32 of shape (n, len(classes_)).

        It is the softmax of `closest_duels`. scikit-learn's own scores count duels won: they choose
        the same class, and say next to nothing of how sure that is. An approximated machine's are
        the softmax of its scores.
        """
        from scipy.special import softmax
        from sklearn.pipeline import Pipeline

        scores = self.estimator.decision_function(concatenate(X, self.block_weights))
        if not isinstance(self.estimator, Pipeline):
            scores = closest_duels(scores, len(self.classes_))
        elif scores.ndim == 1:
            scores = np.column_stack([-scores, scores])
        return softmax(scores, axis=1).astype(np.float32)


def closest_duels(decisions: np.ndarray, classes: int) -> np.ndarray:
    """Return each class's smallest margin over another, float64 of shape (n, classes).

    `decisions` are those of one machine per pair of classes, of shape (n, pairs) in the order (0,
    1), (0, 2), ..., positive where the first wins; for two classes of shape (n,), positive where
    the second does.
    """
    if classes == 2:
        return np.column_stack([-decisions, decisions])
    margins = np.full((len(decisions), classes, classes), np.inf)
    one, other = np.triu_indices(classes, 1)
    margins[:, one, other] = decisions
    margins[:, other, one] = -decisions
    return margins.min(axis=2)
