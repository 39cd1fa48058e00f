"""What happens to each class, as figures: drawn from the tables below plots/."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stages.reporting.canvas import (
    INK,
    ROW,
    add_legend,
    markers_of,
    new_figure,
    style,
)
from stages.reporting.colours import colours_of
from stages.reporting.names import shortened
from stages.reporting.plot_tables import modalities_of, notes, read_plot_table

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

MAX_CONFUSED = 25  # classes in a heat map
MAX_CLASSES = 30  # in the plot of each class
MAX_COLOURED = 12  # classes with a colour of their own on a map
OTHERS = "#bbbbbb"
DARK = 60  # per cent: figures are white from there


@style()
def confusion(plots: Path, modality: str) -> "Figure":
    """Draw what the best model of a modality takes each class for, as a heat map."""
    table = read_plot_table(plots / f"evaluation/confusion/{modality}.csv", ["products", "share"])
    names = list(dict.fromkeys(table["actual"]))
    index = {name: i for i, name in enumerate(names)}
    counts = np.zeros((len(names), len(names)))
    shares = counts.copy()
    at = (table["actual"].map(index), table["predicted"].map(index))
    counts[at], shares[at] = table["products"], table["share"]
    support = counts.sum(axis=1).astype(int)
    mistakes = counts - np.diag(np.diag(counts))
    order = np.argsort(-(mistakes.sum(axis=0) + mistakes.sum(axis=1)), kind="stable")
    shown = np.sort(order[:MAX_CONFUSED])
    title = f"{_of(table, modality)}: per cent of each class's test products by prediction"
    if len(shown) < len(names):
        title += f"\nshown: the {len(shown)} of {len(names)} classes with most confusions"
    percent = 100 * shares[np.ix_(shown, shown)]
    figure = new_figure(3 + ROW * len(shown), title, notes(plots, [modality]))
    axes = figure.subplots()
    lines: dict[str, Any] = {"edgecolors": "#eeeeee", "linewidth": 0.5}
    axes.pcolormesh(percent, cmap="Blues", vmin=0, vmax=100, **lines)
    axes.invert_yaxis()
    axes.grid(visible=False)
    for (y, x), share in np.ndenumerate(percent):
        if share:
            words = "<1" if share < 1 else f"{share:.0f}"
            colour = "white" if share > DARK else INK
            axes.text(x + 0.5, y + 0.5, words, ha="center", va="center", size=8, color=colour)
    axes.set(xlabel="predicted", ylabel="actual (products)")
    ticks = np.arange(len(shown)) + 0.5
    slanted: Any = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
    axes.set_xticks(ticks, [shortened(names[i]) for i in shown], **slanted)
    axes.set_yticks(ticks, [f"{shortened(names[i])} ({support[i]})" for i in shown], va="center")
    return figure


@style()
def per_class(plots: Path) -> "Figure":
    """Draw the F1 of each class by modality, the weakest first; none where no product counts."""
    table = read_plot_table(plots / "evaluation/per_class.csv", ["f1", "support"])
    by_class = table.groupby("class", sort=False)
    means = by_class["f1"].mean().sort_values(kind="stable", na_position="last")
    support = by_class["support"].max()
    shown = {name: place for place, name in enumerate(means.index[:MAX_CLASSES])}
    modalities = modalities_of(plots)
    colours, markers = colours_of(modalities), markers_of(modalities)
    title = "F1 of each class on the test products, by modality; the weakest first"
    if len(shown) < len(means):
        title += f"\nshown: the {len(shown)} of {len(means)} classes with the lowest mean F1"
    figure = new_figure(1.6 + ROW * len(shown), title, notes(plots, modalities))
    axes = figure.subplots()
    for i, modality in enumerate(modalities):
        rows = table[(table["modality"] == modality) & table["class"].isin(shown)]
        # Side by side, for several may have the same F1.
        aside = 0.4 * ((i + 0.5) / len(modalities) - 0.5)
        places = [shown[name] + aside for name in rows["class"]]
        look: dict[str, Any] = {"color": colours[modality], "marker": markers[modality]}
        if len(rows):
            label = shortened(modality)
            axes.plot(rows["f1"], places, linestyle="", alpha=0.85, zorder=3, label=label, **look)
    labels = [f"{shortened(name)} ({support[name]})" for name in shown]
    axes.set_yticks(range(len(shown)), labels)
    axes.set(
        xlim=(-0.02, 1.02), ylim=(len(shown) - 0.4, -0.6), xlabel="F1", ylabel="class (products)"
    )
    add_legend(axes)
    return figure


@style()
def pca(plots: Path, modality: str) -> "Figure":
    """Draw a map of the products as a modality sees them, coloured by class."""
    table = read_plot_table(plots / f"pca/{modality}.csv", ["x", "y"])
    sizes = table["label"].value_counts()
    names = sorted(sizes.index, key=lambda name: (-sizes[name], name))
    shown = names[:MAX_COLOURED]
    colours, markers = colours_of(shown), markers_of(shown)
    title = (
        f"{shortened(modality)}: {len(table):,} products on their first two principal components"
    )
    if len(shown) < len(names):
        title += f"\nin colour: the largest {len(shown)} of {len(names)} classes"
    figure = new_figure(6.5, title, notes(plots, [modality]))
    axes = figure.subplots()
    others = table[~table["label"].isin(shown)]
    look: dict[str, Any] = {"linewidths": 0.3, "edgecolors": "white", "s": 32}
    labels = []
    for name in shown:
        rows = table[table["label"] == name]
        look |= {"color": colours[name], "marker": markers[name], "zorder": 2}
        axes.scatter(rows["x"], rows["y"], **look)
        labels.append(f"{shortened(name)} ({len(rows)})")
    if len(others):
        look |= {"color": OTHERS, "marker": ".", "zorder": 1}
        axes.scatter(others["x"], others["y"], **look)
        labels.append(f"others ({len(others)})")
    axes.set(xlabel="first principal component", ylabel="second principal component")
    # Given outright: else Matplotlib leaves out those that begin with an underscore.
    add_legend(axes, labels)
    return figure


def _of(table: "pd.DataFrame", modality: str) -> str:
    """Name a modality and its best model."""
    return f"{shortened(modality)}, {shortened(table['model'].iloc[0])}"
