"""How good the models are, as figures: drawn from the tables below plots/."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.reporting.canvas import GREY, ROW, add_legend, new_figure, style
from stages.reporting.colours import colours_of
from stages.reporting.names import shortened
from stages.reporting.plot_tables import modalities_of, notes, read_plot_table

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ENDS = ("", "_low", "_high")  # of the columns of a figure and its interval
LINES = ("-", "--", ":", "-.")
METRICS = {"accuracy": "accuracy", "macro_f1": "macro F1"}


@style()
def models(plots: Path) -> "Figure":
    """Draw accuracy and macro F1 of every model, the best of each modality first."""
    numbers = [f"{key}{end}" for key in METRICS for end in ENDS]
    table = read_plot_table(plots / "evaluation/models.csv", numbers)
    modalities = modalities_of(plots)
    colours = colours_of(modalities)
    lines: list[tuple[str, str, Any]] = (
        []
    )  # a label, its modality, and a row unless it is a heading
    for modality in modalities:
        lines.append((modality, modality, None))
        rows = table[table["modality"] == modality]
        for _, row in rows.sort_values("macro_f1", ascending=False, kind="stable").iterrows():
            lines.append((row["classifier"], modality, row))
    title = "Models on the test products, with 95 % intervals; those of a modality by macro F1"
    figure = new_figure(1.2 + ROW * len(lines), title, notes(plots, modalities))
    panels = figure.subplots(1, len(METRICS), sharex=True, sharey=True)
    for axes, (key, name) in zip(panels, METRICS.items(), strict=True):
        for y, (_, modality, row) in enumerate(lines):
            if row is not None:
                value, low, high = (float(row[f"{key}{end}"]) for end in ENDS)
                _interval(axes, y, value, low, high, colours[modality])
        axes.set(title=name, ylim=(len(lines) - 0.4, -0.6))
        axes.grid(visible=False, axis="y")
    panels[0].set_yticks(range(len(lines)), [shortened(label) for label, _, _ in lines])
    for tick, (_, modality, row) in zip(panels[0].get_yticklabels(), lines, strict=True):
        if row is None:
            tick.set(color=colours[modality], size=12)
    return figure


def _interval(axes: "Axes", y: int, value: float, low: float, high: float, colour: Any) -> None:
    """Draw a figure with its interval at a height, and write both to the right."""
    spread = [[max(value - low, 0)], [max(high - value, 0)]]
    axes.errorbar(value, y, xerr=spread, fmt="o", capsize=3, color=colour)
    words = f"{value:.3f} [{low:.3f}, {high:.3f}]"
    axes.text(1.01, y, words, transform=axes.get_yaxis_transform(), va="center", size=9)


@style()
def coverage(plots: Path) -> "Figure":
    """Draw the mistakes among the most confident predictions, by how many of them are taken."""
    table = read_plot_table(plots / "evaluation/coverage.csv", ["coverage", "risk"])
    title = "Mistakes among the most confident predictions, by coverage"
    figure = new_figure(5, title, notes(plots, table["modality"].unique()))
    axes = figure.subplots()
    for look, rows in _by_modality(plots, table):
        axes.plot(rows["coverage"], rows["risk"], **look)
    top = max(1.05 * table["risk"].max(), 0.05)
    axes.set(
        xlabel="coverage: share of the test products that are accepted without review",
        ylabel="share of mistakes among them",
        xlim=(0, 1),
        ylim=(-0.03 * top, top),
    )
    _per_cent(axes)
    add_legend(axes)
    return figure


@style()
def calibration(plots: Path) -> "Figure":
    """Draw how many predictions of one probability are right, before and after calibration."""
    numbers = ["confidence", "accuracy", "products"]
    table = read_plot_table(plots / "evaluation/calibration.csv", numbers)
    title = "Calibration on the test products; the larger a dot, the more products"
    figure = new_figure(5.6, title, notes(plots, table["modality"].unique()))
    panels = figure.subplots(1, 2, sharey=True)
    for axes, when in zip(panels, ("before calibration", "after calibration"), strict=True):
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=1)
        for look, rows in _by_modality(plots, table[table["probabilities"] == when]):
            axes.plot(rows["confidence"], rows["accuracy"], **look)
            sizes = 4 + 80 * rows["products"] / table["products"].max()
            axes.scatter(rows["confidence"], rows["accuracy"], sizes, color=look["color"], zorder=3)
        ends = (-0.03, 1.03)
        axes.set(title=when, xlabel="probability of the prediction", xlim=ends, ylim=ends)
        _per_cent(axes)
    panels[0].set_ylabel("share of predictions that are right")
    add_legend(panels[1])
    return figure


def _by_modality(
    plots: Path, table: "pd.DataFrame"
) -> Iterator[tuple[dict[str, Any], "pd.DataFrame"]]:
    """Yield the look of each modality's line, and the rows that it has in a table."""
    modalities = modalities_of(plots)
    colours = colours_of(modalities)
    for i, modality in enumerate(modalities):
        rows = table[table["modality"] == modality]
        if len(rows):
            dashes = LINES[i % len(LINES)]
            yield {
                "color": colours[modality],
                "linestyle": dashes,
                "label": shortened(modality),
            }, rows


def _per_cent(axes: "Axes") -> None:
    """Write the numbers at both axes as per cent."""
    from matplotlib.ticker import PercentFormatter

    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0))
