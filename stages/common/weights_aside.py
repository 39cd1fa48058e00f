"""Weights that are not needed now: aside in `.cache`, so that they need not be fetched again.

DVC cannot bring them back: its cache of runs leaves out what is persistent.
"""

import shutil
from pathlib import Path

from filelock import FileLock

from stages.common.cache import cache_folder
from stages.common.files import LOCK, atomic_folder


def set_aside(folder: Path) -> None:
    """Put an encoder's folder of weights aside, in the place of earlier ones of this name."""
    with _alone():
        shutil.rmtree(_place(folder), ignore_errors=True)
        shutil.move(folder, _place(folder))


def take_back(folder: Path) -> None:
    """Put a copy of weights that are aside where they were, unless others are there.

    They stay aside, for an experiment that runs elsewhere would take the only ones with it.
    """
    if folder.exists():
        return
    with _alone():
        if _place(folder).is_dir():
            with atomic_folder(folder) as part:
                shutil.copytree(_place(folder), part, dirs_exist_ok=True)


def _alone() -> FileLock:
    """Return what keeps out the experiments that run elsewhere, and share what is aside."""
    folder = cache_folder() / "weights"
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / LOCK)


def _place(folder: Path) -> Path:
    return cache_folder() / "weights" / folder.name
