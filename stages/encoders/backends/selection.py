"""Which engine runs an encoder's network, in which precision and where."""

import platform
import sys
from dataclasses import dataclass
from pathlib import Path

from stages.common.errors import InputError


@dataclass(frozen=True)
class Backend:
    """How a network is run.

    `name` is openvino, torch or tensorflow, `precision` float32 or bfloat16, and `device` cpu,
    cuda or mps.
    """

    name: str
    precision: str
    device: str = "cpu"


# Each kind's own framework, None where there is none but OpenVINO.
FRAMEWORKS = {
    "keras": "tensorflow",
    "huggingface_image": "torch",
    "huggingface_text": "torch",
    "onnx": None,
}


def select_backend(kind: str, engine: str, precision: str) -> Backend:
    """Return how networks of `kind` are run where params.yaml says `engine` and `precision`.

    `auto` is OpenVINO on a processor and the network's own framework on a GPU; in bfloat16 where
    the hardware computes in it, except in a framework on a processor: that is a reference. Whether
    a network bears bfloat16 is another matter (trial.py).
    Raises InputError where the two do not go together, or not with `kind` or the hardware.
    """
    framework = FRAMEWORKS[kind]
    if engine not in ("auto", "openvino", framework):
        fit = "auto, openvino" + (f" or {framework}" if framework else "")
        raise InputError(f"engine: {engine} runs no encoder of kind {kind}: set it to {fit}")
    device = "cpu" if engine == "openvino" or framework is None else _device(framework)
    if engine == "auto":
        engine = "openvino" if framework is None or device == "cpu" else framework
    if precision == "auto":
        wanted = engine == "openvino" or device == "cuda"
        precision = "bfloat16" if wanted and _has_bfloat16(engine, device) else "float32"
    elif precision == "bfloat16" and not _has_bfloat16(engine, device):
        raise InputError(
            f"precision: bfloat16 is not to be had with {engine} on this {device}: set it to auto "
            "or float32"
        )
    return Backend(engine, precision, device)


def _device(framework: str) -> str:
    """Return where a framework computes; one is imported only where there may be a GPU."""
    if sys.platform == "darwin":
        may_have_gpu = platform.machine() == "arm64"
    else:
        may_have_gpu = any(Path("/dev", name).exists() for name in ("nvidiactl", "dxg"))
    if not may_have_gpu:
        return "cpu"
    if framework == "tensorflow":
        import tensorflow as tf

        return "cuda" if tf.config.list_physical_devices("GPU") else "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _has_bfloat16(engine: str, device: str) -> bool:
    if engine == "openvino":
        from stages.encoders.backends.openvino import has_bfloat16

        return has_bfloat16()
    if engine == "torch" and device == "cuda":
        import torch

        return torch.cuda.is_bf16_supported(including_emulation=False)
    return False
