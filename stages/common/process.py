"""How a stage runs as a process: one BLAS thread, and one line for an error that can be mended."""

import errno
import io
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from functools import partial
from types import TracebackType

from stages.common.errors import InputError

GO_ON = "run `dvc repro` again to go on"

_FULL = "|".join(str(number) for number in (errno.EFBIG, errno.ENOSPC, errno.EDQUOT, errno.EROFS))
# What libraries that are not of Python say where they cannot write, instead of an OSError: of Rust,
# such as tokenizers and safetensors, and of C++, such as OpenVINO and PyTorch.
_NOT_WRITTEN = re.compile(rf"\(os error ({_FULL})\)|\biostream error\b")


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
        if isinstance(error, shutil.Error) and isinstance(error.args[0], list):
            _, place, reason = error.args[0][0]  # of each file of a folder the same
            sys.exit(f"error: {place}: {reason}")
        sys.exit(f"error: {error.filename or 'a file'}: {error.strerror or error}")
    except Exception as error:
        for one in _causes(error):
            if is_not_written(one):
                sys.exit(f"error: a file cannot be written ({one}): see that the disk has room")
        raise


def is_not_written(error: BaseException) -> bool:
    """Return whether a library that is not of Python says by an error that it cannot write."""
    return _NOT_WRITTEN.search(str(error)) is not None


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
    if any(isinstance(one, KeyboardInterrupt) for one in _causes(error)):
        print(f"interrupted: {go_on}", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, traceback)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error, its cause, the cause of that and so on."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
