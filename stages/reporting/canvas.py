"""Figures of one style, with literal texts in any script, as PNGs of always the same bytes."""

import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from stages.common.files import atomic_file
from stages.evaluation.typesetting import FONT_PACKAGES
from stages.reporting.names import is_wide

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 100
WIDTH = 10.0  # inches: 1,000 pixels
ROW = 0.3  # inches of a class or of a model
INK, GREY = "#262626", "#555555"
MARKERS = "os^DvPX<>p*h"
LATIN, CHINESE = "Noto Sans", "Noto Sans CJK SC"
CJK_STROKE = 0.3  # points


@contextmanager
def style() -> Iterator[None]:
    """Draw in one style, whatever the settings of Matplotlib are; they return in the end."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(
            {
                "axes.axisbelow": True,
                "axes.grid": True,
                "lines.solid_capstyle": "round",
                "xtick.bottom": False,
                "ytick.left": False,
                "text.color": INK,
                "axes.labelcolor": INK,
                "xtick.color": INK,
                "ytick.color": INK,
                "font.family": _families()[0],  # to look for them all takes half of the time
                "font.size": 10,
                "text.parse_math": False,  # the name of a class may have dollar signs
                "axes.titlesize": 11,
                "figure.titlesize": 12,
                "axes.edgecolor": "#bbbbbb",
                "grid.color": "#e5e5e5",
            }
        )
        yield


def new_figure(height: float, title: str, notes: Iterable[str] = ()) -> "Figure":
    """Return a figure of WIDTH by `height` inches with a title, and notes below in small type."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08)
    figure = Figure((WIDTH, height), DPI, layout=layout)
    FigureCanvasAgg(figure)
    figure.suptitle(title, x=0.01, ha="left")
    if text := "\n".join(notes):
        figure.supxlabel(text, x=0.01, ha="left", fontsize=9, color=GREY)
    return figure


def png(figure: "Figure") -> bytes:
    """Return a figure as a PNG of 256 colours; the same figure gives the same bytes."""
    from matplotlib.patheffects import Normal, Stroke
    from matplotlib.text import Text

    canvas: Any = figure.canvas
    with style():
        texts: Any = figure.findobj(Text)
        for text in texts:
            if text.get_text().isascii():
                continue
            text.set_fontfamily(_families())
            if any(is_wide(sign) for sign in text.get_text()):
                # Matplotlib draws a variable font in its lightest weight: Chinese in hairlines.
                stroke = Stroke(linewidth=CJK_STROKE, foreground=text.get_color())
                text.set_path_effects([stroke, Normal()])
        canvas.draw()
    file = io.BytesIO()
    drawn = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    drawn.quantize(256, dither=Image.Dither.NONE).save(file, "PNG")
    return file.getvalue()


def save(figure: "Figure", path: Path) -> None:
    """Write a figure to `path` as a PNG, whole or not at all."""
    content = png(figure)
    with atomic_file(path) as part:
        part.write_bytes(content)


def add_legend(axes: "Axes", labels: Sequence[str] | None = None) -> None:
    """Put a legend to the right of a plot, where it hides nothing.

    It has the collections by `labels`, or what was drawn with a label.
    """
    handles: Sequence[Any] = axes.collections
    if labels is None:
        handles, labels = axes.get_legend_handles_labels()
    place = (1.01, 1)
    axes.legend(
        handles, labels, loc="upper left", bbox_to_anchor=place, borderaxespad=0, frameon=False
    )


def markers_of(names: Sequence[str]) -> dict[str, str]:
    """Return a marker for each name; after twelve they return."""
    return {name: MARKERS[i % len(MARKERS)] for i, name in enumerate(names)}


@cache
def _families() -> list[str]:
    """Make the fonts of FONT_PACKAGES known to Matplotlib; return their names, the first first.

    They get names of their own, so that none of the system's fonts is taken for them.
    """
    from matplotlib.font_manager import fontManager

    known = len(fontManager.ttflist)
    for package in FONT_PACKAGES:
        for file in sorted(Path(str(files(package))).glob("*.tt[fc]")):
            fontManager.addfont(file)
    added = {
        entry.name: replace(entry, name=f"{entry.name} of {__name__}", weight=400)
        for entry in fontManager.ttflist[known:]
        if entry.style == "normal"
    }
    first = [added.pop(name) for name in (LATIN, CHINESE)]
    fontManager.ttflist[known:] = [*first, *added.values()]
    return [entry.name for entry in fontManager.ttflist[known:]]
