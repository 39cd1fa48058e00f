"""The package openvino, as all import it."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any


def import_openvino() -> ModuleType:
    """Return the package openvino, kept from telling Google Analytics of each conversion.

    It does so unless the package openvino_telemetry cannot be imported.
    """
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    import openvino

    return openvino


def read_network(path: Path) -> Any:
    """Return the network in a file of OpenVINO's, with weights that are in memory.

    By itself OpenVINO maps them from their file: a network that is in use would change, or take the
    process down, where another is copied over it.
    """
    core = import_openvino().Core()
    core.set_property({"ENABLE_MMAP": False})
    return core.read_model(path)
