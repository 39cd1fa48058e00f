import csv
from pathlib import Path

import pytest
from helpers.evaluated import Evaluated

from stages import report
from stages.common.errors import InputError


@pytest.fixture
def evaluated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Evaluated:
    monkeypatch.chdir(tmp_path)
    return Evaluated()


def outputs() -> dict[str, bytes]:
    paths = [
        Path("metrics/results.txt"),
        Path("plots/report.html"),
        *Path("plots/report").iterdir(),
    ]
    return {str(path): path.read_bytes() for path in paths}


def test_the_text_is_that_of_the_metrics_and_the_same_results_give_the_same_files(
    evaluated: Evaluated,
):
    evaluated.write({"text-svm": (0, 3)})
    report.main()
    first = outputs()
    assert {"metrics/results.txt", "plots/report/weak_slices.csv", "plots/report/models.png"} < set(
        first
    )
    text = Path("metrics/results.txt").read_text()
    assert "0.7500" in text and "DEMO DATA" in text and "RANDOM WEIGHTS in resnet50" in text
    report.main()
    assert outputs() == first


def test_a_weak_slice_is_named_with_its_mistakes(evaluated: Evaluated, monkeypatch):
    evaluated.write({"multimodal-svm": (0, 4), "multimodal-mlp": (0, 4)})
    asked = {}

    def weak_slices(correct, groups, slices):
        asked.update(correct=correct, groups=groups, slices=slices)
        names = ("class", "audio", 4, 4, 0.5, 0.1, 0.6, 0.9, 7)
        return [report.WeakSlice(*names)], 7

    monkeypatch.setattr(report, "weak_slices", weak_slices)
    monkeypatch.setattr(report, "draw_all", lambda *_: None)  # of which none shows a slice
    report.main()
    assert (~asked["correct"]).sum() == 4 and len(set(asked["groups"])) == 6
    assert asked["slices"]["missing input"]["no image"].tolist() == [1]  # s19, which failed
    with Path("plots/report/weak_slices.csv").open(newline="") as file:
        assert [list(row.values())[:3] for row in csv.DictReader(file)] == [["class", "audio", "4"]]
    page = Path("plots/report.html").read_text()
    assert "1 of 7 slices" in page and "class: audio" in page


def test_mistakes_are_found_by_skus_that_end_with_a_null_character(
    evaluated: Evaluated, monkeypatch
):
    evaluated.models.skus = [f"{sku}\0" for sku in evaluated.models.skus]
    evaluated.write({"multimodal-svm": (0, 4), "multimodal-mlp": (0, 4)})
    names = ("class", "audio", 4, 4, 0.5, 0.1, 0.6, 0.9, 7)
    monkeypatch.setattr(report, "weak_slices", lambda *_: ([report.WeakSlice(*names)], 7))
    ((_, mistakes),), _ = report.find_weak_slices(report.read_results())
    assert mistakes == ["s18\0", "s21\0"]


def test_a_name_of_more_than_128_kib_is_shown(evaluated: Evaluated, monkeypatch):
    monkeypatch.setattr(report, "draw_all", lambda *_: None)
    limit = csv.field_size_limit(131_072)  # what a new process has
    evaluated.names["s18"] = "cable " * 25_000
    evaluated.write({"multimodal-svm": (0, 4), "multimodal-mlp": (0, 4)})
    try:
        report.main()
    finally:
        csv.field_size_limit(limit)
    assert "cable cable" in Path("plots/report.html").read_text()


@pytest.mark.parametrize(
    "path",
    [
        *("metrics/headline.json", "data/rejected.csv", "data/predictions/text-svm.parquet"),
        *("plots/pca/text.csv", "data/splits.parquet"),
        *("plots/evaluation/coverage.csv", "plots/evaluation/learning_curves.csv"),
    ],
)
def test_what_is_missing_is_named_and_nothing_is_written(evaluated: Evaluated, path: str):
    evaluated.write()
    Path(path).unlink()
    with pytest.raises(InputError, match=f"{path}.*repro"):
        report.main()
    assert not Path("plots/report.html").exists() and not Path("metrics/results.txt").exists()


def test_metrics_that_are_no_json_are_named(evaluated: Evaluated):
    evaluated.write()
    Path("metrics/models.json").write_text("{")
    with pytest.raises(InputError, match=r"metrics/models\.json is no JSON"):
        report.main()
