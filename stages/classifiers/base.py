"""The kinds of classifier, one module each, named as the kind; and what scikit-learn's share.

Each module has two functions:

- `fit(settings, seed, train, validation) -> Model` fits on the training products alone, and stops
  on the validation products, of which at least one is of a class to train on, or None;
- `load(folder) -> Model` loads what `Model.save(folder)` wrote, running no code that it may hold.
"""

import io
import re
import zipfile
from functools import cached_property
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from stages.common.errors import InputError
from stages.common.files import atomic_file
from stages.common.settings import Settings
from stages.fusion.features import Features

MODEL_FILE = "model.skops"
# What skops does not trust by itself in the files that are written here; a file that holds any
# other type is refused.
_TRUSTED = ["sklearn.tree._tree.Tree"]


class ClassifierSettings(Settings):
    """What a classifier's entry in params.yaml may say; each kind's module says it."""


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


class SklearnModel:
    """A fitted estimator of scikit-learn."""

    def __init__(self, estimator: Any) -> None:
        self.history: dict[str, list[float]] = {}
        self.estimator = estimator
        self.classes = [str(name) for name in estimator.classes_]

    def predict_proba(self, features: Features) -> np.ndarray:
        """Return float32 of shape (n, len(classes)): the probability of each class."""
        return self.estimator.predict_proba(features.matrix()).astype(np.float32)

    def save(self, folder: Path) -> None:
        """Write the model into `folder`, the same bytes for the same model."""
        with atomic_file(folder / MODEL_FILE) as part:
            part.write_bytes(self._content)

    @cached_property
    def _content(self) -> bytes:  # several modalities save one member, and a forest takes seconds
        import skops.io

        return _repeatable(skops.io.dumps(self.estimator))


def load(folder: Path) -> SklearnModel:
    """Load what `SklearnModel.save` wrote.

    Raises InputError where the file holds a type that such a model has not, which might run code,
    or is no such file at all.
    """
    import skops.io
    from skops.io.exceptions import UntrustedTypesFoundException

    path = folder / MODEL_FILE
    try:
        return SklearnModel(skops.io.load(path, trusted=_TRUSTED))
    except UntrustedTypesFoundException as error:
        found = str(error).splitlines()[0]  # "Untrusted types found in the file: [...]."
        raise InputError(f"{path} is not loaded, as it may run code. {found}") from None
    except (zipfile.BadZipFile, KeyError):
        raise InputError(f"{path} was not written by skops: `dvc repro -f` rebuilds it") from None


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
