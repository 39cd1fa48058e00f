from copy import deepcopy

from stages.evaluation.weak_slices import WeakSlice
from stages.reporting.results_text import report

ENDS = {"accuracy": {"low": 0.4, "high": 0.6}, "macro_f1": {"low": 0.2, "high": 0.3}}
SCORES = {"accuracy": 0.5, "macro_f1": 0.25, "interval": ENDS}
MODELS = {
    "text": {"svm": SCORES, "mlp": SCORES, "weights": {"minilm": "bundled"}},
    "image": {"svm": SCORES, "mlp": SCORES, "weights": {"resnet50": "random"}},
}
HEADLINE = {"text": {"model": "mlp"}, "image": {"model": "svm"}}
UNPROMISED = {"coverage_unpromised": 0.8, "accuracy_unpromised": 0.94}
AT_95 = {"coverage": 0.7, "accuracy": 0.96, "threshold": 0.5, **UNPROMISED}
AT_99 = {
    "coverage": 0.0,
    "accuracy": None,
    "threshold": None,
    "coverage_unpromised": 0.0,
    "accuracy_unpromised": None,
}
SUMMARY = {
    "best_model": "text-mlp",
    "fusion_gain": {
        "model": "both-svm",
        "baseline": "text-mlp",
        "accuracy": {"difference": 0.0, "low": -0.1, "high": 0.1},
        "macro_f1": {"difference": 0.05, "low": 0.01, "high": 0.1},
        "mcnemar_p": 1.0,
        "products": 96,
    },
    "coverage": {"at_95_percent": AT_95, "at_99_percent": AT_99},
    "calibration_error": {"before": 0.2, "after": 0.1},
    "label_issues": {"suspect": 1, "audited": 146},
}
FIGURES = ["0.5000", "[0.400,", "0.600]", "0.2500", "[0.200,", "0.300]"]


def test_a_line_per_model_marks_the_chosen_ones():
    lines = report(MODELS, HEADLINE, SUMMARY, {"source": "demo"}, [], 5).splitlines()
    assert [line.split() for line in lines[2:6]] == [
        ["text", "svm", *FIGURES],
        ["text", "mlp", "*", *FIGURES],
        ["image", "svm", "*", *FIGURES],
        ["image", "mlp", *FIGURES],
    ]


def test_random_weights_are_shouted_with_what_rests_on_them():
    text = report(MODELS, HEADLINE, SUMMARY, {"source": "bestbuy"}, [], 5)
    assert "!!! RANDOM WEIGHTS in resnet50: the figures of image " in text
    pretrained = deepcopy(MODELS)
    pretrained["image"]["weights"] = {"resnet50": "pretrained"}
    assert "!!!" not in report(pretrained, HEADLINE, SUMMARY, {"source": "bestbuy"}, [], 5)


def test_demo_data_is_called_no_evidence():
    assert "not evidence of quality" in report(MODELS, HEADLINE, SUMMARY, {"source": "demo"}, [], 5)
    assert "not evidence of quality" not in report(
        MODELS, HEADLINE, SUMMARY, {"source": "table"}, [], 5
    )


def sentences(summary: dict) -> dict[str, str]:
    """Return the report's sentences by title, on one line each."""
    paragraph = report(MODELS, HEADLINE, summary, {"source": "demo"}, [], 5).split("\n\n")[2]
    lines = paragraph.replace("\n" + " " * 14, " ").splitlines()
    return {title: words.strip() for title, words in (line.split(":", 1) for line in lines)}


def test_the_figures_of_the_summary_are_said_in_words():
    assert sentences(SUMMARY) == {
        "fusion gain": "both-svm minus text-mlp: accuracy +0.0000 (-0.1000 to +0.1000), no "
        "difference shown; macro F1 +0.0500 (+0.0100 to +0.1000), higher; McNemar's p 1; "
        "96 products",
        "coverage": "text-mlp: at 95% target accuracy 70.0% of products need no review, 96.0% of "
        "those are right (without a promise 80.0%, 94.0% of those are right); at 99% target "
        "accuracy nothing is promised: too few validation products, or too many mistakes among "
        "them",
        "calibration": "text-mlp: expected calibration error 0.2000 before calibration, "
        "0.1000 after",
        "labels": "1 of 146 labels look wrong to text-mlp",
        "weak slices": "text-mlp: none of 5 slices (by manufacturer, class, length and script of "
        "the text, missing input) is weaker than all test products by more than the interval, "
        "corrected for how many were tried",
    }


def test_a_model_that_is_worse_than_its_unimodal_baseline_is_named():
    better = {"difference": 0.25, "low": 0.1, "high": 0.3}
    worse = {"difference": -0.2, "low": -0.3, "high": -0.1}
    models = {
        "both-svm": {"accuracy": worse, "macro_f1": worse},
        "both-mlp": {"accuracy": better, "macro_f1": better},
    }
    mean = {"accuracy": worse, "macro_f1": better}
    words = sentences(
        SUMMARY
        | {"multimodal_against_text": {"models": models, "mean": mean}}
        | {"text_ablated": {"models": {"both-mlp": models["both-mlp"]}}}
    )
    assert words["both inputs"] == (
        "worse than the same classifier on text alone, by more than the 95 % interval: both-svm; "
        "accuracy differs by -0.2000 to +0.2500; on average accuracy -0.2000 (-0.3000 to "
        "-0.1000), lower; macro F1 +0.2500 (+0.1000 to +0.3000), higher"
    )
    assert words["no text"] == (
        "worse than the same classifier on images alone, by more than the 95 % interval: none of "
        "1; accuracy differs by +0.2500 to +0.2500"
    )
    assert "no images" not in words


def test_a_threshold_that_no_prediction_reaches_is_said():
    kept = {"at_95_percent": AT_95, "at_99_percent": AT_99 | {"threshold": 0.99}}
    assert sentences(SUMMARY | {"coverage": kept})["coverage"].endswith(
        "at 99% target accuracy none, no prediction reaches the threshold"
    )


def test_long_names_stay_within_100_columns():
    name = "a_modality_with_a_name_that_goes_on_and_on"
    models = {name: {f"{name}_too": SCORES, "weights": {f"{name}_{i}": "random" for i in range(4)}}}
    text = report(models, {name: {"model": f"{name}_too"}}, SUMMARY, {"source": "demo"}, [], 5)
    assert max(map(len, text.splitlines())) <= 100


def test_weak_slices_are_counted_and_listed():
    weak = WeakSlice("manufacturer", "Acme" * 9, 12, 9, 0.25, 0.1, 0.4, 0.9, 5)
    text = report(MODELS, HEADLINE, SUMMARY, {"source": "demo"}, [weak], 5)
    assert "1 of 5 slices" in " ".join(text.split())
    assert "manufacturer AcmeAcmeAcm…AcmeAcmeAcme: 0.2500 [0.100, 0.400] of 12 products" in text
    assert max(map(len, text.splitlines())) <= 100
