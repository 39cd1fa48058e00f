"""Where things are kept that outlive a run and may be deleted at any time."""

import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

from stages.common.files import remove_leftovers


def cache_folder() -> Path:
    """Return `.cache` at the top of the repository.

    An experiment that DVC runs elsewhere (`--temp`, `--queue`) runs in a copy below .dvc/tmp of the
    repository, and shares the repository's own.
    """
    working_folder = Path.cwd()
    for top in working_folder.parents:
        if working_folder.is_relative_to(top / ".dvc" / "tmp"):
            return top / ".cache"
    return Path(".cache")


def remove_unused(used: Path, kept: int) -> None:
    """Note that a file or folder of the cache is used; of its kind, keep those used last.

    Its kind is all that lies beside it and has no dot in front of its name. What killed runs left
    there half-written is removed: its name is a hash, which may never be written to again. Other
    processes may do the same meanwhile.
    """
    remove_leftovers(used.parent)
    last_use = {}
    with suppress(FileNotFoundError):
        now = time.time_ns()  # finer than the clock of the file system
        os.utime(used, ns=(now, now))
    for one in used.parent.glob("[!.]*"):
        with suppress(FileNotFoundError):
            last_use[one] = one.stat().st_mtime_ns
    for old in sorted(last_use, key=last_use.__getitem__)[:-kept]:
        if old.is_dir():
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.unlink(missing_ok=True)
