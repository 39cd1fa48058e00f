import json
from copy import deepcopy
from pathlib import Path

import pytest

from stages.errors import InputError
from stages.report import main, report

SCORES = {"accuracy": 0.5, "macro_f1": 0.25, "weighted_f1": 0.375}
MODELS = {
    "text": {"svm": SCORES, "mlp": SCORES, "weights": {"minilm": "bundled"}},
    "image": {"svm": SCORES, "mlp": SCORES, "weights": {"resnet50": "random"}},
}
HEADLINE = {
    "text": {"model": "mlp"},
    "image": {"model": "svm"},
    "fusion_gain": {"accuracy": 0.05, "macro_f1": -0.01},
}


def test_a_line_per_model_marks_the_chosen_ones():
    lines = report(MODELS, HEADLINE, {"source": "demo"}).splitlines()
    assert [line.split() for line in lines[2:6]] == [
        ["text", "svm", "0.5000", "0.2500", "0.3750"],
        ["text", "mlp", "*", "0.5000", "0.2500", "0.3750"],
        ["image", "svm", "*", "0.5000", "0.2500", "0.3750"],
        ["image", "mlp", "0.5000", "0.2500", "0.3750"],
    ]


def test_random_weights_are_shouted_with_what_rests_on_them():
    text = report(MODELS, HEADLINE, {"source": "bestbuy"})
    assert "!!! RANDOM WEIGHTS in resnet50: the figures of image " in text
    pretrained = deepcopy(MODELS)
    pretrained["image"]["weights"] = {"resnet50": "pretrained"}
    assert "!!!" not in report(pretrained, HEADLINE, {"source": "bestbuy"})


def test_demo_data_is_called_no_evidence():
    assert "not evidence of quality" in report(MODELS, HEADLINE, {"source": "demo"})
    assert "not evidence of quality" not in report(MODELS, HEADLINE, {"source": "table"})


def test_the_fusion_gain_is_told_where_there_is_one():
    assert "accuracy +0.0500, macro F1 -0.0100" in report(MODELS, HEADLINE, {"source": "demo"})
    without = {key: value for key, value in HEADLINE.items() if key != "fusion_gain"}
    assert "fusion gain" not in report(MODELS, without, {"source": "demo"})


def test_long_names_stay_within_100_columns():
    name = "a_modality_with_a_name_that_goes_on_and_on"
    models = {name: {f"{name}_too": SCORES, "weights": {f"{name}_{i}": "random" for i in range(4)}}}
    text = report(models, {name: {"model": f"{name}_too"}}, {"source": "demo"})
    assert max(map(len, text.splitlines())) <= 100


def test_missing_metrics_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Path("metrics").mkdir()
    Path("metrics/models.json").write_text(json.dumps(MODELS))
    with pytest.raises(InputError, match=r"metrics/headline\.json is not there"):
        main()
