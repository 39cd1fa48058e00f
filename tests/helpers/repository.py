"""Where the repository is, and what may lie beside it."""

import shutil
from pathlib import Path

TOP = Path(__file__).parents[2]
SHARED = TOP.parent / "shared"  # real products and models: tests that use them skip without it
NOWHERE = "http://127.0.0.1:9"  # the port of a service that machines no longer run


def copy_rooms(top: Path, *names: str) -> Path:
    """Copy rooms of stages/ to below `top`, to be edited; return the folder that holds them."""
    for name in names:
        shutil.copytree(
            TOP / "stages" / name,
            top / "stages" / name,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    return top / "stages"
