"""The stages of the pipeline: one module each, run as `python -m stages.<stage>`."""

import os
import sys
from types import TracebackType

# NumPy and SciPy add up in another order with each number of threads, and so round differently. One
# is the number that every machine has, and the quickest on shared cores. NumPy's import reads it.
os.environ["OPENBLAS_NUM_THREADS"] = "1"


def _say(kind: type[BaseException], error: BaseException, at: TracebackType | None) -> None:
    """Say in one line that Ctrl-C ended a stage, which it may do while modules are imported."""
    if issubclass(kind, KeyboardInterrupt):
        print("interrupted: run `dvc repro` again to go on", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, at)


sys.excepthook = _say
