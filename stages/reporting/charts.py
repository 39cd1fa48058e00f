"""The charts of the page, as Vega-Lite specifications, from the tables of plots/."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from stages.reporting.colours import COLOURS, colours_of
from stages.reporting.results import Row

MAX_CLASSES = 40  # of the chart by class: the weakest of the best model
OTHERS = "other classes"
ROW = 21  # pixels
AFTER = "after calibration"
Spec = dict[str, Any]


def models_chart(rows: Sequence[Row], metric: str, title: str) -> Spec:
    """Return a metric of every model on the test products, with 95 % intervals."""
    values = [
        {
            "model": f"{row['modality']} · {row['classifier']}",
            "modality": row["modality"],
            **{key: float(row[metric + end]) for key, end in _ENDS.items()},
        }
        for row in rows
    ]
    base = alt.Chart(alt.Data(values=values)).encode(
        y=alt.Y("model:N", sort=None, title=None),
        color=_by_modality(rows, legend=False),
        tooltip=[
            alt.Tooltip("model:N"),
            alt.Tooltip("value:Q", title=title, format=".4f"),
            alt.Tooltip("low:Q", format=".3f"),
            alt.Tooltip("high:Q", format=".3f"),
        ],
    )
    scale = alt.Scale(domain=[0, 1])
    interval = base.mark_rule(strokeWidth=2).encode(
        x=alt.X("low:Q", title=title, scale=scale), x2="high:Q"
    )
    point = base.mark_point(filled=True, size=70, opacity=1).encode(x=alt.X("value:Q", scale=scale))
    return _spec(
        interval + point, f"{title} of every model, with 95 % intervals", ROW * len(values)
    )


_ENDS = {"value": "", "low": "_low", "high": "_high"}


def classes_chart(rows: Sequence[Row], best_modality: str) -> Spec:
    """Return F1 by class and modality, the weakest classes of `best_modality` first."""
    scored = [row for row in rows if row["f1"]]
    strength = {
        row["class"]: float(row["f1"]) for row in scored if row["modality"] == best_modality
    }
    weakest = sorted(strength, key=lambda name: (strength[name], name))[:MAX_CLASSES]
    values = [
        {
            "class": row["class"],
            "modality": row["modality"],
            "f1": float(row["f1"]),
            "support": int(row["support"]),
        }
        for row in scored
        if row["class"] in set(weakest)
    ]
    names = _modalities(rows)
    chart = (
        alt.Chart(alt.Data(values=values))
        .mark_point(filled=True, size=70, opacity=0.9)
        .encode(
            x=alt.X("f1:Q", title="F1", scale=alt.Scale(domain=[0, 1])),
            # A domain: to sort classes, Vega looks them up in an object, which has a "constructor".
            y=alt.Y(
                "class:N",
                scale=alt.Scale(domain=weakest),
                sort=None,
                title=None,
                axis=alt.Axis(grid=True, labelExpr=_cut(28)),
            ),
            color=_by_modality(rows),
            shape=alt.Shape("modality:N", title=None, sort=None, scale=alt.Scale(domain=names)),
            # Side by side, for several may have the same F1.
            yOffset=alt.YOffset("modality:N", scale=alt.Scale(domain=names, paddingOuter=1)),
            tooltip=["class:N", "modality:N", alt.Tooltip("f1:Q", format=".3f"), "support:Q"],
        )
    )
    return _spec(chart, "F1 of each class, by modality", ROW * len(weakest))


def coverage_chart(rows: Sequence[Row]) -> Spec:
    """Return how many of the most confident predictions are right, by their share."""
    values = [
        {
            "modality": row["modality"],
            "coverage": float(row["coverage"]),
            "accuracy": round(1 - float(row["risk"]), 4),
        }
        for row in rows
    ]
    lines = (
        alt.Chart(alt.Data(values=values))
        .mark_line(strokeWidth=2)
        .encode(
            x=alt.X("coverage:Q", title="share of products filed", axis=alt.Axis(format="%")),
            y=alt.Y("accuracy:Q", title="of these right", axis=_PERCENT, scale=_from_data()),
            color=_by_modality(rows),
            tooltip=["modality:N", alt.Tooltip("coverage:Q", format=".0%"), _share("accuracy")],
        )
    )
    targets = (
        alt.Chart(alt.Data(values=[{"target": 0.95}, {"target": 0.99}]))
        .mark_rule(strokeDash=[3, 3], color="#888")
        .encode(y="target:Q")
    )
    return _spec(lines + targets, "Accuracy by the share of products that are filed", 260)


def calibration_chart(rows: Sequence[Row], best_modality: str) -> Spec:
    """Return how many predictions of one probability are right.

    Before calibration, it is that of `best_modality` alone.
    """
    values = [
        {
            "modality": row["modality"],
            "probabilities": row["probabilities"],
            "confidence": float(row["confidence"]),
            "accuracy": float(row["accuracy"]),
            "products": int(row["products"]),
        }
        for row in rows
        if row["probabilities"] == AFTER or row["modality"] == best_modality
    ]
    scale = alt.Scale(domain=[0, 1])
    x = alt.X("confidence:Q", title="probability of the prediction", scale=scale, axis=_PERCENT)
    y = alt.Y("accuracy:Q", title="of these right", scale=scale, axis=_PERCENT)
    dash = alt.StrokeDash(
        "probabilities:N",
        title=None,
        sort=None,
        scale=alt.Scale(domain=[AFTER, "before calibration"], range=[[1, 0], [4, 3]]),
    )
    base = alt.Chart(alt.Data(values=values)).encode(
        x=x,
        y=y,
        color=_by_modality(rows),
        tooltip=[
            "modality:N",
            "probabilities:N",
            _share("confidence"),
            _share("accuracy"),
            "products:Q",
        ],
    )
    lines = base.mark_line(strokeWidth=1.5).encode(strokeDash=dash)
    points = (
        base.mark_point(filled=True, opacity=0.9)
        .encode(size=alt.Size("products:Q", legend=None, scale=alt.Scale(range=[15, 180])))
        .transform_filter(f"datum.probabilities == '{AFTER}'")
    )
    ideal = (
        alt.Chart(
            alt.Data(values=[{"confidence": 0, "accuracy": 0}, {"confidence": 1, "accuracy": 1}])
        )
        .mark_line(strokeDash=[3, 3], color="#888", strokeWidth=1)
        .encode(x=x, y=y)
    )
    return _spec(ideal + lines + points, "Share of right predictions by their probability", 260)


def learning_chart(rows: Sequence[Row], metric: str, title: str) -> Spec:
    """Return a metric by epoch, on training and on validation products, a line for each fold.

    Folds stop at different epochs: their mean would jump where one ends. Of several classifiers,
    each has lines of its own width.
    """
    classifiers = list(dict.fromkeys(row["classifier"] for row in rows))
    values = [
        {
            "model": f"{row['modality']} · {row['classifier']}",
            "modality": row["modality"],
            "classifier": row["classifier"],
            "fold": int(row["fold"]),
            "part": part,
            "epoch": int(row["epoch"]),
            "value": float(row[f"{part}_{metric}"]),
        }
        for row in rows
        for part in ("train", "validation")
        if row[f"{part}_{metric}"]  # empty where there were no products to judge by
    ]
    chart = (
        alt.Chart(alt.Data(values=values))
        .mark_line()
        .encode(
            x=alt.X("epoch:Q", axis=alt.Axis(format="d", tickMinStep=1)),
            y=alt.Y("value:Q", title=title, scale=_from_data()),
            color=_by_modality(rows),
            strokeDash=alt.StrokeDash("part:N", title=None, sort=None),
            tooltip=[
                "model:N",
                "fold:N",
                "part:N",
                "epoch:Q",
                alt.Tooltip("value:Q", title=title, format=".3f"),
            ],
            detail=["model:N", "fold:N"],
        )
    )
    widths = [1.5 + 2 * at for at in range(len(classifiers))]
    scale = alt.Scale(domain=classifiers, range=widths)
    legend = alt.Legend() if len(classifiers) > 1 else None
    chart = chart.encode(
        strokeWidth=alt.StrokeWidth("classifier:O", title=None, scale=scale, legend=legend)
    )
    return _spec(chart, f"{title} by epoch", 240)


def map_chart(rows: Sequence[Row], numbers: Mapping[str, int]) -> Spec:
    """Return products on their principal components; a point leads to its card.

    `numbers` are the numbers of cards by sku: products without a card are points as well.
    """
    sizes = Counter(row["label"] for row in rows)
    largest = [name for name, _ in sorted(sizes.items(), key=lambda item: (-item[1], item[0]))]
    named = largest if len(largest) <= len(COLOURS) else largest[: len(COLOURS) - 1]
    values = [
        {
            "class": row["label"],
            "colour": row["label"] if row["label"] in set(named) else OTHERS,
            "x": float(row["x"]),
            "y": float(row["y"]),
            "card": numbers.get(row["sku"], -1),
        }
        for row in rows
    ]
    order = named if len(named) == len(largest) else [*named, OTHERS]
    colours = alt.Scale(domain=order, range=[*colours_of(named).values(), "#9a9a9a"])
    axis = alt.Axis(labels=False, ticks=False, grid=False, domain=False)
    chosen = alt.selection_point(fields=["colour"], bind="legend")
    chart = (
        alt.Chart(alt.Data(values=values))
        .mark_point(filled=True, size=36)
        .encode(
            x=alt.X("x:Q", title="first component", axis=axis, scale=_from_data()),
            y=alt.Y("y:Q", title="second component", axis=axis, scale=_from_data()),
            color=alt.Color(
                "colour:N",
                title=None,
                sort=None,
                scale=colours,
                legend=alt.Legend(labelExpr=_cut(22)),
            ),
            opacity=alt.condition(chosen, alt.value(0.85), alt.value(0.06)),
            tooltip=["class:N", alt.Tooltip("name:N"), alt.Tooltip("image:N")],
        )
        .add_params(chosen)
    )
    return _spec(chart, "Products on the first two principal components, by class", 420)


_PERCENT = alt.Axis(format="%")


def _cut(columns: int) -> str:
    """Return Vega's words for labels without their middle where they are longer, as `shortened`."""
    return f"truncate(datum.label, {columns}, 'center', '…')"


