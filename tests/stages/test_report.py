import json
from copy import deepcopy
from pathlib import Path

import pytest

from stages.common.errors import InputError
from stages.report import main, report

ENDS = {"accuracy": {"low": 0.4, "high": 0.6}, "macro_f1": {"low": 0.2, "high": 0.3}}
SCORES = {"accuracy": 0.5, "macro_f1": 0.25, "interval": ENDS}
MODELS = {
    "text": {"svm": SCORES, "mlp": SCORES, "weights": {"minilm": "bundled"}},
    "image": {"svm": SCORES, "mlp": SCORES, "weights": {"resnet50": "random"}},
}
HEADLINE = {"text": {"model": "mlp"}, "image": {"model": "svm"}}
SUMMARY = {
    "best_model": "text-mlp",
    "fusion_gain": {"verdict": "both-svm less text-mlp: no difference shown"},
    "coverage": {"verdict": "text-mlp: 95% promised: 70.0% filed, 96.0% of them right"},
}
FIGURES = ["0.5000", "[0.400,", "0.600]", "0.2500", "[0.200,", "0.300]"]


def test_a_line_per_model_marks_the_chosen_ones():
    lines = report(MODELS, HEADLINE, SUMMARY, {"source": "demo"}).splitlines()
    assert [line.split() for line in lines[2:6]] == [
        ["text", "svm", *FIGURES],
        ["text", "mlp", "*", *FIGURES],
        ["image", "svm", "*", *FIGURES],
        ["image", "mlp", *FIGURES],
    ]


def test_random_weights_are_shouted_with_what_rests_on_them():
    text = report(MODELS, HEADLINE, SUMMARY, {"source": "bestbuy"})
    assert "!!! RANDOM WEIGHTS in resnet50: the figures of image " in text
    pretrained = deepcopy(MODELS)
    pretrained["image"]["weights"] = {"resnet50": "pretrained"}
    assert "!!!" not in report(pretrained, HEADLINE, SUMMARY, {"source": "bestbuy"})


def test_demo_data_is_called_no_evidence():
    assert "not evidence of quality" in report(MODELS, HEADLINE, SUMMARY, {"source": "demo"})
    assert "not evidence of quality" not in report(MODELS, HEADLINE, SUMMARY, {"source": "table"})


def test_the_verdicts_of_the_summary_are_told():
    lines = report(MODELS, HEADLINE, SUMMARY, {"source": "demo"}).splitlines()
    assert "fusion gain:  both-svm less text-mlp: no difference shown" in lines
    assert "coverage:     text-mlp: 95% promised: 70.0% filed, 96.0% of them right" in lines
    assert not [line for line in lines if line.startswith("no pictures")]


def test_long_names_stay_within_100_columns():
    name = "a_modality_with_a_name_that_goes_on_and_on"
    models = {name: {f"{name}_too": SCORES, "weights": {f"{name}_{i}": "random" for i in range(4)}}}
    text = report(models, {name: {"model": f"{name}_too"}}, SUMMARY, {"source": "demo"})
    assert max(map(len, text.splitlines())) <= 100


def test_missing_metrics_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Path("metrics").mkdir()
    Path("metrics/models.json").write_text(json.dumps(MODELS))
    with pytest.raises(InputError, match=r"metrics/headline\.json is not there"):
        main()
