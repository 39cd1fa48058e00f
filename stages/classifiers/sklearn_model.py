"""What the classifiers of scikit-learn have in common: probabilities, and saving through skops."""

import io
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import skops.io
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from stages.errors import InputError
from stages.features import Features
from stages.files import whole_file

MODEL_FILE = "model.skops"
# What skops does not trust by itself in the files that are written here; a file that holds any
# other type is refused.
_TRUSTED = ["sklearn.tree._tree.Tree"]


class SklearnModel:
    """A fitted estimator of scikit-learn.

    `temperature` is null for an estimator with probabilities of its own; else they are the softmax
    of its decision function divided by the temperature.
    """

    def __init__(self, estimator: Any, temperature: float | None = None) -> None:
        self.estimator = estimator
        self.temperature = temperature
        self.classes = [str(name) for name in estimator.classes_]

    def predict_proba(self, features: Features) -> np.ndarray:
        """Return float32 of shape (n, len(classes)): the probability of each class."""
        matrix = features.matrix()
        if self.temperature is None:
            return self.estimator.predict_proba(matrix).astype(np.float32)
        scores = decision_scores(self.estimator, matrix)
        return softmax(scores / self.temperature, axis=1).astype(np.float32)

    def save(self, folder: Path) -> None:
        """Write the model into `folder`, the same bytes for the same model."""
        content = skops.io.dumps({"estimator": self.estimator, "temperature": self.temperature})
        with whole_file(folder / MODEL_FILE) as part:
            part.write_bytes(_repeatable(content))


def load(folder: Path) -> SklearnModel:
    """Load what `SklearnModel.save` wrote.

    Raises InputError where the file holds a type that such a model has not, which might run code,
    or is no such file at all.
    """
    path = folder / MODEL_FILE
    try:
        strange = sorted(set(skops.io.get_untrusted_types(file=path)) - set(_TRUSTED))
    except (zipfile.BadZipFile, KeyError):
        raise InputError(f"{path} was not written by skops: `dvc repro -f` rebuilds it") from None
    if strange:
        raise InputError(f"{path} holds {', '.join(strange)}: it is not loaded, as it may run code")
    content = skops.io.load(path, trusted=_TRUSTED)
    return SklearnModel(content["estimator"], content["temperature"])


def decision_scores(estimator: Any, matrix: np.ndarray) -> np.ndarray:
    """Return a decision function as float64 of shape (n, classes), for two classes too."""
    scores = estimator.decision_function(matrix)
    return np.column_stack([-scores, scores]) if scores.ndim == 1 else scores


def fit_temperature(scores: np.ndarray, classes: np.ndarray, labels: np.ndarray) -> float:
    """Find the temperature under which scores are the likeliest: Guo et al. 2017, On Calibration.

    `scores` has shape (n, len(classes)) and `labels` holds n of the sorted `classes`, n > 0.
    """
    at = np.searchsorted(classes, labels)

    def loss(log_temperature: float) -> float:
        logs = log_softmax(scores / np.exp(log_temperature), axis=1)
        return -float(logs[np.arange(len(at)), at].mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-5, 5), method="bounded").x))


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
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(parts):
            archive.writestr(zipfile.ZipInfo(name), parts[name], zipfile.ZIP_DEFLATED)
    return buffer.getvalue()
