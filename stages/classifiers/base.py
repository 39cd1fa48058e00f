"""What every kind of classifier offers, and base classes for estimators and for arrays.

A kind is a module of this package with two classes: `Settings`, which says what its entry in
params.yaml may hold, and `Classifier`, which has the methods of the protocol below.
"""

import io
import json
import re
import sys
import zipfile
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, Self

import numpy as np

from stages.common.blocks import Blocks, concatenate
from stages.common.errors import InputError
from stages.common.files import atomic_file, write_json
from stages.common.keras_weights import load_variables, save_variables
from stages.common.settings import Settings

MODEL_FILE = "model.skops"
ARRAYS_FILE = "model.safetensors"
# What skops does not trust by itself in the files that are written here; a file that holds any
# other type is refused.
_TRUSTED = ["sklearn.tree._tree.Tree"]


class ClassifierSettings(Settings):
    """The settings of a classifier in params.yaml; each kind adds its own fields."""


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
            raise InputError(f"{path} is not there: `dvc repro` builds it") from None
        except (
            ValueError,
            TypeError,
            LookupError,
            AttributeError,
            RecursionError,
            OSError,
        ) as error:
            raise InputError(
                f"{path} describes no classifier ({type(error).__name__}): `dvc repro -f` "
                "rebuilds it"
            ) from None
        classifier._variables = load_variables(folder / ARRAYS_FILE, shapes)
        return classifier


class SklearnClassifier:
    """A scikit-learn estimator on the concatenated blocks; a kind says how to build it."""

    settings: Any  # of the kind; None in a classifier that was loaded

    def __init__(self, settings: Any, seed: int, block_weights: Mapping[str, float]) -> None:
        self.settings = settings
        self.seed = seed
        self.block_weights = dict(block_weights)
        self.estimator: Any = None
        self.history_: dict[str, list[float]] = {}
        self._content: bytes | None = None

    def build(self, n: int, n_features: int) -> Any:
        """Return the estimator to fit on a matrix of shape (n, n_features)."""
        raise NotImplementedError

    @property
    def classes_(self) -> list[str]:
        """The classes that the estimator was fitted on, in the order of its probabilities."""
        return [str(name) for name in self.estimator.classes_]

    def fit(
        self, X: Blocks, y: np.ndarray, validation: tuple[Blocks, np.ndarray] | None = None
    ) -> Self:
        """Fit on the training products; the validation products are not used."""
        matrix = concatenate(X, self.block_weights)
        self.estimator = self.build(*matrix.shape).fit(matrix, y)
        self._content = None
        return self

    def predict_proba(self, X: Blocks) -> np.ndarray:
        """Return the probability of each class, float32 of shape (n, len(classes_))."""
        matrix = concatenate(X, self.block_weights)
        return self.estimator.predict_proba(matrix).astype(np.float32)

    def save(self, folder: Path) -> None:
        """Write the classifier into `folder`, the same bytes for the same classifier."""
        if self._content is None:  # several models save one classifier, and a forest takes seconds
            model = {"block_weights": self.block_weights, "estimator": self.estimator}
            self._content = _repeatable(_import_skops().dumps(model))
        with atomic_file(folder / MODEL_FILE) as part:
            part.write_bytes(self._content)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Load what `save` wrote, to predict with it.

        Raises InputError where the file holds a type that such a model has not, which might run
        code, or is no such file at all.
        """
        skops = _import_skops()
        from skops.io.exceptions import UntrustedTypesFoundException

        path = folder / MODEL_FILE
        try:
            estimators = filter(_is_estimator, skops.get_untrusted_types(file=path))
            model = skops.load(path, trusted=[*_TRUSTED, *estimators])
            classifier = cls(None, 0, model["block_weights"])
            classifier.estimator = model["estimator"]
        except FileNotFoundError:
            raise InputError(f"{path} is not there: `dvc repro` builds it") from None
        except UntrustedTypesFoundException as error:
            found = str(error).splitlines()[0]  # "Untrusted types found in the file: [...]."
            raise InputError(f"{path} is not loaded, as it may run code. {found}") from None
        except (zipfile.BadZipFile, KeyError, TypeError):
            raise InputError(f"{path} holds no classifier: `dvc repro -f` rebuilds it") from None
        return classifier


def _import_skops() -> ModuleType:
    """Return the package skops.io, kept from importing every module of scikit-learn.

    It does so to list the estimators, all of which it trusts, and this takes five seconds, as some
    of the modules import PyTorch and pytest. `load` trusts the same ones, by looking at each.
    """
    import sklearn.utils

    if "skops.io" not in sys.modules:
        known = sklearn.utils.all_estimators
        sklearn.utils.all_estimators = list
        try:
            import skops.io
        finally:
            sklearn.utils.all_estimators = known
    import skops.io

    return skops.io


def _is_estimator(name: str) -> bool:
    """Return whether a type is an estimator of scikit-learn; no other package is imported."""
    from sklearn.base import BaseEstimator

    module, _, kind = name.rpartition(".")
    if not module.startswith("sklearn."):
        return False
    try:
        found = getattr(import_module(module), kind)
    except (ImportError, AttributeError):
        return False
    return isinstance(found, type) and issubclass(found, BaseEstimator)


def _repeatable(content: bytes) -> bytes:
    """Rewrite a skops file without what changes from run to run: memory addresses and the time.

    skops names its parts after the addresses of the objects; here they are numbered as they come.
    """
    source = zipfile.ZipFile(io.BytesIO(content))
    schema = source.read("schema.json").decode()
    found = re.findall(r'"__id__": (\d+)|"(\d+)\.npy"', schema)
    numbers: dict[str, str] = {}
    for one, other in found:
        numbers.setdefault(one or other, str(len(numbers)))
    schema = re.sub(r'("__id__": )(\d+)', lambda hit: hit[1] + numbers[hit[2]], schema)
    schema = re.sub(r'"(\d+)\.npy"', lambda hit: f'"{numbers[hit[1]]}.npy"', schema)
    parts = {"schema.json": schema.encode()}
    for name in source.namelist():
        if name != "schema.json":
            stem, ending = name.split(".")
            parts[f"{numbers[stem]}.{ending}"] = source.read(name)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in sorted(parts):
            # The fastest level: the default one takes up to six times as long for a tenth less.
            archive.writestr(zipfile.ZipInfo(name), parts[name], zipfile.ZIP_DEFLATED, 1)
    return buffer.getvalue()
