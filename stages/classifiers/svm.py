"""A support vector machine with a Gaussian kernel on the concatenated blocks.

The time to fit it grows with the square of the number of products. Beyond `nystroem_above` products
it is a fixed-size least-squares machine (Suykens et al. 2002, Least Squares Support Vector
Machines): ridge regression on the Nyström approximation of the kernel by `n_components` products
(Williams and Seeger 2001).

Either is a few vectors, and what the kernel between them and a product counts: matrix products,
which take a tenth of the time of scikit-learn's own prediction. As in libsvm, a vector has a number
for each class that its own meets, and not for each pair of classes, of which there may be many.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field
from scipy.special import softmax

from stages.classifiers.base.arrays import ArrayClassifier
from stages.classifiers.base.interface import ClassifierSettings
from stages.common.blocks import Blocks, concatenate
from stages.common.errors import InputError
from stages.common.large_arrays import slices
from stages.common.settings import Positive, PositiveFloat

BATCH = 1024  # products that the kernel is computed for at a time, fewer where classes are many
DUELS = 2**23  # numbers in memory, a product having one for each two classes


class Settings(ClassifierSettings):
    """A support vector machine with a Gaussian kernel, approximated where products are many."""

    C: PositiveFloat
    gamma: PositiveFloat
    nystroem_above: Annotated[int, Field(ge=0)]
    n_components: Positive
    class_weight: Literal["balanced"] | None

    @property
    def is_slow_to_fit(self) -> bool:
        """Whether a fit takes far longer than to read the features, and one core."""
        return True

    def bytes_for(self, n: int) -> int:
        """Return the bytes of the largest kernel that is not approximated, and of its distances.

        Of n products some are not for training, so that these may be few enough where n is not.
        """
        return 2 * 8 * min(n, self.nystroem_above) ** 2


class Classifier(ArrayClassifier):
    """A machine for each pair of classes, or for each class where it is approximated."""

    settings: Settings | None
    build_file = "machine.json"

    def fit(
        self, X: Blocks, y: np.ndarray, validation: tuple[Blocks, np.ndarray] | None = None
    ) -> Self:
        """Fit on the training products; the validation products are not used.

        Raises InputError where C is too large for the approximation of so many components.
        """
        assert self.settings is not None
        matrix = concatenate(X, self.block_weights)
        is_exact = len(matrix) <= self.settings.nystroem_above
        fit = self._fit_pairs if is_exact else self._fit_approximated
        self.classes_ = sorted(set(y.tolist()))
        self._build = {
            "classes": self.classes_,
            "block_weights": self.block_weights,
            "n_features": matrix.shape[1],
            "gamma": self.settings.gamma,
            "is_exact": is_exact,
        }
        self._variables = fit(self.settings, matrix, y)
        self._build["n_vectors"] = len(self._variables["vectors"])
        vars(self).pop("_vectors", None)  # of an earlier fit
        return self

    def _fit_pairs(
        self, settings: Settings, matrix: np.ndarray, y: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Fit a machine for each pair of classes; keep the products that support one."""
        from sklearn.metrics.pairwise import rbf_kernel
        from sklearn.svm import SVC

        machine = SVC(
            C=settings.C,
            kernel="precomputed",  # by one product of matrices, which libsvm does not use
            class_weight=settings.class_weight,
            decision_function_shape="ovo",
        )
        machine.fit(rbf_kernel(matrix.astype(np.float64), gamma=settings.gamma), y)
        self._build["n_support"] = machine.n_support_.tolist()
        # Of two classes, scikit-learn's machine is positive where the second wins.
        sign = -1 if len(self.classes_) == 2 else 1
        return {
            "vectors": matrix[machine.support_],
            "weights": np.ascontiguousarray(sign * machine.dual_coef_.T),
            "intercepts": sign * machine.intercept_,
        }

    def _fit_approximated(
        self, settings: Settings, matrix: np.ndarray, y: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Fit a machine for each class to the kernel between products and some of them.

        The products are read once, some at a time, and what is kept of them is the size of the
        machine: they may be more than memory holds.
        """
        from scipy.linalg import LinAlgError, solve
        from sklearn.kernel_approximation import Nystroem
        from sklearn.metrics.pairwise import rbf_kernel
        from sklearn.utils.class_weight import compute_sample_weight

        n_components = min(settings.n_components, len(matrix))
        nystroem = Nystroem(gamma=settings.gamma, n_components=n_components, random_state=self.seed)
        vectors = nystroem.fit(matrix).components_
        counts = compute_sample_weight(settings.class_weight, y)
        columns = np.searchsorted(self.classes_, y)
        products = np.zeros((n_components, n_components))
        sums, total = np.zeros((n_components, len(self.classes_))), np.zeros(n_components)
        for rows in slices(len(matrix)):
            kernel = rbf_kernel(matrix[rows], vectors, gamma=settings.gamma).astype(np.float64)
            roots = np.sqrt(counts[rows])[:, None]
            kernel *= roots
            products += kernel.T @ kernel  # symmetric, so that NumPy computes half of it
            sums += kernel.T @ (roots * targets(columns[rows], len(self.classes_)))
            total += (kernel.T @ roots)[:, 0]
        # Ridge regression, which does not shrink the intercept: about the means of both sides.
        frequencies = np.bincount(columns, counts) / counts.sum()
        mean, mean_target = total / counts.sum(), 2 * frequencies - 1
        products -= np.outer(total, mean)
        sums -= np.outer(total, mean_target)
        scale = nystroem.normalization_.T.astype(np.float64)
        shrunk = scale.T @ products @ scale + np.eye(n_components) / settings.C
        try:
            weights = scale @ solve(shrunk, scale.T @ sums, assume_a="pos")
        except LinAlgError:  # of products that are alike, whose directions 1 / C alone holds
            raise InputError(
                f"C is {settings.C:g}, with which an SVM of {n_components} components cannot be "
                "computed: lower the classifier's C or n_components"
            ) from None
        return {"vectors": vectors, "weights": weights, "intercepts": mean_target - mean @ weights}

    def predict_proba(self, X: Blocks) -> np.ndarray:
        """Return the probability of each class, float32 of shape (n, len(classes_)).

        It is the softmax of `closest_duels`. scikit-learn's own scores count duels won: they choose
        the same class, and say next to nothing of how sure that is. An approximated machine's are
        the softmax of its scores.
        """
        matrix = concatenate(X, self.block_weights)
        n_classes = len(self.classes_)
        found = np.empty((len(matrix), n_classes), dtype=np.float32)
        size = min(BATCH, max(DUELS // n_classes**2, 1))
        for start in range(0, len(matrix), size):
            rows = slice(start, start + size)
            kernel = self._kernel(matrix[rows])
            if self._build["is_exact"]:
                scores = closest_duels(self._decisions(kernel), n_classes)
            else:
                scores = kernel @ self._variables["weights"] + self._variables["intercepts"]
            found[rows] = softmax(scores, axis=1)
        return found

    def _decisions(self, kernel: np.ndarray) -> np.ndarray:
        """Return the decision of the machine of each pair of classes; see `closest_duels`.

        `kernel` is float64 of shape (n, len(vectors)). The vectors lie class by class.
        """
        weights, sizes = self._variables["weights"], self._build["n_support"]
        # What a class's own vectors say, against each of the others.
        shares = np.empty((len(kernel), len(sizes), len(sizes) - 1))
        start = 0
        for number, size in enumerate(sizes):
            own = slice(start, start + size)
            np.matmul(kernel[:, own], weights[own], out=shares[:, number])
            start += size
        one, other = np.triu_indices(len(sizes), 1)
        return shares[:, one, other - 1] + shares[:, other, one] + self._variables["intercepts"]

    def _kernel(self, matrix: np.ndarray) -> np.ndarray:
        """Return the kernel between products and the vectors, float64 (n, len(vectors))."""
        vectors, lengths = self._vectors
        rows = matrix.astype(np.float64)
        distances = np.square(rows).sum(axis=1)[:, None] + lengths - 2 * rows @ vectors.T
        kernel = np.exp(-self._build["gamma"] * np.maximum(distances, 0))
        # An approximated machine was fitted to a kernel in float32, and its weights are large.
        return kernel if self._build["is_exact"] else kernel.astype(np.float32).astype(np.float64)

    @cached_property
    def _vectors(self) -> tuple[np.ndarray, np.ndarray]:
        """The vectors in float64, and the squares of their lengths."""
        vectors = self._variables["vectors"].astype(np.float64)
        return vectors, np.square(vectors).sum(axis=1)

    @staticmethod
    def block_weights_of(build: Mapping[str, Any]) -> dict[str, float]:
        """Return what each block is multiplied with, by a description."""
        return build["block_weights"]

    @staticmethod
    def shapes_of(build: Mapping[str, Any]) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
        """Return the shape and type of each array, by a description."""
        np.exp(build["gamma"])  # a number
        n_vectors, n_classes = build["n_vectors"], len(build["classes"])
        n_weights = n_scores = n_classes
        if build["is_exact"]:
            n_weights, n_scores = n_classes - 1, n_classes * (n_classes - 1) // 2
            sizes = build["n_support"]
            are_counts = all(isinstance(size, int) and size >= 0 for size in sizes)
            if not are_counts or len(sizes) != n_classes or sum(sizes) != n_vectors:
                raise ValueError("vectors that are not those of its classes")
        return {
            "vectors": ((n_vectors, build["n_features"]), np.dtype(np.float32)),
            "weights": ((n_vectors, n_weights), np.dtype(np.float64)),
            "intercepts": ((n_scores,), np.dtype(np.float64)),
        }


def targets(columns: np.ndarray, classes: int) -> np.ndarray:
    """Return 1 for each product's own class and -1 for the others, float64 (n, classes)."""
    found = np.full((len(columns), classes), -1.0)
    found[np.arange(len(columns)), columns] = 1
    return found


def closest_duels(decisions: np.ndarray, classes: int) -> np.ndarray:
    """Return each class's smallest margin over another, float64 of shape (n, classes).

    `decisions` are those of one machine per pair of classes, of shape (n, pairs) in the order (0,
    1), (0, 2), ..., positive where the first wins.
    """
    margins = np.full((len(decisions), classes, classes), np.inf)
    one, other = np.triu_indices(classes, 1)
    margins[:, one, other] = decisions
    margins[:, other, one] = -decisions
    return margins.min(axis=2)
