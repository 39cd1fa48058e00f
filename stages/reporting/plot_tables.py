"""The tables below plots/ as pandas reads them, and what their figures rest on."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stages.common.errors import InputError
from stages.common.files import read_json
from stages.common.paths import METRICS
from stages.evaluation.model_metrics import WEIGHTS

if TYPE_CHECKING:
    import pandas as pd


def read_plot_table(path: Path, numbers: Sequence[str]) -> "pd.DataFrame":
    """Return a table as text, but `numbers`, columns in which NaN stands for an empty cell.

    Raises InputError where the table is missing.
    """
    import pandas as pd

    if not path.is_file():
        raise InputError(f"{path} is not there: `dvc repro` builds it")
    table = pd.read_csv(path, dtype=str, keep_default_na=False)  # a class may be called NA
    return table.assign(**{name: pd.to_numeric(table[name]) for name in numbers})


def modalities_of(plots: Path) -> list[str]:
    """Return the modalities in the order of params.yaml, which is that of the models."""
    models = read_plot_table(plots / "evaluation/models.csv", [])
    return list(dict.fromkeys(models["modality"]))


def notes(plots: Path, modalities: Collection[str]) -> list[str]:
    """Return lines that say where what is shown of modalities proves nothing: random weights, demo.

    Raises InputError where metrics/data.json, beside `plots`, is missing.
    """
    found = []
    if read_json(plots.parent / METRICS / "data.json")["source"] == "demo":
        found.append("DEMO DATA, drawn by the program: not evidence of quality.")
    models = read_plot_table(plots / "evaluation/models.csv", [])
    rows = models[models["weights"].str.contains(WEIGHTS["random"], regex=False)]
    random = [name for name in dict.fromkeys(rows["modality"]) if name in modalities]
    if random:
        found.append(
            f"RANDOM WEIGHTS: what is shown of {', '.join(random)} says nothing of the quality "
            "that pretrained weights give."
        )
    return found
