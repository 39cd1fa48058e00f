"""What the multi-layer perceptron promises beyond what every classifier does."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from helpers.repository import TOP
from safetensors.numpy import load_file, save_file

from stages.classifiers import mlp
from stages.classifiers.mlp import Settings as MlpSettings
from stages.common.errors import InputError
from stages.common.keras_weights import restore_variables
from stages.params import load_params


class Products(NamedTuple):
    X: dict[str, np.ndarray]
    y: np.ndarray


def settings(**changed: Any) -> MlpSettings:
    known = load_params(TOP / "params.yaml").classifiers["mlp"]
    return known.model_copy(update={"branch_units": 32, "hidden_units": 32} | changed)


def products(each: list[int], seed: int, noise: float, spread: float = 1.0) -> Products:
    """Make so many products of each class, in one block; noise makes classes overlap."""
    centres = spread * np.random.default_rng(0).normal(size=(len(each), 12))
    rng = np.random.default_rng(seed)
    at = rng.permutation(np.repeat(np.arange(len(each)), each))
    rows = centres[at] + noise * rng.normal(size=(len(at), 12))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    labels = np.array([f"c{number}" for number in at])
    return Products({"b": rows}, labels)


def fitted(settings: MlpSettings, train: Products, validation: Products | None) -> mlp.Classifier:
    return mlp.Classifier(settings, 3, {"b": 1.0}).fit(*train, validation)


def accuracy(model: mlp.Classifier, given: Products) -> float:
    chosen = np.array(model.classes_)[model.predict_proba(given.X).argmax(axis=1)]
    return float((chosen == given.y).mean())


def test_it_stops_early_and_keeps_the_best_epochs_variables(tmp_path):
    train, validation = products([20, 20, 20], 1, noise=2), products([12, 12, 12], 2, noise=2)
    chosen = settings(max_epochs=90, patience=6, learning_rate=0.01, dropout=0.0)
    model = fitted(chosen, train, validation)
    assert list(model.history_) == [
        "train_loss",
        "validation_loss",
        "train_accuracy",
        "validation_accuracy",
    ]
    losses = model.history_["validation_loss"]
    epochs = len(losses)
    assert {len(curve) for curve in model.history_.values()} == {epochs}
    best = int(np.argmin(losses))
    assert epochs == best + 1 + 6 < 90
    assert losses[-1] > losses[best] + 0.01

    model.save(tmp_path)
    probabilities = mlp.Classifier.load(tmp_path).predict_proba(validation.X)
    at = np.searchsorted(model.classes_, validation.y)
    loss = -np.log(probabilities[np.arange(len(at)), at]).mean()
    assert loss == pytest.approx(losses[best], abs=2e-3)
    assert accuracy(model, validation) == pytest.approx(
        model.history_["validation_accuracy"][best], abs=1e-3
    )


def test_the_best_epoch_is_kept_where_epochs_run_out():
    train, validation = products([20, 20, 20], 1, noise=2), products([12, 12, 12], 2, noise=2)
    chosen = settings(max_epochs=25, patience=25, learning_rate=0.02, dropout=0.0)
    model = fitted(chosen, train, validation)
    losses = model.history_["validation_loss"]
    assert len(losses) == 25 and losses[-1] > min(losses) + 0.01
    at = np.searchsorted(model.classes_, validation.y)
    loss = -np.log(model.predict_proba(validation.X)[np.arange(len(at)), at]).mean()
    assert loss == pytest.approx(min(losses), abs=1e-3)


def test_without_validation_products_it_keeps_the_last_epoch_s_variables():
    train = products([20, 20, 20], 1, noise=2)
    known = products([12, 12, 12], 2, noise=2)
    chosen = settings(max_epochs=7, patience=7, dropout=0.0)
    model = fitted(chosen, train, None)
    assert len(model.history_["train_loss"]) == 7
    assert model.history_["validation_loss"] == model.history_["validation_accuracy"] == []
    # As long as the loss falls the last epoch is the best, so that stopping early changes nothing.
    watched = fitted(chosen, train, known)
    losses = watched.history_["validation_loss"]
    assert int(np.argmin(losses)) == 6
    np.testing.assert_allclose(
        model.predict_proba(known.X), watched.predict_proba(known.X), atol=1e-6
    )


def test_a_last_batch_of_one_product_does_no_harm():
    train, validation = products([43, 43, 43], 1, noise=0.5), products([6, 6, 6], 2, noise=0.5)
    test = products([50, 50, 50], 3, noise=0.5)
    assert len(train.y) % 64 == 1
    model = fitted(settings(max_epochs=20, batch_size=64), train, validation)
    assert accuracy(model, test) > 0.9
    assert np.isfinite(model.predict_proba(test.X)).all()


def test_balanced_weights_find_more_of_a_rare_class():
    train, validation = products([190, 10], 1, 1, 0.3), products([57, 3], 2, 1, 0.3)
    test = products([200, 200], 3, 1, 0.3)
    chosen = test.y == "c1"
    rare = Products({"b": test.X["b"][chosen]}, test.y[chosen])
    found = {
        weight: accuracy(
            fitted(settings(class_weight=weight, max_epochs=15), train, validation), rare
        )
        for weight in ("balanced", None)
    }
    assert found["balanced"] > found[None] + 0.1


def test_class_weights_are_the_inverse_of_the_classes_frequencies():
    y = np.array(["b", "a", "b", "b"])
    assert mlp._class_weight(y, ["a", "b"]) == {0: 4 / 2, 1: 4 / (2 * 3)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    train, validation = products([20, 20], 1, noise=0.5), products([4, 4], 2, noise=0.5)
    fitted(settings(max_epochs=2), train, validation).save(folder)
    return folder


@pytest.mark.parametrize("change", ["shape", "missing"])
def test_variables_of_another_network_are_refused_by_name(folder, tmp_path, change):
    values = load_file(folder / mlp.MODEL_FILE)
    key = "hidden/kernel"
    if change == "shape":
        values[key] = values[key][:-1].copy()
    else:
        del values[key]
    (tmp_path / mlp.BUILD_FILE).write_bytes((folder / mlp.BUILD_FILE).read_bytes())
    save_file(values, tmp_path / mlp.MODEL_FILE)
    with pytest.raises(InputError, match=r"model\.safetensors holds no hidden/kernel of shape"):
        mlp.Classifier.load(tmp_path)


def test_it_predicts_what_its_network_says_and_without_keras(tmp_path):
    train = products([20, 20, 20], 1, noise=2)
    model = fitted(settings(max_epochs=3), train, None)
    model.save(tmp_path)
    network = mlp._network(json.loads((tmp_path / mlp.BUILD_FILE).read_text()))
    restore_variables(network, tmp_path / mlp.MODEL_FILE)
    reference = np.asarray(network(train.X))
    np.testing.assert_allclose(model.predict_proba(train.X), reference, rtol=0, atol=1e-6)

    np.save(tmp_path / "rows.npy", train.X["b"])
    script = (
        "import sys; import numpy as np; from pathlib import Path\n"
        "from stages.classifiers.mlp import Classifier\n"
        "folder = Path(sys.argv[1])\n"
        "found = Classifier.load(folder).predict_proba({'b': np.load(folder / 'rows.npy')})\n"
        "np.save(folder / 'found.npy', found)\n"
        "print(*{'keras', 'tensorflow'} & set(sys.modules))\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    said = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=True).stdout
    assert said == "\n"
    np.testing.assert_allclose(np.load(tmp_path / "found.npy"), reference, rtol=0, atol=1e-6)
