"""What a vector depends on beside its input, as one hash: the key of what is kept of it."""

import hashlib
import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from stages.common.files import sha256_of
from stages.encoders.backends.selection import FRAMEWORKS, Backend
from stages.encoders.settings import EncoderSettings
from stages.encoders.weights.manifest import MANIFEST_FILE

PACKAGES = (
    *("keras", "numpy", "openvino", "pillow", "safetensors", "tensorflow", "tensorflow-cpu"),
    *("scikit-learn", "tokenizers", "torch", "transformers"),
)
HERE = Path(__file__).parent


def network_key(settings: EncoderSettings, folder: Path) -> str:
    """Return the hash of all that a network and what prepares its input are made of.

    These are the encoder's settings, the files in `folder`, the libraries' versions, and the code
    that may see the network.
    """
    kinds = {f"{kind}.py" for kind in (*FRAMEWORKS, "hashed_ngrams") if kind != settings.kind}
    code = [file for file in sorted(HERE.glob("*.py")) if file.name not in kinds]
    if settings.kind == "keras":
        code.append(HERE.parent / "common" / "keras_weights.py")
    weights = [file for file in sorted(folder.iterdir()) if file.name != MANIFEST_FILE]
    return _hash(
        settings.model_dump(mode="json"),
        [(file.name, sha256_of(file)) for file in weights + code],
        [(name, _version(name)) for name in PACKAGES],
    )


def row_key(network: str, engine: Backend) -> str:
    """Return the hash of all that a vector of `network` depends on beside its input."""
    return _hash(network, engine.name, engine.precision, engine.device, _processor())


def _hash(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> list[str]:
    """Return what is known of the processor: its kernels, and so its roundings, go by it."""
    known = [platform.machine(), platform.processor(), str(os.cpu_count())]
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = ("vendor_id", "cpu family", "model", "model name", "stepping", "flags")
        first = cpuinfo.read_text(encoding="utf-8").split("\n\n")[0]
        known += [line for line in first.split("\n") if line.split("\t")[0].strip() in names]
    return known
