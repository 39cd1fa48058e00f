"""The specifications of the charts: valid Vega-Lite, and cut where nobody could read them."""

import html
import re

import altair as alt
import pytest
import vl_convert

from stages.reporting import charts

ENDS = {
    "accuracy_low": "0.4",
    "accuracy_high": "0.6",
    "macro_f1_low": "0.2",
    "macro_f1_high": "0.3",
}
MODELS = [
    {"modality": m, "classifier": "svm", "accuracy": "0.5", "macro_f1": "0.25", **ENDS}
    for m in ("image", "text")
]
EPOCHS = [
    {
        **{"modality": "text", "classifier": "mlp", "fold": "1", "epoch": str(epoch)},
        **{"train_loss": "1.5", "validation_loss": "1.6"},
        **{"train_accuracy": "0.3", "validation_accuracy": "0.2"},
    }
    for epoch in (1, 2)
]
TUNED = [row | {"classifier": "finetuned"} for row in EPOCHS]
COVERAGE = [{"modality": "text", "coverage": "0.5", "risk": "0.1"}]
CALIBRATION = [
    {
        **{"modality": "text", "probabilities": f"{when} calibration", "confidence": "0.5"},
        **{"accuracy": "0.4", "products": "7"},
    }
    for when in ("before", "after")
]


def classes(count: int) -> list[dict[str, str]]:
    """Return an F1 by class that grows from the first class to the last."""
    return [
        {"class": f"类 {i:03d}", "modality": "text", "f1": str(i / count), "support": "5"}
        for i in range(count)
    ]


def points(count: int) -> list[dict[str, str]]:
    """Return points of classes of which the first is the largest."""
    return [
        {"sku": f"{i}-{n}", "label": f"class {i:02d}", "x": "0.1", "y": "-0.2"}
        for i in range(count)
        for n in range(count - i)
    ]


def test_a_curve_that_was_not_recorded_is_left_out():
    rows = [row | {"validation_loss": "", "validation_accuracy": ""} for row in EPOCHS]
    for metric, value in (("loss", 1.5), ("accuracy", 0.3)):
        drawn = charts.learning_chart(rows, metric, metric)["data"]["values"]
        assert [(one["part"], one["value"]) for one in drawn] == [("train", value)] * 2


@pytest.mark.parametrize(
    "spec",
    [
        charts.models_chart(MODELS, "accuracy", "accuracy"),
        charts.models_chart(MODELS, "macro_f1", "macro F1"),
        charts.classes_chart(classes(3), "text"),
        charts.coverage_chart(COVERAGE),
        charts.calibration_chart(CALIBRATION, "text"),
        charts.learning_chart(EPOCHS, "loss", "loss"),
        charts.learning_chart([*EPOCHS, *TUNED], "loss", "loss"),
        charts.map_chart(points(12), {"0-0": 3}),
    ],
)
def test_every_chart_is_valid_vega_lite(spec):
    alt.Chart.from_dict(spec, validate=True)


def test_learning_curves_of_two_classifiers_are_told_apart():
    one, two = (
        charts.learning_chart(rows, "loss", "loss")["encoding"]["strokeWidth"]
        for rows in (EPOCHS, [*EPOCHS, *TUNED])
    )
    assert one["legend"] is None and two["legend"] is not None
    assert two["scale"] == {"domain": ["mlp", "finetuned"], "range": [1.5, 3.5]}


def test_a_fold_that_stops_early_does_not_move_the_curve_of_another():
    def curves(rows):
        svg = vl_convert.vegalite_to_svg(charts.learning_chart(rows, "loss", "loss"))
        assert ">3</text>" in svg and ">3.0</text>" not in svg  # an epoch is a whole number
        return re.findall(r'"line mark"[^>]* d="([^"]*)"', svg)

    longer = [row | {"fold": "2", "train_loss": "1.2", "validation_loss": "1.9"} for row in EPOCHS]
    longer += [row | {"epoch": "3"} for row in longer[1:]]
    together = curves([*EPOCHS, *longer])
    assert len(together) == 4  # of each fold, on training and on validation
    assert sorted(curve.count("L") for curve in together) == [1, 1, 2, 2]
    heights = [set(re.findall(r",([\d.]+)", curve)) for curve in together]
    assert [len(each) for each in heights] == [1] * 4  # the losses are constant


def test_of_many_classes_the_weakest_are_shown():
    rows = charts.classes_chart(classes(200), "text")["data"]["values"]
    assert [row["class"] for row in rows] == [f"类 {i:03d}" for i in range(charts.MAX_CLASSES)]


def test_a_class_without_f1_has_no_point():
    rows = [*classes(2), {"class": "empty", "modality": "text", "f1": "", "support": "0"}]
    found = charts.classes_chart(rows, "text")["data"]["values"]
    assert [row["class"] for row in found] == ["类 000", "类 001"]


def test_modalities_of_one_f1_do_not_hide_each_other():
    names = ("image", "text", "multimodal")
    rows = [row | {"modality": name} for row in classes(3) for name in names]
    svg = vl_convert.vegalite_to_svg(charts.classes_chart(rows, "text"))
    points = re.findall(r'="point" [^>]*transform="translate\(([\d.]+),([\d.]+)\)"', svg)
    assert len(points) == len(set(points)) == 9
    heights = [float(height) for _, height in points]
    assert heights == sorted(heights)  # no point lies in the row of another class


def test_a_class_called_constructor_is_drawn_among_the_others():
    names = ("games", "constructor", "audio")
    rows = [row | {"class": name} for row, name in zip(classes(3), names, strict=True)]
    svg = vl_convert.vegalite_to_svg(charts.classes_chart(rows, "text"))
    assert re.findall(">(games|constructor|audio)</text>", svg) == list(names)


def test_a_map_has_a_colour_for_each_of_the_largest_classes():
    spec = charts.map_chart(points(15), {})
    domain = spec["encoding"]["color"]["scale"]["domain"]
    assert domain == [*(f"class {i:02d}" for i in range(9)), charts.OTHERS]
    few = charts.map_chart(points(10), {})["encoding"]["color"]["scale"]["domain"]
    assert few == [f"class {i:02d}" for i in range(10)]


def test_before_calibration_only_the_best_modality_is_shown():
    rows = [*CALIBRATION, *({**row, "modality": "image"} for row in CALIBRATION)]
    spec = charts.calibration_chart(rows, "text")
    before = [
        row["modality"]
        for layer in spec["layer"]
        for row in layer.get("data", spec.get("data", {})).get("values", [])
        if row.get("probabilities") == "before calibration"
    ]
    assert set(before) == {"text"}


LEAVES = ("OLED TVs", "TV Stands")
BRANCH = "Electronics > TV & Home Theater > Televisions > "


@pytest.mark.parametrize(
    ("key", "rows", "draw"),
    [
        ("class", classes(2), lambda rows: charts.classes_chart(rows, "text")),
        ("label", points(2), lambda rows: charts.map_chart(rows, {})),
    ],
    ids=["classes", "map"],
)
def test_categories_of_one_branch_stay_apart(key, rows, draw):
    names = {row[key]: BRANCH + leaf for row, leaf in zip(rows[::-1], LEAVES, strict=False)}
    spec = draw([row | {key: names[row[key]]} for row in rows])
    svg = html.unescape(vl_convert.vegalite_to_svg(spec))
    shown = set(re.findall("(Elec[^<]*…[^<]*)</text>", svg))
    assert len(shown) == 2
    assert all(any(text.endswith(f" {leaf}") for text in shown) for leaf in LEAVES)
