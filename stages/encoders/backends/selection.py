"""Which backend runs an encoder, in which precision and where."""

from stages.common.devices import torch_device
from stages.common.errors import InputError
from stages.encoders.backends import openvino
from stages.encoders.backends.base import Backend
from stages.encoders.settings import EncoderSettings


def select_backend(settings: EncoderSettings, backend: str, precision: str) -> Backend:
    """Return how an encoder is run where params.yaml says `backend` and `precision`.

    `auto` is OpenVINO on a processor and PyTorch on a GPU; in bfloat16 where the hardware computes
    in it, except in a framework on a processor: that is a reference. Whether a network bears
    bfloat16 is another matter (bfloat16_check.py). An encoder without a network is computed in
    float32, whatever params.yaml says. int8 is never chosen by auto.
    Raises InputError where the two do not go together, or not with the encoder or the hardware.
    """
    if settings.computed_by is not None:
        return Backend(settings.computed_by, "float32")
    check_backend(settings, backend, precision)
    is_by_torch = backend in ("auto", "torch") and "torch" in settings.frameworks
    device = torch_device() if is_by_torch else "cpu"
    if backend == "auto":
        backend = "openvino" if device == "cpu" else "torch"
        check_backend(settings, backend, precision)
    if precision == "auto":
        is_wanted = backend == "openvino" or device == "cuda"
        precision = "bfloat16" if is_wanted and _has_bfloat16(backend, device) else "float32"
    elif precision == "bfloat16" and not _has_bfloat16(backend, device):
        raise InputError(
            f"precision: bfloat16 is not to be had with {backend} on this {device}: set it to auto "
            "or float32"
        )
    return Backend(backend, precision, device)


def check_backend(settings: EncoderSettings, backend: str, precision: str) -> None:
    """Raise InputError where no hardware lets a backend run an encoder, or not in a precision."""
    if settings.computed_by is not None:
        return
    fit = ["auto", "openvino", *settings.frameworks]
    if backend not in fit:
        raise InputError(
            f"backend: {backend} runs no encoder of kind {settings.kind}: set it to "
            f"{', '.join(fit[:-1])} or {fit[-1]}"
        )
    if precision == "int8" and backend not in ("auto", "openvino"):
        raise InputError(
            f"precision: int8 is for openvino alone, and {backend} was to run the encoder: set "
            "`backend: openvino`, or precision to auto"
        )
    if precision == "bfloat16" and backend == "tensorflow":
        raise InputError(
            "precision: bfloat16 is not to be had with tensorflow: set it to auto or float32"
        )


def _has_bfloat16(backend: str, device: str) -> bool:
    if backend == "openvino":
        return openvino.has_bfloat16()
    if backend == "torch" and device == "cuda":
        import torch

        return torch.cuda.is_bf16_supported(including_emulation=False)
    return False
