"""The plots as images for Git and for the notebook, drawn from the tables below plots/."""

from pathlib import Path

from stages.reporting.canvas import save
from stages.reporting.class_plots import confusion, pca, per_class
from stages.reporting.model_plots import calibration, coverage, models


def draw_all(folder: Path, plots: Path) -> None:
    """Draw every plot into `folder`, from the tables in `plots`.

    There is a confusion and a pca of each modality that has its table. Raises InputError where
    another table is missing.
    """
    for draw in (models, per_class, coverage, calibration):
        save(draw(plots), folder / f"{draw.__name__}.png")
    for table in sorted((plots / "evaluation/confusion").glob("*.csv")):
        save(confusion(plots, table.stem), folder / f"confusion-{table.stem}.png")
    for table in sorted((plots / "pca").glob("*.csv")):
        save(pca(plots, table.stem), folder / f"pca-{table.stem}.png")
