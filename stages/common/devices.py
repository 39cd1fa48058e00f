"""What this machine computes on: its processor, and a GPU if it has one."""

import os
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


def processor() -> list[str]:
    """Return what is known of the processor: its kernels, and so its roundings, depend on it."""
    known = [platform.machine(), platform.processor(), str(os.cpu_count())]
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = ("vendor_id", "cpu family", "model", "model name", "stepping", "flags")
        first = cpuinfo.read_text(encoding="utf-8").split("\n\n")[0]
        known += [line for line in first.split("\n") if line.split("\t")[0].strip() in names]
    return known
