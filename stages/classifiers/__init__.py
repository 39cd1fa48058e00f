"""The kinds of classifier, one module each, named as the kind.

Each module has two functions:

- `fit(settings, seed, train, validation) -> Model` fits on the training products alone, and stops
  on the validation products, of which at least one is of a class to train on, or None;
- `load(folder) -> Model` loads what `Model.save(folder)` wrote, running no code that it may hold.
"""

from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Protocol

import numpy as np

from stages.features import Features


class Model(Protocol):
    """A fitted classifier."""

    classes: list[str]
    history: dict[str, list[float]]  # losses and accuracies by epoch, if it was fitted in epochs

    def predict_proba(self, features: Features) -> np.ndarray:
        """Return float32 of shape (n, len(classes)): the probability of each class."""

    def save(self, folder: Path) -> None:
        """Write the model into `folder`, in a format that runs no code when it is loaded."""


def module_of(kind: str) -> ModuleType:
    """Return the module of a kind of classifier; only this imports the library that it needs."""
    return import_module(f"stages.classifiers.{kind}")
