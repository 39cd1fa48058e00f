"""What every kind of classifier offers.

A kind is a module of this room with two classes: `Settings`, which says what its entry in
params.yaml may hold, and `Classifier`, which has the methods of the protocol below.
"""

from collections.abc import Collection, Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, Self

import numpy as np

from stages.common.blocks import Blocks
from stages.common.settings import Settings


class ClassifierSettings(Settings):
    """The settings of a classifier in params.yaml; each kind adds its own fields."""

    @property
    def reads_inputs_of(self) -> tuple[str, ...]:
        """The encoders whose texts or images the classifier reads itself; none for most.

        They come as an InputBlock of each.
        """
        return ()

    @property
    def reads_weights_of(self) -> tuple[str, ...]:
        """The encoders whose weights it reads to be fitted, beside those of `reads_inputs_of`."""
        return ()

    @property
    def may_use_gpu(self) -> bool:
        """Whether it is fitted on a GPU, where there is one."""
        return False

    @property
    def stops_early(self) -> bool:
        """Whether validation decides for how many of `max_epochs` it is fitted: by `patience`."""
        return getattr(self, "patience", None) is not None

    @property
    def is_slow_to_fit(self) -> bool:
        """Whether a fit takes far longer than to read the features, and one core.

        Models of image, text and both are fitted side by side then, where cores would be idle.
        """
        return False

    @property
    def reads_means(self) -> bool:
        """Whether `fit` is given the mean that was taken off each block, by its `mean_key`."""
        return False

    def bytes_for(self, n: int) -> int:
        """Return how many bytes it holds to fit n products, beside features and probabilities."""
        return 0

    def check_encoders(
        self, encoders: Mapping[str, Any], seen: Mapping[str, Collection[tuple[str, str]]]
    ) -> None:
        """Raise ValueError, with the fix, where the encoders in use are not what it needs.

        `encoders` are the entries in use; `seen` has of each modality the encoders that it sees,
        each with its input, image or text.
        """

    def check_classes(self, classes: Collection[str]) -> None:
        """Warn on standard error of what is set for a class that is none of `classes`."""


class Classifier(Protocol):
    """A classifier of products by their blocks."""

    classes_: list[str]
    history_: dict[str, list[float]]  # losses and accuracies by epoch; empty without epochs

    def __init__(self, settings: Any, seed: int, block_weights: Mapping[str, float]) -> None:
        """Take the kind's settings, and what each block is multiplied with."""

    def fit(
        self, X: Blocks, y: np.ndarray, validation: tuple[Blocks, np.ndarray] | None = None
    ) -> Self:
        """Fit on the training products and return the classifier.

        `y` is str of shape (n,), with at least two classes. `validation` is used only to decide
        when to stop; at least one of its products is of a class in `y`.
        """

    def predict_proba(self, X: Blocks) -> np.ndarray:
        """Return the probability of each class, float32 of shape (n, len(classes_))."""

    def save(self, folder: Path) -> None:
        """Write the classifier into `folder`, in a format that runs no code when it is loaded."""

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Load what `save` wrote, to predict with it; raises InputError for any other content."""


def module_of(kind: str) -> ModuleType:
    """Return the module of a kind of classifier; only this imports the library that it needs."""
    return import_module(f"stages.classifiers.{kind}")
