"""A base class for classifiers that are a few arrays."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np

from stages.common.errors import InputError
from stages.common.files import write_json
from stages.common.keras_weights import load_variables, save_variables

ARRAYS_FILE = "model.safetensors"


class ArrayClassifier:
    """A few arrays, and a description of what they are; a kind fits them and predicts by NumPy.

    `_build` is the description, which is saved as JSON and has the `classes`.
    """

    build_file: str  # of the description

    def __init__(self, settings: Any, seed: int, block_weights: Mapping[str, float]) -> None:
        """Take the settings; a classifier that was loaded has none."""
        self.settings = settings
        self.seed = seed
        self.block_weights = dict(block_weights)
        self.classes_: list[str] = []
        self.history_: dict[str, list[float]] = {}
        self._build: dict[str, Any] = {}
        self._variables: dict[str, np.ndarray] = {}

    @staticmethod
    def block_weights_of(build: Mapping[str, Any]) -> dict[str, float]:
        """Return what each block is multiplied with, by a description."""
        raise NotImplementedError

    @staticmethod
    def shapes_of(build: Mapping[str, Any]) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
        """Return the shape and type of each array, by a description."""
        raise NotImplementedError

    def save(self, folder: Path) -> None:
        """Write the description and the arrays into `folder`."""
        write_json(folder / self.build_file, self._build)
        save_variables(self._variables, folder / ARRAYS_FILE)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Load what `save` wrote, to predict with it; raises InputError for any other content."""
        path = folder / cls.build_file
        try:
            build = json.loads(path.read_bytes())
            classifier = cls(None, 0, cls.block_weights_of(build))
            classifier._build, classifier.classes_ = build, build["classes"]
            shapes = cls.shapes_of(build)
        except FileNotFoundError:
            raise InputError(
                f"{path} is not there: copy the model anew, or, if it is of an older version, use "
                "that or train it anew (`dvc repro`)"
            ) from None
        except PermissionError:
            raise
        except (
            ValueError,
            TypeError,
            LookupError,
            AttributeError,
            RecursionError,
            OSError,
        ) as error:
            raise InputError(
                f"{path} describes no classifier that this version can load "
                f"({type(error).__name__}): use the version that trained it, or train it anew "
                "(`dvc repro -f`)"
            ) from None
        classifier._variables = load_variables(folder / ARRAYS_FILE, shapes)
        return classifier


class LinearClassifier(ArrayClassifier):
    """A linear layer on what a kind makes of the blocks: a kernel and a bias.

    Its description also has the `block_weights`, and how many numbers the layer sees, `n_features`.
    """

    @staticmethod
    def block_weights_of(build: Mapping[str, Any]) -> dict[str, float]:
        """Return what each block is multiplied with, by a description."""
        return build["block_weights"]

    @staticmethod
    def shapes_of(build: Mapping[str, Any]) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
        """Return the shape and type of each array, by a description."""
        shapes = {
            "kernel": (build["n_features"], len(build["classes"])),
            "bias": (len(build["classes"]),),
        }
        return {name: (shape, np.dtype(np.float32)) for name, shape in shapes.items()}
