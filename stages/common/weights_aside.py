"""Weights that are not needed now: aside in `.cache`, so that they need not be fetched again.

DVC cannot bring them back: its cache of runs leaves out what is persistent.
"""

import shutil
from pathlib import Path

from stages.common.cache import cache_folder
from stages.common.files import atomic_folder


def set_aside(folder: Path) -> None:
    """Put an encoder's folder of weights aside, in the place of earlier ones of this name."""
    place = _place(folder)
    shutil.rmtree(place, ignore_errors=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(folder, place)


def take_back(folder: Path) -> None:
    """Put a copy of weights that are aside where they were, unless others are there.

    They stay aside, for an experiment that runs elsewhere would take the only ones with it.
    """
    if not folder.exists() and _place(folder).is_dir():
        with atomic_folder(folder) as part:
            shutil.copytree(_place(folder), part, dirs_exist_ok=True)


def _place(folder: Path) -> Path:
    return cache_folder() / "weights" / folder.name
