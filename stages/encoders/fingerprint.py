"""The key of a cached vector: a hash of all that the vector depends on beside its input."""

from collections.abc import Iterable
from dataclasses import astuple
from pathlib import Path

from stages.common.code_hash import TOP, code_hash
from stages.common.devices import processor
from stages.common.files import json_hash, sha256_of
from stages.encoders.backends.base import Backend
from stages.encoders.settings import EncoderSettings
from stages.encoders.weights.manifest import weight_files

ROOM = "stages.encoders"
# Their results are in the key as values: bytes of weights, settings, the backend.
OPAQUE = {
    f"{ROOM}.{name}"
    for name in ("backends.base", "base", "table_encoder", "fingerprint", "settings", "weights")
}


def network_key(settings: EncoderSettings, folder: Path) -> str:
    """Return the hash of a network and of what prepares its input.

    That is: the encoder's settings, its weights in `folder`, the code of its kind and the versions
    of the libraries that this code imports. Of a network on another machine, it is the settings
    alone. A text's fields and prefix, and where an endpoint cuts it, are part of the input, and a
    SHA-256 only checks the weights.
    """
    exclude = {"fields", "max_chars", "prefix", "sha256", "tokenizer_sha256", *settings.costs}
    if settings.is_remote:
        return json_hash(settings.model_dump(mode="json", exclude=exclude))
    modules = [f"{ROOM}.{settings.kind}"]
    if settings.modality == "image":
        modules.append("stages.common.images")  # which decodes what any kind gets
    if getattr(settings, "tta", ["identity"]) != ["identity"]:
        modules.append(f"{ROOM}.augmentation")
    return json_hash(
        settings.model_dump(mode="json", exclude=exclude),
        [(file.name, sha256_of(file)) for file in weight_files(folder)],
        code_key(modules),
    )


def vector_key(network: str, backend: Backend) -> str:
    """Return the hash of all that a vector of the network depends on beside its input."""
    return json_hash(network, astuple(backend), processor(), *gpu(backend.device))


def gpu(device: str) -> list[str]:
    """Return the model of the GPU that `device` is, cpu, cuda or mps: it rounds in its own way."""
    if device != "cuda":
        return []
    import torch

    return [torch.cuda.get_device_name()]


def code_key(modules: Iterable[str], top: Path = TOP) -> str:
    """Return the hash of modules, of those of this room that they import, and of libraries.

    `top` is the folder that holds the package `stages`.
    """
    return code_hash(modules, _is_part, top)


def _is_part(name: str) -> bool:
    is_opaque = any(name == module or name.startswith(f"{module}.") for module in OPAQUE)
    return name.startswith(f"{ROOM}.") and not is_opaque
