"""What the multi-layer perceptron promises beyond what every classifier does."""

import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from helpers.repository import TOP
from safetensors.numpy import load_file, save_file

from stages.classifiers import mlp
from stages.classifiers.base.arrays import ARRAYS_FILE
from stages.classifiers.base.epochs import INPUT_LENGTH
from stages.classifiers.mlp import Settings as MlpSettings
from stages.common.errors import InputError
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


def test_variables_are_drawn_as_keras_draws_them_under_the_names_that_a_saved_model_has():
    build = {"classes": ["c0", "c1", "c2"], "blocks": {"a": 5, "b": 3}}
    build |= {"branch_units": 300, "hidden_units": 4}
    found = mlp._variables(mlp._layers(build))
    layers = {"a_dense": (5, 300), "b_dense": (3, 300), "hidden": (600, 4), "classes": (4, 3)}
    keys = ("gamma", "beta", "moving_mean", "moving_variance")
    ends = {f"{name}/{key}" for name in layers for key in ("kernel", "bias")}
    assert set(found) == ends | {f"normalized/{key}" for key in keys}
    for name, (start, end) in layers.items():
        kernel, limit = found[f"{name}/kernel"], (6 / (start + end)) ** 0.5
        assert kernel.shape == (start, end)
        assert 0.7 * limit < np.abs(kernel).max() <= limit
        assert not found[f"{name}/bias"].any()
    for key, value in zip(keys, (1, 0, 0, 1), strict=True):
        np.testing.assert_array_equal(found[f"normalized/{key}"], np.full(600, value))


@pytest.mark.parametrize(("n", "batch_size"), [(7, 3), (7, 2), (2, 2), (129, 128), (5, 9)])
def test_every_product_is_in_one_batch_and_none_is_alone_in_it(n, batch_size):
    batches = mlp._batches(n, batch_size)
    assert sorted(row for batch in batches for row in batch.tolist()) == list(range(n))
    assert 2 <= min(map(len, batches)) <= max(map(len, batches)) <= max(batch_size, 3)


def test_training_leaves_pytorch_s_threads_and_random_numbers_as_they_were():
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    torch.set_num_threads(2)
    try:
        fitted(settings(max_epochs=1), products([9, 9], 1, noise=1), None)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    train, validation = products([20, 20], 1, noise=0.5), products([4, 4], 2, noise=0.5)
    fitted(settings(max_epochs=2), train, validation).save(folder)
    return folder


@pytest.mark.parametrize("change", ["shape", "missing"])
def test_variables_of_another_network_are_refused_by_name(folder, tmp_path, change):
    values = load_file(folder / ARRAYS_FILE)
    key = "hidden/kernel"
    if change == "shape":
        values[key] = values[key][:-1].copy()
    else:
        del values[key]
    (tmp_path / mlp.Classifier.build_file).write_bytes(
        (folder / mlp.Classifier.build_file).read_bytes()
    )
    save_file(values, tmp_path / ARRAYS_FILE)
    with pytest.raises(InputError, match=r"model\.safetensors holds no hidden/kernel of shape"):
        mlp.Classifier.load(tmp_path)


def test_it_predicts_what_its_network_says_and_without_a_framework(tmp_path):
    train = products([20, 20, 20], 1, noise=2)
    model = fitted(settings(max_epochs=3), train, None)
    model.save(tmp_path)
    rows = torch.from_numpy(train.X["b"]) * INPUT_LENGTH
    variables = {n: torch.from_numpy(v) for n, v in load_file(tmp_path / ARRAYS_FILE).items()}

    def dense(name: str, rows: torch.Tensor) -> torch.Tensor:
        return rows @ variables[f"{name}/kernel"] + variables[f"{name}/bias"]

    keys = ("moving_mean", "moving_variance", "gamma", "beta")
    normalized = torch.nn.functional.batch_norm(
        dense("b_dense", rows).relu(), *(variables[f"normalized/{key}"] for key in keys), eps=1e-3
    )
    reference = dense("classes", dense("hidden", normalized).relu()).softmax(dim=1).numpy()
    np.testing.assert_allclose(model.predict_proba(train.X), reference, rtol=0, atol=1e-6)

    np.save(tmp_path / "rows.npy", train.X["b"])
    script = (
        "import sys; import numpy as np; from pathlib import Path\n"
        "from stages.classifiers.mlp import Classifier\n"
        "folder = Path(sys.argv[1])\n"
        "found = Classifier.load(folder).predict_proba({'b': np.load(folder / 'rows.npy')})\n"
        "np.save(folder / 'found.npy', found)\n"
        "print(*{'keras', 'tensorflow', 'torch'} & set(sys.modules))\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    said = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=True).stdout
    assert said == "\n"
    np.testing.assert_allclose(np.load(tmp_path / "found.npy"), reference, rtol=0, atol=1e-6)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("has_validation", [True, False])
@pytest.mark.parametrize("rate", [1e19, 1e30])
def test_a_rate_at_which_training_goes_astray_is_said(rate, has_validation):
    train, validation = products([20, 20, 20], 1, noise=2), products([12, 12, 12], 2, noise=2)
    with pytest.raises(
        InputError, match=r"in epoch [12] a loss .* the classifier's learning_rate$"
    ):
        fitted(settings(learning_rate=rate), train, validation if has_validation else None)
