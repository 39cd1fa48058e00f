"""What params.yaml no longer names of models and encoders: DVC leaves it where it was.

A stage that depends on the folder above would have it in its hash. In a clone that pulled, where it
is not, that stage would then run again.
"""

import shutil
from collections.abc import Collection
from pathlib import Path

from stages.common.errors import InputError
from stages.common.files import DESKTOP_FILES, remove_leftovers
from stages.common.weights_aside import set_aside

MANIFEST = "manifest.json"  # of weights, and of a network in int8


def remove_unnamed_models(folder: Path, classifiers: Collection[str]) -> None:
    """Remove the models of classifiers that params.yaml no longer names.

    Raises InputError for a folder that holds no model.
    """
    for path in _unnamed(folder, classifiers):
        _remove(path, any(path.rglob("probabilities.parquet")), "model")


def remove_unnamed_networks(folder: Path, encoders: Collection[str]) -> None:
    """Remove the networks in int8 of encoders that params.yaml no longer names.

    Raises InputError for a folder that holds none.
    """
    for path in _unnamed(folder, encoders):
        is_empty = all(file.name in DESKTOP_FILES for file in path.iterdir())  # not in int8
        _remove(path, is_empty or (path / MANIFEST).is_file(), "network")


def set_aside_unnamed_weights(folder: Path, encoders: Collection[str]) -> None:
    """Put the weights of encoders that params.yaml no longer names aside.

    Raises InputError for a folder that holds none.
    """
    for path in _unnamed(folder, encoders):
        _check(path, (path / MANIFEST).is_file(), "encoder's weights")
        print(f"putting {path} aside: params.yaml no longer names it")
        set_aside(path)


def _unnamed(folder: Path, names: Collection[str]) -> list[Path]:
    remove_leftovers(folder)  # of a killed run: no later one writes to an unnamed place
    folders = sorted(path for path in folder.glob("*") if path.is_dir())
    return [path for path in folders if path.name not in names and not path.name.startswith(".")]


def _check(path: Path, is_output: bool, what: str) -> None:
    if not is_output:
        raise InputError(f"{path} is no {what} that params.yaml names: move it elsewhere")


def _remove(path: Path, is_output: bool, what: str) -> None:
    _check(path, is_output, what)
    print(f"removing {path}: params.yaml no longer names it (DVC's cache still has it)")
    shutil.rmtree(path)
