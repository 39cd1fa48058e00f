"""The plots as images: what they show and say, for ordinary catalogues and for odd ones."""

import io
import math
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from helpers.repository import TOP
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from stages.common.errors import InputError
from stages.common.files import write_csv
from stages.reporting import static_plots
from stages.reporting.canvas import png

MODALITIES = ["image", "text", "multimodal"]
ODD = [
    "$x$ <b>",
    "$x_1",
    "100 % cotton",
    "_hidden",
    "NA",
    "1",
    r"\frac{a}{b}",
    "a & b",
    "tab\tand\nline",
]
SCRIPTS = [
    "手机配件与数据线",
    "เครื่องซักผ้า",
    "هواتف محمولة",
    "휴대폰 액세서리",
    "ケーブル",
    "טלפונים",
    "मोबाइल",
]
FILES = ["calibration.png", "coverage.png", "models.png", "per_class.png"]


def write_tables(top: Path, names: list[str], modalities: list[str], each: int = 10) -> Path:
    """Write plots/ of a catalogue: its class i has F1 i / n, and is taken for the next i times."""
    classes, models, evaluation = len(names), [], top / "plots/evaluation"
    for i, modality in enumerate(modalities):
        for j, classifier in enumerate(["logistic_regression", "svm"]):
            models.append([modality, classifier])
            for value in (0.5 + 0.1 * i + 0.02 * j, 0.4 + 0.1 * i + 0.02 * j):
                models[-1] += [value, value - 0.05, value + 0.07]
            random = (
                "RANDOM: resnet50; bundled: minilm" if modality == "image" else "bundled: minilm"
            )
            models[-1].append(random)
        counts = [(a, b, n) for a in range(classes) for b, n in ((a, each), ((a + 1) % classes, a))]
        write(
            evaluation / f"confusion/{modality}.csv",
            "actual predicted products share model",
            [[names[a], names[b], n, n / (each + a), "svm"] for a, b, n in counts if n or a == b],
        )
        write(
            top / f"plots/pca/{modality}.csv",
            "x y label",
            [
                [math.cos(k * n), math.sin(k + n), names[n]]
                for n in range(classes)
                for k in range(classes - n)
            ],
        )
    ends = [f"{key}{end}" for key in ("accuracy", "macro_f1") for end in ("", "_low", "_high")]
    write(evaluation / "models.csv", f"modality classifier {' '.join(ends)} weights", models)
    write(
        evaluation / "per_class.csv",
        "class modality model f1 precision recall support",
        [
            [n, m, "svm", i / classes, 1, 1, each + i]
            for i, n in enumerate(names)
            for m in modalities
        ],
    )
    write(
        evaluation / "coverage.csv",
        "modality model coverage risk",
        [[m, "svm", k / 100, k / 400] for m in modalities for k in range(1, 101)],
    )
    write(
        evaluation / "calibration.csv",
        "modality model probabilities confidence accuracy products",
        [
            [m, "svm", f"{when} calibration", k / 10, k / 10, 5 * k]
            for m in modalities
            for when in ("before", "after")
            for k in range(1, 10)
        ],
    )
    (top / "metrics").mkdir()
    (top / "metrics/data.json").write_text('{"source": "demo"}')
    return top / "plots"


