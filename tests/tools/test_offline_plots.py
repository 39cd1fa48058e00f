import html
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import vl_convert
from dvc_render import VegaRenderer
from helpers.repository import TOP

from stages.common.errors import InputError
from tools import offline_plots

DVC = [sys.executable, "-m", "dvc"]
PLOTS = """
plots:
  - plots/points.csv: {template: pca, x: x, y: y}
"""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    subprocess.run([*DVC, "init", "--no-scm", "--quiet"], check=True)
    return tmp_path


def test_dvc_writes_a_page_that_asks_nobody_for_scripts(repository: Path):
    offline_plots.main()
    offline_plots.main()  # again: it must not mind
    Path("plots").mkdir()
    Path("plots/points.csv").write_text("x,y,label\n1,2,a\n")
    Path(".dvc/plots").mkdir()
    Path(".dvc/plots/pca.json").write_bytes((TOP / ".dvc/plots/pca.json").read_bytes())
    Path("dvc.yaml").write_text(PLOTS)
    shutil.rmtree(".dvc/tmp")  # which DVC's users delete to mend other things
    subprocess.run([*DVC, "plots", "show", "--quiet"], check=True)
    page = Path("dvc_plots/index.html").read_text(encoding="utf-8")
    assert not re.search(r"<(script|link)[^>]*\b(src|href)=", page)
    assert "window.vegaEmbed=" in page
    assert page.count("vegaEmbed('#plots_points_csv', spec)") == 1
    assert not re.search(r"\{(scripts|plot_divs|refresh_tag)\}", page)


def test_outside_a_dvc_repository_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="top of the repository"):
        offline_plots.main()


def drawn(template: str, rows: list[dict[str, str]], x: str, y: str) -> str:
    """Fill a template of .dvc/plots as DVC does, and return it as SVG."""
    rows = [{**row, "rev": rev} for rev in ("workspace", "main") for row in rows]
    renderer = VegaRenderer(
        rows,
        "plot",
        template=template,
        template_dir=TOP / ".dvc/plots",
        title="Title",
        x=x,
        y=y,
        anchors_y_definitions=[{"filename": "plot.csv", "field": y}],
    )
    return html.unescape(vl_convert.vegalite_to_svg(renderer.get_filled_template()))


CLASSES = [f"A class of products with a long name, {i}" for i in range(40)]


def test_a_confusion_matrix_names_all_classes_in_full():
    rows = [
        {"actual": name, "predicted": name, "products": "2", "share": "1.0", "model": "svm"}
        for name in CLASSES
    ]
    texts = re.findall(r">([^<]+)</text>", drawn("confusion_matrix", rows, "predicted", "actual"))
    assert all(texts.count(name) == 3 for name in CLASSES)  # one y axis, an x axis per revision
    assert {"workspace: svm", "main: svm"} <= set(texts)


def test_the_f1_of_all_classes_is_drawn_with_their_full_names():
    rows = [
        {"class": name, "modality": modality, "model": "svm", "f1": f1, "support": "3"}
        for name in CLASSES
        for modality, f1 in (("image", "0.25"), ("text", ""))
    ]
    svg = drawn("per_class", rows, "f1", "class")
    texts = re.findall(r">([^<]+)</text>", svg)
    assert all(name in texts for name in CLASSES)
    assert svg.count('aria-roledescription="bar"') == 80  # undefined figures have no bar


def test_the_legend_of_the_components_has_all_classes():
    rows = [{"x": str(i), "y": "1", "label": name} for i, name in enumerate(CLASSES)]
    texts = re.findall(r">([^<]+)</text>", drawn("pca", rows, "x", "y"))
    assert all(name in texts for name in CLASSES)


def test_no_two_classes_of_many_look_alike_on_the_components():
    classes = range(180)  # nine shapes in turn with twenty colours
    rows = [{"x": str(i), "y": "1", "label": f"class {i:03}"} for i in classes]
    points = re.findall(r'aria-roledescription="point"[^>]*', drawn("pca", rows, "x", "y"))
    looks = {tuple(re.findall(r' (?:d|fill)="([^"]*)"', point)) for point in points}
    assert len(looks) == len(classes) == len(points) / 2  # in two revisions


def test_models_keep_the_order_of_params():
    rows = [
        {"modality": modality, "classifier": "svm", "accuracy": "0.5", "macro_f1": f1}
        | {"accuracy_low": "0.4", "accuracy_high": "0.6"}
        | {"macro_f1_low": "0.1", "macro_f1_high": "0.4"}
        for modality, f1 in (("text", "0.111"), ("image", "0.222"), ("both", "0.333"))
    ]
    texts = re.findall(r">([^<]+)</text>", drawn("models", rows, "accuracy", "macro_f1"))
    order = [text for text in texts if text in ("text", "image", "both")]
    assert order == ["text", "image", "both"]
    assert [text for text in texts if re.fullmatch(r"0\.\d{3}", text)] == [
        *["0.111"] * 2,
        *["0.500"] * 2,
        *["0.222"] * 2,
        *["0.500"] * 2,
        *["0.333"] * 2,
        *["0.500"] * 2,
    ]


def test_learning_curves_stand_in_the_row_of_their_figure():
    rows = [
        {"modality": modality, "classifier": classifier, "fold": str(fold), "epoch": str(epoch)}
        | {f"{part}_loss": "7.5" for part in ("train", "validation")}
        | {f"{part}_accuracy": "0.5" for part in ("train", "validation")}
        for modality in ("text", "image", "both")
        for classifier in ("mlp", "another")
        for fold in (1, 2)
        for epoch in (1, 2)
    ]
    svg = drawn("learning_curves", rows, "epoch", "train_loss")
    figures = re.findall(r'aria-label="[^"]*figure: \w+_(loss|accuracy)', svg)
    texts = re.findall(r">([^<]+)</text>", svg)
    assert "1" in texts and "2" in texts and "1.5" not in texts  # no epoch and a half
    assert (
        figures == ["loss"] * 48 + ["accuracy"] * 48
    )  # neither folds nor classifiers share a line


def test_calibration_has_a_diagram_per_modality_before_and_after():
    rows = [
        {"modality": modality, "model": "svm", "probabilities": when, "products": "9"}
        | {"confidence": "0.8", "accuracy": "0.7"}
        for modality in ("text", "image")
        for when in ("before calibration", "after calibration")
    ]
    svg = drawn("calibration", rows, "confidence", "accuracy")
    texts = re.findall(r">([^<]+)</text>", svg)
    assert {"text", "image", "before calibration", "after calibration"} <= set(texts)
    assert svg.count('aria-roledescription="point"') == 8  # two revisions
    assert svg.count('aria-roledescription="line mark"') == 4


def test_coverage_has_a_line_per_modality_and_revision():
    rows = [
        {"modality": modality, "model": "svm", "coverage": str(i / 4), "risk": "0.1"}
        for modality in ("text", "image")
        for i in range(1, 5)
    ]
    svg = drawn("coverage", rows, "coverage", "risk")
    assert svg.count('aria-roledescription="line mark"') == 4


def test_few_mistakes_have_an_axis_on_which_no_number_stands_twice():
    rows = [
        {"modality": "text", "model": "svm", "coverage": str(i / 4), "risk": str(i / 400)}
        for i in range(1, 5)
    ]
    texts = re.findall(r">([^<]+)</text>", drawn("coverage", rows, "coverage", "risk"))
    shares = [text for text in texts if text.endswith("%")]
    assert len(shares) == len(set(shares)) > 20  # of both axes: 0% and 0.0% are not alike
