"""What a change of parameters or code reruns, and what it leaves as it was."""

import re

import pytest
from helpers.pipeline import COMPUTED, UP_TO_DATE, metrics_of

ENCODER_KIND = '''
"""The lengths of a text's words: a kind of encoder in one file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from stages.encoders.settings import TextEncoderSettings
from stages.encoders.weights.manifest import Manifest


class Settings(TextEncoderSettings):
    kind: Literal["word_lengths"]
    longest: int = 12


def fetch(settings: Settings, folder: Path) -> Manifest:
    return Manifest("none", "no weights", None, "")


def load(settings: Settings, folder: Path, backend: object) -> "Encoder":
    return Encoder(settings.longest)


class Encoder:
    def __init__(self, longest: int) -> None:
        self.n_features = longest + 1

    def encode(self, batch: Sequence[str]) -> np.ndarray:
        rows = np.zeros((len(batch), self.n_features), dtype=np.float32)
        for row, text in zip(rows, batch, strict=True):
            for word in text.split():
                row[min(len(word), self.n_features - 1)] += 1
        return rows
'''

CLASSIFIER_KIND = '''
"""The nearest neighbours: a kind of classifier in one file."""

from typing import Any

from stages.classifiers.base.estimators import SklearnClassifier
from stages.classifiers.base.interface import ClassifierSettings
from stages.common.settings import Positive


class Settings(ClassifierSettings):
    n_neighbors: Positive


class Classifier(SklearnClassifier):
    def build(self, n: int, n_features: int) -> Any:
        from sklearn.neighbors import KNeighborsClassifier

        return KNeighborsClassifier(self.settings.n_neighbors, algorithm="brute")
'''


def test_a_classifiers_parameter_reruns_its_models_and_nothing_else(copy):
    copy.edit(lambda params: params["classifiers"]["svm"].update(C=0.03))
    assert copy.repro() == ["train@svm", "ensemble", "evaluate", "package", "report"]
    shown = copy.run("dvc", "metrics", "diff").splitlines()
    assert any(line.startswith("metrics/headline.json  scores.text.svm") for line in shown)
    assert len(shown) <= 30
    said = copy.run("python", "-m", "tools.review", "--base", "HEAD")
    text = (copy.top / "review.md").read_text(encoding="utf-8")
    assert said.splitlines()[0].strip("*") in text
    assert re.search(r"\| params\.yaml +\| classifiers\.svm\.C ", text)
    assert re.search(r"\| metrics/headline\.json +\| scores\.text\.svm\.accuracy ", text)
    assert "- `models/trained/svm`: changed" in text and "`data/products.parquet`" not in text
    assert "<h1>Review</h1>" in (copy.top / "review.html").read_text(encoding="utf-8")


def test_what_is_not_changed_or_not_built_is_said_in_a_review(copy):
    review = ("python", "-m", "tools.review", "--base", "HEAD")
    assert copy.run(*review).splitlines()[0] == "**No difference shown.**"
    headline = copy.top / "metrics/headline.json"
    kept = headline.read_bytes()
    headline.unlink()
    with pytest.raises(AssertionError, match=r"error: the pipeline is stale \(evaluate.*\): run"):
        copy.run(*review)
    headline.write_bytes(kept)
    copy.edit(lambda params: params["classifiers"]["svm"].update(C=0.03))
    with pytest.raises(
        AssertionError, match=r"error: the pipeline is stale \(ensemble, evaluate, train@svm\): run"
    ):
        copy.run(*review)
    with pytest.raises(AssertionError, match="name a commit that has built results"):
        copy.back()
        copy.run(*review[:-1], "nowhere")


def test_an_edit_of_a_classifier_reruns_its_models_and_what_follows(copy):
    copy.edit_code("stages/classifiers/svm.py", "C=settings.C,", "C=settings.C / 10,")
    assert copy.repro("package") == ["train@svm", "ensemble", "evaluate", "package"]


def test_an_edit_of_text_cleaning_reruns_what_reads_texts_and_stops_where_nothing_changed(copy):
    before = copy.outputs()
    copy.edit_code("stages/catalog/text_cleaning.py", "_DEPTH = 5", "_DEPTH = 6")
    assert copy.repro() == ["prepare", "split"]
    assert copy.outputs() == before


def test_an_edit_of_evaluation_reruns_evaluate_and_packages_the_new_figures(copy):
    copy.edit_code("stages/evaluation/calibration_error.py", "BINS = 15", "BINS = 10")
    assert copy.repro("package") == ["evaluate", "package"]


def test_a_comment_and_a_new_kind_embed_nothing_anew_and_a_kind_is_a_file_and_an_entry(copy):
    before = copy.outputs()
    for name in ("keras", "huggingface_text", "backends/openvino"):
        file = copy.top / f"stages/encoders/{name}.py"
        file.write_text(file.read_text() + "\n# a comment\n")
    (copy.top / "stages/encoders/word_lengths.py").write_text(ENCODER_KIND)
    (copy.top / "stages/classifiers/nearest.py").write_text(CLASSIFIER_KIND)
    said = copy.run("dvc", "repro")
    assert {"mobilenet": "0", "minilm": "0"}.items() <= dict(COMPUTED.findall(said)).items()
    assert "Running stage 'fuse'" not in said
    assert copy.outputs() == before

    def name_them(params):
        params["encoders"]["lengths"] = {"kind": "word_lengths"}
        params["text"]["encoders"].append("lengths")
        params["classifiers"]["nearest"] = {"n_neighbors": 5}
        for name in ("logistic_regression", "svm"):
            del params["classifiers"][name]

    copy.edit(name_them)
    computed = dict(COMPUTED.findall(copy.run("dvc", "repro", "package")))
    assert computed == {"lengths": "236"}  # no other encoder runs again
    models = metrics_of(copy)["models"]
    assert models["text"]["weights"] == {"minilm": "bundled", "ngrams": "none", "lengths": "none"}
    assert models["multimodal"]["nearest"]["accuracy"] > 0.3
    assert UP_TO_DATE in copy.run("dvc", "repro", "package")


def test_a_text_encoder_leaves_images_and_their_models_as_they_were(copy):
    before = copy.outputs()

    def change(params):
        params["encoders"]["ngrams"]["n_features"] = 512
        del params["classifiers"]["logistic_regression"]  # one classifier shows it

    copy.edit(change)
    ran = copy.repro("package")
    assert "embed_text@ngrams" in ran and "train@svm" in ran
    assert not [name for name in ran if "image" in name]
    after = copy.outputs()
    models = {name for name in before if re.match(r"models/trained/svm/image/fold-", name)}
    assert models and all(after[name] == before[name] for name in models)


def test_a_shrunken_list_of_classifiers_leaves_no_model_behind(copy):
    copy.edit(lambda params: params["classifiers"].pop("logistic_regression"))
    assert copy.repro("package") == ["ensemble", "evaluate", "package"]
    assert set(metrics_of(copy)["models"]["text"]) == {"svm", "weights"}
    assert not (copy.top / "models/trained/logistic_regression").exists()


def test_a_wrong_parameter_stops_the_run_before_any_work(copy):
    copy.edit(lambda params: params["classifiers"]["svm"].update(C=-1.0))
    with pytest.raises(AssertionError, match=r"classifiers\.svm\.C: .*greater than 0"):
        copy.repro()