def write(path: Path, columns: str, rows: list[list]) -> None:
    """Write a table as `evaluate` does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    names = columns.split()
    write_csv(path, names, [dict(zip(names, row, strict=True)) for row in rows])


def texts(figure: Figure) -> list[str]:
    """Return what is written in a figure, as it is drawn."""
    figure.draw_without_rendering()
    return [text.get_text() for text in figure.findobj(Text) if text.get_visible()]


def title(figure: Figure) -> str:
    return figure.get_suptitle()


@pytest.fixture
def plots(tmp_path):
    return write_tables(tmp_path, ["Audio", "Phones", "Toys"], MODALITIES)


def test_every_plot_is_an_image_of_a_thousand_pixels_below_150_kilobytes(plots, tmp_path):
    static_plots.draw_all(tmp_path / "images", plots)
    drawn = {file.name: file.read_bytes() for file in (tmp_path / "images").iterdir()}
    both = [f"{name}-{modality}.png" for name in ("confusion", "pca") for modality in MODALITIES]
    assert sorted(drawn) == sorted([*FILES, *both])
    for content in drawn.values():
        assert len(content) < 150_000
        with Image.open(io.BytesIO(content)) as image:
            assert image.width == 1000
            assert image.info == {}  # no date, no version of a program


def test_the_same_tables_give_the_same_bytes(plots):
    for draw in (static_plots.models, static_plots.per_class):
        assert png(draw(plots)) == png(draw(plots))
    figure = static_plots.pca(plots, "text")
    assert png(figure) == png(figure)


def test_models_have_their_figures_and_intervals_the_best_of_a_modality_first(plots):
    figure = static_plots.models(plots)
    left, right = figure.axes
    assert [axes.get_title() for axes in figure.axes] == ["accuracy", "macro F1"]
    labels = [label.get_text() for label in left.get_yticklabels()]
    assert labels == [
        word for modality in MODALITIES for word in (modality, "svm", "logistic_regression")
    ]
    assert "0.620 [0.570, 0.690]" in texts(figure)  # text-svm
    assert [text.get_text()[:5] for text in right.texts[:2]] == ["0.420", "0.400"]
    low, high = left.containers[0].lines[2][0].get_segments()[0][:, 0]
    assert (low, high) == pytest.approx((0.47, 0.59))  # image-svm


def test_random_weights_are_named_where_the_figures_rest_on_them(plots):
    for figure in (static_plots.models(plots), static_plots.confusion(plots, "image")):
        assert any("RANDOM WEIGHTS: what is shown of image says" in text for text in texts(figure))
    assert not any("RANDOM" in text for text in texts(static_plots.pca(plots, "text")))


def test_demo_data_are_named(plots):
    assert any("DEMO DATA" in text for text in texts(static_plots.pca(plots, "text")))
    (plots.parent / "metrics/data.json").write_text('{"source": "table"}')
    assert not any("DEMO DATA" in text for text in texts(static_plots.pca(plots, "text")))


def test_a_heat_map_has_names_products_and_per_cent(plots):
    found = texts(static_plots.confusion(plots, "text"))
    assert {"Audio", "Audio (10)", "Toys (12)", "100", "91", "9", "17"} <= set(found)


def test_a_heat_map_of_many_classes_keeps_those_with_most_confusions_and_says_so(tmp_path):
    plots = write_tables(tmp_path, [f"class {n}" for n in range(40)], ["text"])
    figure = static_plots.confusion(plots, "text")
    assert "the 25 of 40 classes with most confusions" in title(figure)
    names = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    # The first is what the last is taken for.
    assert names == ["class 0", *(f"class {n}" for n in range(16, 40))]


def test_many_classes_are_cut_to_the_weakest_and_that_is_said(tmp_path):
    plots = write_tables(tmp_path, [f"class {n}" for n in range(40)], ["text"])
    figure = static_plots.per_class(plots)
    assert "the 30 of 40 classes with the lowest mean F1" in title(figure)
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == [f"class {n} ({10 + n})" for n in range(30)]


def test_a_class_without_f1_is_listed_without_a_dot(plots):
    file = plots / "evaluation/per_class.csv"
    rows = [
        ["Toys", "text", "svm", 0.5, 1, 1, 3],
        ["None seen", "text", "svm", "", "", "", 0],
    ]
    write(file, "class modality model f1 precision recall support", rows)
    figure = static_plots.per_class(plots)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [
        "Toys (3)",
        "None seen (0)",
    ]
    png(figure)
    write(file, "class modality model f1 precision recall support", rows[1:])
    png(static_plots.per_class(plots))


def test_a_map_of_many_classes_colours_the_largest_and_calls_the_rest_others(tmp_path):
    plots = write_tables(tmp_path, [f"class {n}" for n in range(14)], ["text"])
    figure = static_plots.pca(plots, "text")
    assert "the largest 12 of 14 classes" in title(figure)
    legend = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert legend == [*(f"class {n} ({14 - n})" for n in range(12)), "others (3)"]


def test_names_with_signs_of_markup_are_drawn_as_they_are(tmp_path):
    plots = write_tables(tmp_path, ODD, ["text"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        static_plots.draw_all(tmp_path / "images", plots)
        for draw in (static_plots.confusion, static_plots.pca):
            found = " ".join(texts(draw(plots, "text")))
            assert all(" ".join(name.split()) in found for name in ODD)
    legend = static_plots.pca(plots, "text").axes[0].get_legend()
    assert len(legend.get_texts()) == len(ODD)


def test_names_in_any_script_lack_no_sign(tmp_path, capfd):
    plots = write_tables(tmp_path, SCRIPTS, ["text"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        static_plots.draw_all(tmp_path / "images", plots)
    assert capfd.readouterr() == ("", "")


def test_long_names_leave_room_for_the_plot(tmp_path):
    plots = write_tables(tmp_path, [f"{n} Garden and household " * 8 for n in range(5)], MODALITIES)
    for figure in (static_plots.confusion(plots, "text"), static_plots.pca(plots, "text")):
        figure.draw_without_rendering()
        assert figure.axes[0].get_position().width > 0.5


def test_one_class_and_one_modality_are_drawn(tmp_path):
    static_plots.draw_all(tmp_path / "images", write_tables(tmp_path, ["Toys"], ["text"]))
    assert sorted(file.name for file in (tmp_path / "images").iterdir()) == sorted(
        [*FILES, "confusion-text.png", "pca-text.png"]
    )


def test_a_modality_without_tables_is_left_out_and_a_missing_table_says_how_to_build_it(tmp_path):
    plots = write_tables(tmp_path, ["Toys"], ["image", "text"])
    (plots / "pca/image.csv").unlink()
    (plots / "evaluation/confusion/image.csv").unlink()
    static_plots.draw_all(tmp_path / "images", plots)
    assert not list((tmp_path / "images").glob("*-image.png"))
    with pytest.raises(InputError, match=r"image\.csv is not there: `dvc repro` builds it"):
        static_plots.pca(plots, "image")
    (plots / "evaluation/models.csv").unlink()
    with pytest.raises(InputError, match=r"models\.csv is not there"):
        static_plots.draw_all(tmp_path / "images", plots)


def test_drawing_leaves_settings_and_figures_of_the_process_alone(tmp_path):
    plots = write_tables(tmp_path, ["Toys"], ["text"])
    code = f"""
import sys
from pathlib import Path
from stages.reporting import static_plots
assert not {{"matplotlib", "pandas"}} & set(sys.modules)
import matplotlib
from matplotlib import pyplot
before = dict(matplotlib.rcParams)
static_plots.draw_all(Path({str(plots.parent / "images")!r}), Path({str(plots)!r}))
assert dict(matplotlib.rcParams) == before
assert pyplot.get_fignums() == []
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=TOP, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
