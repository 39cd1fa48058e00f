"""The stages of the pipeline: one module each, run as `python -m stages.<stage>`."""

import os
import sys
from types import TracebackType

# NumPy and SciPy add up in another order with each number of threads, and so round differently. One
# is the number that every machine has, and the quickest on shared cores. NumPy's import reads it.
os.environ["OPENBLAS_NUM_THREADS"] = "1"


def _say(kind: type[BaseException], error: BaseException, at: TracebackType | None) -> None:
    """Say in one line that Ctrl-C ended a stage, which it may do while modules are imported.

    A compiled module that is being imported then makes it the cause of an ImportError.
    """
    root: BaseException | None = error
    while root is not None and not isinstance(root, KeyboardInterrupt):
        root = root.__cause__ or root.__context__
    if root is not None:
        print("interrupted: run `dvc repro` again to go on", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, at)


sys.excepthook = _say
