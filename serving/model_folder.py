"""Whether a model's folder has the files that it was packaged with."""

from pathlib import Path

from stages.common.errors import InputError
from stages.fusion.model_file import ModelFile


def check_files(file: ModelFile, folder: Path) -> None:
    """Raise InputError where a file of the model in `folder` is missing, or another one.

    The neighbours may be missing; those who load an encoder check its files.
    """
    file.check_sums(folder)
    top = folder / file.folder
    there = {path.relative_to(folder).as_posix() for path in top.rglob("*") if path.is_file()}
    for name in sorted(file.files.keys() - there):
        if name.startswith(f"{file.folder}/") and ".." not in name:  # it may lead out of the folder
            raise InputError(f"{folder / name} is not there: copy the model anew")
