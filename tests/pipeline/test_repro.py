"""What `dvc repro` builds of a small demo catalogue, and again, after a kill and in a clone."""

import json

from helpers.pipeline import COMPUTED, UP_TO_DATE, metrics_of

PREDICT = """
import json
import pyarrow.parquet as pq
from serving import Predictor

best = json.load(open("metrics/summary.json"))["best_model"]
wanted = pq.read_table(f"data/predictions/{best}.parquet").to_pylist()
products = {row["sku"]: row for row in pq.read_table("data/products.parquet").to_pylist()}
images = pq.read_table("data/images").to_pylist()
images = {row["sku"]: row["jpeg"] for row in images}
rows = [products[row["sku"]] | {"image": images[row["sku"]]} for row in wanted]
found = Predictor.load("models/best").predict(rows)
pairs = list(zip(found, wanted, strict=True))
top3 = [[one.label for one in answer.top] for answer in found]
print(json.dumps({
    "products": len(rows),
    "labels": sum(one.label != row["prediction"] for one, row in pairs),
    "top3": sum(labels != row["top3"] for labels, row in zip(top3, wanted)),
    "probability": max(abs(one.probability - row["probability"]) for one, row in pairs),
}))
"""


def test_every_model_is_evaluated_and_every_product_has_its_place(built):
    metrics = metrics_of(built)
    assert {name: len(entries) - 1 for name, entries in metrics["models"].items()} == {
        "image": 3,  # two classifiers, and their ensemble
        "text": 3,
        "multimodal": 3,
    }
    data = metrics["data"]
    assert data["products"]["read"] == data["products"]["kept"] + data["rejected"]["all"]
    rejected = (built.top / "data/rejected.csv").read_text().splitlines()[1:]
    assert len(rejected) == data["rejected"]["all"] > 0


def test_a_second_repro_runs_nothing_and_leaves_git_clean(built):
    assert UP_TO_DATE in built.run("dvc", "repro")
    assert UP_TO_DATE in built.run("dvc", "status")
    assert built.run("git", "status", "--porcelain") == ""


def test_figures_on_random_weights_are_called_so(built):
    metrics = metrics_of(built)
    assert metrics["models"]["image"]["weights"] == {"mobilenet": "random"}
    assert metrics["models"]["text"]["weights"] == {"minilm": "bundled", "ngrams": "none"}
    assert "RANDOM" in metrics["headline"]["weights"]["multimodal"]
    report = (built.top / "metrics/results.txt").read_text(encoding="utf-8")
    assert "RANDOM WEIGHTS" in report and "DEMO DATA" in report


def test_the_packaged_model_predicts_for_test_products_what_the_evaluation_says(copy):
    said = copy.run("python", "-c", PREDICT)
    differences = json.loads(said.splitlines()[-1])
    assert differences["products"] > 40
    assert differences["labels"] == differences["top3"] == 0
    assert differences["probability"] <= 1e-6


def shrink(params):
    """Name one encoder and one classifier less; two tests do, and DVC runs its stages once."""
    del params["classifiers"]["logistic_regression"]
    params["backend"] = "openvino"
    params["text"]["encoders"] = ["minilm"]


def test_an_experiment_computes_nothing_anew_and_gives_what_repro_gives(copy):
    changes = ("backend=openvino", "text.encoders=[minilm]")
    copy.edit(lambda params: params["classifiers"].pop("logistic_regression"))
    said = copy.run(
        "dvc", "exp", "run", *(f"--set-param={change}" for change in changes), "package"
    )
    assert {"mobilenet": "0", "minilm": "0"}.items() <= dict(COMPUTED.findall(said)).items()
    by_exp_run = metrics_of(copy)
    assert by_exp_run["models"]["text"]["weights"] == {"minilm": "bundled"}
    copy.back()
    copy.edit(shrink)
    copy.repro("package")
    assert metrics_of(copy) == by_exp_run
    assert UP_TO_DATE in copy.run("dvc", "repro", "package")
    assert not (copy.top / "data/embeddings/text/ngrams.parquet").exists()


def test_a_stage_that_is_killed_is_run_again_and_gives_the_same_bytes(copy):
    # The short form of tests/torture/test_kills.py.
    wanted = copy.outputs()
    for name, seconds in (("prepare", 2.5), ("download_images", 3.0)):
        run = ("dvc", "repro", "--force", "--single-item", "--no-run-cache", name)
        copy.killed(seconds, *run)
        copy.run(*run)  # a plain `dvc repro` would take the outputs from DVC's cache
        assert copy.outputs() == wanted
        assert copy.leftovers() == []


def pulled_clone(copy, tmp_path):
    """Return a clone that has pulled what was pushed, and has the same bytes."""
    clone = copy.clone(tmp_path / "clone")
    for one in (copy, clone):
        one.run("dvc", "remote", "add", "--default", "shared", str(tmp_path / "remote"))
    copy.run("dvc", "push")
    clone.run("dvc", "pull")
    assert clone.outputs() == copy.outputs()
    return clone


def test_a_fresh_clone_that_pulls_runs_nothing(copy, tmp_path):
    clone = pulled_clone(copy, tmp_path)
    said = clone.run("dvc", "repro")
    assert UP_TO_DATE in said
    assert "Running stage" not in said
    # The model alone, as someone takes it who has another project.
    clone.run("git", "tag", "--annotate", "best@v1.0.0", "--message", "the first")
    clone.run("dvc", "get", str(clone.top), "models/best", "--out", "by_path")
    clone.run("dvc", "artifacts", "get", str(clone.top), "best", "--out", "by_name")
    for name in ("by_path", "by_name"):
        assert (clone.top / name / "model.json").read_bytes() == (
            copy.top / "models/best/model.json"
        ).read_bytes()


def test_a_clone_runs_nothing_after_an_encoder_was_removed(copy, tmp_path):
    copy.edit(shrink)
    copy.repro()
    assert UP_TO_DATE in copy.run("dvc", "repro")
    copy.commit()
    clone = pulled_clone(copy, tmp_path)
    assert UP_TO_DATE in clone.run("dvc", "status")
    # The encoder is named again: its weights, which DVC could not bring back, are taken back.
    weights = {
        file.name: file.read_bytes() for file in (copy.top / ".cache/weights/ngrams").iterdir()
    }
    copy.edit(lambda params: params["text"].update(encoders=["minilm", "ngrams"]))
    copy.repro("fuse")
    kept = {file.name: file.read_bytes() for file in (copy.top / "data/weights/ngrams").iterdir()}
    assert kept == weights
