"""Predictions by the machines of a cluster, each of which loads the model once."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from importlib.metadata import distributions
from pathlib import Path

from serving.answers import Prediction
from serving.encoders import settings_of
from serving.predictor import Predictor
from serving.products import Product
from stages.common.devices import processor
from stages.common.errors import InputError
from stages.common.files import sha256_of
from stages.compute.base import Workers
from stages.compute.loader import Loader
from stages.encoders.backends.openvino import MODEL_FILE
from stages.encoders.backends.selection import select_backend
from stages.encoders.fingerprint import gpu
from stages.fusion.model_file import ENCODERS, FILE, ModelFile


def predict_on(
    workers: Workers,
    model: Path,
    parts: Iterable[Sequence[Product]],
    accuracy: float,
    top: int,
) -> Iterator[list[Prediction]]:
    """Yield the predictions of the model in `model` for each part, in their order.

    Parts are taken as the machines get to them. Raises InputError where a machine would answer
    differently.
    """
    model = Path(os.path.relpath(model))  # a machine that has a copy of it has it elsewhere
    key = workers.call(partial(_key_here, model))
    loader = Loader(partial(Predictor.load, model), key, partial(_key_here, model))
    yield from workers.map(partial(_predict, loader, accuracy, top), parts)


def check_encoders(predictor: Predictor, model: Path) -> None:
    """Raise InputError where an endpoint computes vectors: its limits hold for one machine."""
    if names := ", ".join(predictor.remote_encoders):
        raise InputError(
            f"{model} has vectors of {names} from an endpoint, which every machine would ask: "
            "leave out --compute ray"
        )


def _key_here(model: Path) -> str:
    """Return the hash of all that answers depend on beside the products, on this machine."""
    packages = sorted({f"{one.name} {one.version}" for one in distributions()})
    parts = [sha256_of(model / FILE), processor(), packages, *_gpu_of(model)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _gpu_of(model: Path) -> list[str]:
    """Return the GPU of this machine, by its model, where an encoder runs on it."""
    devices = set()
    for name, entry in ModelFile.load(model).encoders.items():
        is_exported = (model / ENCODERS / name / MODEL_FILE).is_file()
        backend = "openvino" if is_exported else "auto"
        devices.add(select_backend(settings_of(name, entry, model), backend, "float32").device)
    return gpu("cuda" if "cuda" in devices else "cpu")


def _predict(
    loader: Loader[Predictor], accuracy: float, top: int, part: Sequence[Product]
) -> list[Prediction]:
    return loader.get().predict_products(part, accuracy=accuracy, top=top)
