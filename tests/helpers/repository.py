"""Where the repository is, and what may lie beside it."""

from pathlib import Path

TOP = Path(__file__).parents[2]
SHARED = TOP.parent / "shared"  # real products and models: tests that use them skip without it
NOWHERE = "http://127.0.0.1:9"  # the port of a service that machines no longer run
