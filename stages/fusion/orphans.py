"""Models that params.yaml no longer names: DVC leaves them where they were."""

import shutil
from collections.abc import Collection
from pathlib import Path

from stages.common.errors import InputError


def remove_unnamed_models(folder: Path, classifiers: Collection[str]) -> None:
    """Remove the models of classifiers that params.yaml no longer names; `dvc repro` keeps them.

    Raises InputError for a folder that holds no model.
    """
    for path in sorted(path for path in folder.glob("*") if path.is_dir()):
        if path.name in classifiers or path.name.startswith("."):
            continue
        if not any(path.rglob("probabilities.parquet")):
            raise InputError(f"{path} is no model that params.yaml names: move it elsewhere")
        print(f"removing {path}: params.yaml no longer names it (DVC's cache still has it)")
        shutil.rmtree(path)
