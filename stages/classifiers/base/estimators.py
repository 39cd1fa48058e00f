"""A base class for scikit-learn's estimators, and how they are saved."""

import io
import re
import sys
import zipfile
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, Self

import numpy as np

from stages.common.blocks import Blocks, concatenate
from stages.common.errors import InputError
from stages.common.files import atomic_file

MODEL_FILE = "model.skops"
# What skops does not trust by itself in the files that are written here; a file that holds any
# other type is refused.
_TRUSTED = ["sklearn.tree._tree.Tree"]


class SklearnClassifier:
    """A scikit-learn estimator on the concatenated blocks; a kind says how to build it.

    `trusted` names the types in its file that are no estimators, where the kind's own has such.
    """

    trusted: ClassVar[Sequence[str]] = ()
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

    def fit_estimator(self, estimator: Any, matrix: np.ndarray, y: np.ndarray) -> None:
        """Fit what `build` returned to the weighted blocks, float32 of shape (n, n_features)."""
        estimator.fit(matrix, y)

    @property
    def classes_(self) -> list[str]:
        """The classes that the estimator was fitted on, in the order of its probabilities."""
        return [str(name) for name in self.estimator.classes_]

    def fit(
        self, X: Blocks, y: np.ndarray, validation: tuple[Blocks, np.ndarray] | None = None
    ) -> Self:
        """Fit on the training products; the validation products are not used."""
        matrix = concatenate(X, self.block_weights)
        self.estimator = self.build(*matrix.shape)
        self.fit_estimator(self.estimator, matrix, y)
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
            model = skops.load(path, trusted=[*_TRUSTED, *cls.trusted, *estimators])
            classifier = cls(None, 0, model["block_weights"])
            classifier.estimator = model["estimator"]
        except FileNotFoundError:
            raise InputError(f"{path} is not there: `dvc repro` builds it") from None
        except UntrustedTypesFoundException as error:
            found = str(error).splitlines()[0]  # "Untrusted types found in the file: [...]."
            raise InputError(
                f"{path} is not loaded, as it may run code. {found} If it is of a kind of your "
                "own, name those types in `trusted` of its class Classifier"
            ) from None
        except PermissionError:
            raise
        except Exception as error:  # skops and zipfile raise nearly anything on damaged data
            raise InputError(
                f"{path} holds no classifier ({type(error).__name__}): `dvc repro -f` rebuilds it"
            ) from None
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
    found = re.findall(r'"__id__": (\d+)|"([\da-f-]+)\.(?:npy|npz|bin)"', schema)
    numbers: dict[str, str] = {}
    for one, other in found:
        numbers.setdefault(one or other, str(len(numbers)))
    schema = re.sub(r'("__id__": )(\d+)', lambda hit: hit[1] + numbers[hit[2]], schema)
    schema = re.sub(
        r'"([\da-f-]+)(\.(?:npy|npz|bin)")', lambda hit: f'"{numbers[hit[1]]}{hit[2]}', schema
    )
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
