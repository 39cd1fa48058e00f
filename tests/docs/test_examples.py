"""The examples of code in docs/ work."""

import types
from importlib.metadata import version

import numpy as np
from helpers.documents import blocks
from helpers.encoder_contract import CHECKS, load_case
from helpers.repository import TOP
from ray.autoscaler._private.util import prepare_config, validate_config
from ruamel.yaml import YAML

import stages.encoders


def test_the_example_of_a_classifier_learns_and_is_loaded_again(tmp_path):
    (code,) = blocks(TOP / "docs/architecture.md", "python")
    example = types.ModuleType("nearest_neighbors")
    exec(code, example.__dict__)
    rng = np.random.default_rng(0)
    X = {"image": rng.normal(size=(20, 4)).astype(np.float32)}
    y = np.array(["one", "two"] * 10)
    X["image"][::2] += 4
    settings = example.Settings.model_validate({"n_neighbors": 5})
    classifier = example.Classifier(settings, 42, {"image": 1.0}).fit(X, y)
    classifier.save(tmp_path)
    found = example.Classifier.load(tmp_path).predict_proba(X)
    assert [classifier.classes_[i] for i in found.argmax(axis=1)] == y.tolist()
    np.testing.assert_array_equal(found, classifier.predict_proba(X))


def test_the_example_of_an_encoder_keeps_to_what_every_kind_does(tmp_path, monkeypatch):
    (code,) = blocks(TOP / "docs/encoders.md", "python")
    (tmp_path / "letters.py").write_text(code, encoding="utf-8")
    places = [*stages.encoders.__path__, str(tmp_path)]
    monkeypatch.setattr(stages.encoders, "__path__", places)
    case = load_case({"kind": "letters"}, "float32", tmp_path / "weights")
    for check in CHECKS:
        check(case)
    assert case.encode(["Bob's 2 bags"])[0][[0, 1, 28]].tolist() == [1, 3, 1]


def test_the_examples_of_clusters_are_what_ray_takes():
    on_a_cloud, on_kubernetes = map(YAML(typ="safe").load, blocks(TOP / "docs/scale.md", "yml"))
    prepared = prepare_config(on_a_cloud)
    validate_config(prepared)
    workers = prepared["available_node_types"]["worker"]
    assert workers["min_workers"] == prepared["max_workers"]
    pods = on_kubernetes["spec"]
    assert pods["rayVersion"] == version("ray")
    (group,) = pods["workerGroupSpecs"]
    head, worker = (pod["template"]["spec"] for pod in (pods["headGroupSpec"], group))
    (volume,), (container,) = head["volumes"], head["containers"]
    assert [one["name"] for one in container["volumeMounts"]] == [volume["name"]]
    assert container["image"] == worker["containers"][0]["image"]  # one environment
