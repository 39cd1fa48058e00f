"""Export a model with its encoders as OpenVINO's networks: it then needs neither framework.

Run as `python -m serving.export DIR`. DIR is written whole: the model as it is, and in place of the
weights of TensorFlow and PyTorch the converted networks, which take bytes or tokens.
"""

import argparse
import shutil
from pathlib import Path

from serving.encoders import settings_of
from serving.model_folder import check_files
from serving.weights import find_weights
from stages.common import paths
from stages.common.errors import InputError
from stages.common.files import DESKTOP_FILES, atomic_folder
from stages.common.process import run_stage
from stages.encoders.base import module_of
from stages.encoders.weights.manifest import read_manifest, write_manifest
from stages.fusion.model_file import ENCODERS, FILE, NEIGHBORS, ModelFile

CARD = "README.md"


def export(model: Path, folder: Path) -> None:
    """Write the model in a folder into another, with converted encoders.

    Raises InputError where there is no model, where it is damaged or its weights cannot be had, or
    where `folder` lies in the model, has it or the working folder within, or has files that are no
    model.
    """
    file = ModelFile.load(model)
    source, target = model.resolve(), folder.resolve()
    if target.is_relative_to(source):
        raise InputError(f"{folder} is in the model {model}: name another folder")
    if source.is_relative_to(target):  # which is replaced whole
        raise InputError(f"the model {model} is in {folder}: name another folder")
    held = {one.name for one in folder.iterdir()} if folder.exists() else set()
    if held - DESKTOP_FILES and not (folder / FILE).is_file():
        raise InputError(f"{folder} has files and is no model: name another folder")
    if Path.cwd().is_relative_to(target):  # whoever works there would be left in a removed folder
        raise InputError(f"{folder} is where you are, and would be replaced: name another folder")
    check_files(file, model)
    with atomic_folder(folder) as new:
        for place in [model / file.folder, *(model / file.folder).rglob("*")]:
            if place.is_dir():
                _copy(place, new / place.relative_to(model))
        for part in (NEIGHBORS, CARD):
            if (model / part).is_file():
                shutil.copyfile(model / part, new / part)
        file.with_sums(new).save(new)
        for name, entry in file.encoders.items():
            settings = settings_of(name, entry, model)
            if entry.weights.kind == "none":
                continue
            weights = find_weights(name, settings, entry, model, file.seed)
            kind, place = module_of(settings.kind), weights
            if hasattr(kind, "convert"):
                _, place = kind.convert(settings, weights)
            _copy(place, new / ENCODERS / name)
            manifest = read_manifest(weights)
            write_manifest(new / ENCODERS / name, manifest, manifest.request)


def _copy(place: Path, folder: Path) -> None:
    """Copy the files of a folder into a new one, without their modes: they may be read-only."""
    folder.mkdir(parents=True)
    for file in sorted(place.iterdir()):
        if file.is_file():
            shutil.copyfile(file, folder / file.name)


def main() -> None:
    """Export the model that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, metavar="DIR", help="the folder to write")
    parser.add_argument("--model", type=Path, default=paths.BEST_MODEL, help="default: %(default)s")
    asked = parser.parse_args()
    export(asked.model, asked.folder)
    files = [file for file in asked.folder.rglob("*") if file.is_file()]
    size = sum(file.stat().st_size for file in files)
    print(f"{asked.folder}: {asked.model}, {len(files)} files, {size / 1e6:.0f} MB")


if __name__ == "__main__":
    run_stage(main, "run the same command again")
