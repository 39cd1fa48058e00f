"""How a stage runs as a process: one BLAS thread, and one line for an error that can be mended."""

import io
import os
import sys
from collections.abc import Callable
from functools import partial
from types import TracebackType

from stages.common.errors import InputError

GO_ON = "run `dvc repro` again to go on"


def run_stage(main: Callable[[], None], go_on: str = GO_ON) -> None:
    """Run a stage's `main`; on an error that the user can mend, say it in one line and exit 1.

    `go_on` is what to do after Ctrl-C.
    """
    from threadpoolctl import threadpool_limits

    say_interrupts_in_one_line(go_on)
    print_any_character()
    # BLAS rounds differently with each number of threads. One is the number that every machine
    # has, and the fastest on shared cores. The variable is for libraries that are loaded later.
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    try:
        with threadpool_limits(1, "blas"):
            main()
    except InputError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        # A full disk, a folder that may not be written to: the system's words say it all.
        sys.exit(f"error: {error.filename or 'a file'}: {error.strerror or error}")


def print_any_character() -> None:
    r"""Let what the encoding of the output lacks be printed as `\u03c3`, as errors are."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def say_interrupts_in_one_line(go_on: str = GO_ON) -> None:
    """Say in one line that Ctrl-C ended the process; any other error keeps its traceback."""
    sys.excepthook = partial(_explain, go_on)


def _explain(
    go_on: str, kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    # A compiled module that is being imported makes Ctrl-C the cause of an ImportError.
    root: BaseException | None = error
    while root is not None and not isinstance(root, KeyboardInterrupt):
        root = root.__cause__ or root.__context__
    if root is not None:
        print(f"interrupted: {go_on}", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, traceback)
