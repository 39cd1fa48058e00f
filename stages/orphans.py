"""What former params left behind: `dvc repro` leaves it where it was when a list shrinks."""

import re
import shutil
from pathlib import Path

from stages.errors import InputError
from stages.params import Params


def remove_orphans(models: Path, params: Params) -> None:
    """Remove the models of former params: a glob would find them, and so would a reader.

    Raises InputError for a folder that is no model of ours.
    """
    wanted = {f"{modality}-{classifier}" for modality, classifier in params.models()}
    folders = sorted(path for path in models.iterdir() if path.is_dir()) if models.is_dir() else []
    for folder in folders:
        if folder.name in wanted or folder.name.startswith("."):
            continue
        ours = re.fullmatch(r"[a-z0-9][a-z0-9_]*-[a-z0-9][a-z0-9_]*", folder.name)
        if not ours or not (folder / "probabilities.parquet").is_file():
            raise InputError(f"{folder} is no model that params.yaml names: move it elsewhere")
        print(f"removing {folder}: params.yaml names it no more (DVC's cache still has it)")
        shutil.rmtree(folder)


def remove_stale_plots(folder: Path, params: Params) -> None:
    """Remove the plots of former modalities: `dvc plots` shows every file of the folder."""
    for file in sorted(folder.glob("*.csv")):
        if file.stem not in params.modalities:
            print(f"removing {file}: params.yaml names its modality no more")
            file.unlink()
