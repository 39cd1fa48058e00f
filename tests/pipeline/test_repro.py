"""Real `dvc repro` and `dvc exp run` in a copy of the repository, on a small demo catalogue."""

import json
import re

import pytest
from helpers.copies import Copy, small

UP_TO_DATE = "Data and pipelines are up to date."


def metrics_of(copy: Copy) -> dict:
    return {
        name: json.loads((copy.top / "metrics" / f"{name}.json").read_text())
        for name in ("data", "headline", "models")
    }


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Copy:
    copy = Copy(tmp_path_factory.mktemp("copy"), small)
    copy.repro()
    copy.commit()
    return copy


@pytest.fixture
def copy(built):
    """The built copy; what a test does to it is undone."""
    yield built
    built.back()


def test_every_model_is_judged_and_every_product_has_its_place(copy):
    metrics = metrics_of(copy)
    assert {name: len(entries) - 1 for name, entries in metrics["models"].items()} == {
        "image": 3,
        "text": 3,
        "multimodal": 3,
    }
    data = metrics["data"]
    assert data["products"]["read"] == data["products"]["kept"] + data["rejected"]["all"]
    rejected = (copy.top / "data/rejected.csv").read_text().splitlines()[1:]
    assert len(rejected) == data["rejected"]["all"] > 0


def test_a_second_repro_runs_nothing_and_leaves_git_clean(copy):
    assert UP_TO_DATE in copy.run("dvc", "repro")
    assert UP_TO_DATE in copy.run("dvc", "status")
    assert copy.run("git", "status", "--porcelain") == ""


def test_figures_on_random_weights_are_called_so(copy):
    metrics = metrics_of(copy)
    assert metrics["models"]["image"]["weights"] == {
        "mobilenet": "random",
        "mobilenetv2": "random",
    }
    assert metrics["models"]["text"]["weights"] == {"minilm": "bundled", "ngrams": "none"}
    assert "RANDOM" in metrics["headline"]["weights"]["multimodal"]
    report = copy.run("python", "-m", "stages.report")
    assert "RANDOM WEIGHTS" in report and "DEMO DATA" in report


def test_a_classifiers_parameter_reruns_its_models_and_nothing_else(copy):
    copy.edit(lambda params: params["classifiers"]["svm"].update(C=3.0))
    assert copy.repro() == ["train@svm", "evaluate"]


def test_the_text_encoder_leaves_pictures_and_their_models_as_they_were(copy):
    before = copy.outputs()
    copy.edit(lambda params: params["encoders"]["minilm"].update(max_tokens=16))
    ran = copy.repro()
    assert "embed_text@minilm" in ran and "train@svm" in ran
    assert not [name for name in ran if "image" in name]
    after = copy.outputs()
    models = {name for name in before if re.match(r"models/\w+/image/fold-", name)}
    assert models and all(after[name] == before[name] for name in models)


def test_an_experiment_computes_no_vector_that_the_pipeline_has_computed(copy):
    said = copy.run("dvc", "exp", "run", "--set-param", "backend=openvino")
    computed = dict(re.findall(r"^(\w+): (\d+) of \d+ (?:picture|text)s computed", said, re.M))
    assert computed == {"mobilenet": "0", "mobilenetv2": "0", "minilm": "0"}


def test_a_shrunken_list_of_encoders_gives_the_same_under_repro_and_exp_run(copy):
    copy.run("dvc", "exp", "run", "--set-param", "image.encoders=[mobilenet]")
    by_exp_run = metrics_of(copy)
    assert by_exp_run["models"]["image"]["weights"] == {"mobilenet": "random"}
    copy.back()
    copy.edit(lambda params: params["image"].update(encoders=["mobilenet"]))
    copy.repro()
    assert metrics_of(copy) == by_exp_run
    assert UP_TO_DATE in copy.run("dvc", "status")
    assert not (copy.top / "data/embeddings/image/mobilenetv2.parquet").exists()


def test_a_shrunken_list_of_classifiers_leaves_no_model_behind(copy):
    copy.edit(lambda params: params["classifiers"].pop("random_forest"))
    assert copy.repro() == ["evaluate"]
    assert set(metrics_of(copy)["models"]["text"]) == {
        "logistic_regression",
        "svm",
        "weights",
    }
    assert not (copy.top / "models/random_forest").exists()


def test_a_wrong_parameter_stops_the_run_before_any_work(copy):
    copy.edit(lambda params: params["classifiers"]["svm"].update(C=-1.0))
    with pytest.raises(AssertionError, match=r"classifiers\.svm\.C: .*greater than 0"):
        copy.repro()


def test_a_stage_that_is_killed_is_run_again_and_gives_the_same_bytes(copy):
    # The short form of tests/torture/test_kills.py.
    wanted = copy.outputs()
    for name, seconds in (("prepare", 2.5), ("download_images", 3.0)):
        run = ("dvc", "repro", "--force", "--single-item", "--no-run-cache", name)
        copy.killed(seconds, *run)
        copy.run(*run)  # a plain `dvc repro` would take the outputs from DVC's cache
        assert copy.outputs() == wanted
        assert copy.leftovers() == []


def test_a_fresh_clone_that_pulls_runs_nothing(copy, tmp_path):
    clone = copy.clone(tmp_path / "clone")
    for one in (copy, clone):
        one.run("dvc", "remote", "add", "--default", "shared", str(tmp_path / "remote"))
    copy.run("dvc", "push")
    clone.run("dvc", "pull")
    assert clone.outputs() == copy.outputs()
    said = clone.run("dvc", "repro")
    assert UP_TO_DATE in said
    assert "Running stage" not in said
