"""The package openvino, as all import it."""

import sys
from types import ModuleType


def import_openvino() -> ModuleType:
    """Return the package openvino, kept from telling Google Analytics of each conversion.

    It does so unless the package openvino_telemetry cannot be imported.
    """
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    import openvino

    return openvino
