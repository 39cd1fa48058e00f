"""Where a framework may compute: on a GPU of this machine, if it has one."""

import platform
import sys
from pathlib import Path


def may_have_gpu() -> bool:
    """Return whether this machine may have a GPU, without importing a framework to ask it."""
    if sys.platform == "darwin":
        return platform.machine() == "arm64"
    return any(Path("/dev", name).exists() for name in ("nvidiactl", "dxg"))


def torch_device() -> str:
    """Return where PyTorch computes: cuda, mps or cpu."""
    if not may_have_gpu():
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
