"""Where things are kept that outlive a run and may be deleted at any time."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def cache_folder() -> Path:
    """Return `.cache` at the top of the repository.

    An experiment that DVC runs elsewhere (`--temp`, `--queue`) runs in a copy below .dvc/tmp of the
    repository, and shares the repository's own.
    """
    here = Path.cwd()
    for top in here.parents:
        if here.is_relative_to(top / ".dvc" / "tmp"):
            return top / ".cache"
    return Path(".cache")


@contextmanager
def locked(lock: Path) -> Iterator[None]:
    """Keep other processes out until the block, or this process, ends; `lock` is an empty file."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