def _share(field: str) -> alt.Tooltip:
    return alt.Tooltip(f"{field}:Q", format=".1%")


def _from_data() -> alt.Scale:
    """Return a scale that need not begin at zero."""
    return alt.Scale(zero=False, nice=True)


def _modalities(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row["modality"] for row in rows))


def _by_modality(rows: Sequence[Row], legend: bool = True) -> alt.Color:
    names = _modalities(rows)
    scale = alt.Scale(domain=names, range=list(colours_of(names).values()))
    options: dict[str, Any] = {} if legend else {"legend": None}
    return alt.Color("modality:N", title=None, sort=None, scale=scale, **options)


def _spec(chart: Any, description: str, height: int) -> Spec:
    """Return a chart as wide as its place on the page, in the colours of the page's text."""
    spec: Spec = chart.properties(
        width="container",
        height=height,
        description=description,
        background="transparent",
    ).to_dict(
        validate=False
    )  # which takes two seconds: a test does it
    spec["config"] = _CONFIG
    return spec


_INK = {"labelColor": "currentColor", "titleColor": "currentColor", "titleFontWeight": "normal"}
_CONFIG = {
    "font": "system-ui, sans-serif",
    "axis": {**_INK, "gridColor": "#8884", "domainColor": "#888", "tickColor": "#888"},
    "legend": {**_INK, "orient": "top", "labelLimit": 150, "symbolLimit": 0},
    "view": {"stroke": None},
}
