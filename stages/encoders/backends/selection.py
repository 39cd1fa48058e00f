"""Which backend runs an encoder, in which precision and where."""

from stages.common.devices import may_have_gpu, torch_device
from stages.common.errors import InputError
from stages.encoders.backends import openvino
from stages.encoders.backends.base import Backend
from stages.encoders.backends.tensorflow import import_tensorflow
from stages.encoders.settings import EncoderSettings


def select_backend(settings: EncoderSettings, backend: str, precision: str) -> Backend:
    """Return how an encoder is run where params.yaml says `backend` and `precision`.

    `auto` is OpenVINO on a processor and the network's own framework on a GPU; in bfloat16 where
    the hardware computes in it, except in a framework on a processor: that is a reference. Whether
    a network bears bfloat16 is another matter (bfloat16_check.py). An encoder without a network is
    computed in float32, whatever params.yaml says. int8 is never chosen by auto.
    Raises InputError where the two do not go together, or not with the encoder or the hardware.
    """
    framework = settings.framework
    if framework not in ("tensorflow", "torch", None):
        return Backend(framework, "float32")
    if backend not in ("auto", "openvino", framework):
        fit = "auto, openvino" + (f" or {framework}" if framework else "")
        raise InputError(
            f"backend: {backend} runs no encoder of kind {settings.kind}: set it to {fit}"
        )
    device = "cpu" if backend == "openvino" or framework is None else _device(framework)
    if backend == "auto":
        backend = "openvino" if framework is None or device == "cpu" else framework
    if precision == "int8" and backend != "openvino":
        raise InputError(
            f"precision: int8 is for openvino alone, and {backend} was to run the encoder: set "
            "`backend: openvino`, or precision to auto"
        )
    if precision == "auto":
        is_wanted = backend == "openvino" or device == "cuda"
        precision = "bfloat16" if is_wanted and _has_bfloat16(backend, device) else "float32"
    elif precision == "bfloat16" and not _has_bfloat16(backend, device):
        raise InputError(
            f"precision: bfloat16 is not to be had with {backend} on this {device}: set it to auto "
            "or float32"
        )
    return Backend(backend, precision, device)


def _device(framework: str) -> str:
    """Return where a framework computes; one is imported only where there may be a GPU."""
    if framework == "torch":
        return torch_device()
    if not may_have_gpu():
        return "cpu"
    return "cuda" if import_tensorflow().config.list_physical_devices("GPU") else "cpu"


def _has_bfloat16(backend: str, device: str) -> bool:
    if backend == "openvino":
        return openvino.has_bfloat16()
    if backend == "torch" and device == "cuda":
        import torch

        return torch.cuda.is_bf16_supported(including_emulation=False)
    return False
