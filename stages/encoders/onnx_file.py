"""ONNX files of the user's, read by OpenVINO."""

from pathlib import Path
from typing import Any

from stages.common.errors import InputError
from stages.common.openvino import import_openvino


def read_onnx(path: Path, origin: Path) -> Any:
    """Read a network; raises InputError, which names the file's `origin`, where it is none."""
    try:
        return import_openvino().Core().read_model(path)
    except RuntimeError as error:
        reason = last_line(error)
        if "externally stored data" in reason:
            raise InputError(
                f"{origin} keeps its weights in another file: export it with its weights in the "
                "file (torch.onnx.export: external_data=False)"
            ) from None
        raise InputError(f"{origin} is no ONNX file that can be read: {reason}") from None


def last_line(error: RuntimeError) -> str:
    """Return the line in which OpenVINO says what is wrong."""
    return str(error).strip().splitlines()[-1]
