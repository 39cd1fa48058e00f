"""A tuned network learns what the frozen blocks do not say, and predicts without PyTorch."""

import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from helpers.repository import TOP
from helpers.text_networks import write_text_network

from stages.classifiers.base import tuned_classifier, tuning_cache
from stages.classifiers.base.checkpoints import SUFFIX
from stages.classifiers.base.saved_network import MODEL_FILE
from stages.classifiers.base.saved_text import SavedText
from stages.classifiers.base.training_loop import batches, count_batches, rise_and_fall
from stages.classifiers.base.tuned_text import TunedText
from stages.classifiers.base.tuning import uses_bfloat16
from stages.classifiers.finetuned import Classifier, Settings
from stages.common.blocks import InputBlock
from stages.common.errors import InputError
from stages.common.text_network import TextNetwork
from stages.common.text_tokens import TOKENIZER_FILE

WORDS = ["round", "square", "with", "strap", "wheel", "for", "home", "office", "garden"]
CLASSES = ["balls", "boxes"]
BLOCKS = {"photo": 0.6, "words": 0.8}
QUICK: dict[str, Any] = {"layers": 1, "max_epochs": 8, "batch_size": 8, "learning_rate": 0.003}

pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture(scope="module")
def network(tmp_path_factory) -> TextNetwork:
    folder = tmp_path_factory.mktemp("network")
    write_text_network(folder, WORDS)
    return TextNetwork(folder, "a network", "mean", 16)


@pytest.fixture(scope="module")
def products(network):
    """Give made-up products: a word of the text tells the class, the photo and vectors nothing."""

    def products(n: int, seed: int) -> tuple[dict[str, Any], np.ndarray]:
        rng = np.random.default_rng(seed)
        y = rng.integers(2, size=n)
        texts = [
            " ".join(rng.permutation([("round", "square")[at], *rng.choice(WORDS[2:], 4)]))
            for at in y
        ]
        vectors = rng.normal(size=(2, n, 6)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
        text = InputBlock(np.array(texts, dtype=object), network, frozenset({"words"}))
        X = {"photo": vectors[0], "words": vectors[1], "words.input": text}
        return X, np.array(CLASSES)[y]

    return products


def fit(train, validation=None, blocks=BLOCKS, **changes: Any) -> Classifier:
    return Classifier(Settings(**QUICK | changes), 7, blocks).fit(*train, validation)


@pytest.fixture(scope="module")
def fitted(products) -> Classifier:
    return fit(products(160, 1), products(40, 2))


def accuracy(classifier: Classifier, X: dict[str, Any], y: np.ndarray) -> float:
    found = classifier.predict_proba(X)
    assert found.dtype == np.float32 and found.shape == (len(y), 2)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    return float((np.array(classifier.classes_)[found.argmax(axis=1)] == y).mean())


def hidden(X: dict[str, Any]) -> dict[str, Any]:
    """Return products whose texts are empty."""
    texts = np.full(len(X["photo"]), "", dtype=object)
    return X | {"words.input": replace(X["words.input"], inputs=texts)}


def test_it_learns_what_only_the_texts_say(fitted, products):
    X, y = products(200, 3)
    assert fitted.classes_ == CLASSES
    assert accuracy(fitted, X, y) > 0.95
    assert accuracy(fitted, hidden(X), y) < 0.7


def test_tuning_learns_what_no_linear_layer_says(products, network):
    rng = np.random.default_rng(0)
    shapes, parts = rng.integers(2, size=(2, 160))
    texts = [
        f"{('round', 'square')[shape]} with {('strap', 'wheel')[part]}"
        for shape, part in zip(shapes, parts, strict=True)
    ]
    y = np.array(CLASSES)[shapes ^ parts]  # round with strap and square with wheel are one class
    X = products(160, 1)[0]
    X["words.input"] = InputBlock(np.array(texts, dtype=object), network, frozenset({"words"}))
    assert accuracy(fit((X, y), layers=2, max_epochs=12, contrastive=0), X, y) > 0.95
    low_rank = {"layers": "all", "lora": 4, "learning_rate": 0.02}
    assert accuracy(fit((X, y), **low_rank, max_epochs=12, contrastive=0), X, y) > 0.95
    assert accuracy(fit((X, y), layers=2, learning_rate=1e-9), X, y) < 0.8


def test_it_learns_from_the_other_blocks_too(products):
    train, test = products(160, 1), products(200, 3)
    for X, y in (train, test):
        X["photo"][:, 0] = np.where(y == "balls", 3, -3)
    without = hidden(train[0]), train[1]  # texts that tell nothing apart
    assert accuracy(fit(without, max_epochs=3), hidden(test[0]), test[1]) > 0.95
    half = train[0]["words.input"].inputs.copy()
    half[::2] = ""
    model = fit(
        (train[0] | {"words.input": replace(train[0]["words.input"], inputs=half)}, train[1])
    )
    assert accuracy(model, *test) > 0.95
    assert accuracy(model, hidden(test[0]), test[1]) > 0.95


def test_what_is_saved_predicts_the_same_and_needs_no_pytorch(fitted, products, tmp_path):
    X, _ = products(20, 3)
    texts = InputBlock(np.array([*X["words.input"].inputs[:-1], ""], dtype=object))  # no network
    X["words.input"] = texts
    fitted.save(tmp_path)
    expected = fitted.predict_proba(X)
    np.testing.assert_array_equal(Classifier.load(tmp_path).predict_proba(X), expected)
    np.save(tmp_path / "photo.npy", X["photo"])
    np.save(tmp_path / "words.npy", X["words"])
    code = f"""
import sys, numpy as np
from pathlib import Path
from stages.classifiers.finetuned import Classifier
from stages.common.blocks import InputBlock
folder = Path({str(tmp_path)!r})
X = {{name: np.load(folder / (name + ".npy")) for name in ("photo", "words")}}
X["words.input"] = InputBlock(np.array({texts.inputs.tolist()!r}, dtype=object))
np.save(folder / "found.npy", Classifier.load(folder).predict_proba(X))
assert not {{"torch", "transformers"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], cwd=TOP, check=True)
    np.testing.assert_array_equal(np.load(tmp_path / "found.npy"), expected)


def test_a_network_stays_the_one_that_was_loaded_where_another_is_copied_over_it(
    fitted, products, tmp_path
):
    X, _ = products(20, 3)
    fitted.save(tmp_path)
    loaded = Classifier.load(tmp_path)
    weights = (tmp_path / MODEL_FILE).with_suffix(".bin")
    with weights.open("r+b") as file:  # in place, as `cp` does
        file.write(bytes(weights.stat().st_size))
    np.testing.assert_array_equal(loaded.predict_proba(X), fitted.predict_proba(X))


def test_two_fits_write_the_same_bytes(products, tmp_path, monkeypatch):
    train = products(40, 1)
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        monkeypatch.setattr(
            tuning_cache, "cache_folder", lambda name=name: tmp_path / f"{name} cache"
        )
        fit(train, max_epochs=2).save(tmp_path / name)
    one, other = (
        {file.name: file.read_bytes() for file in (tmp_path / name).iterdir()}
        for name in ("one", "other")
    )
    assert one == other and MODEL_FILE in one


def test_what_was_tuned_once_is_not_tuned_again_unless_it_is_damaged(
    products, network, capsys, cache, monkeypatch
):
    train = products(40, 5)
    monkeypatch.setattr(tuning_cache, "MAX_TUNED", 2)
    first = fit(train, max_epochs=1).predict_proba(train[0])
    said = capsys.readouterr().err
    assert "tuning on 40 texts, epoch 1, " in said and "/40 [" in said  # a line, and a bar
    icons = network.folder / ".DS_Store"  # which a desktop leaves in a folder that is opened
    icons.touch()
    again = fit(train, max_epochs=1).predict_proba(train[0])
    icons.unlink()
    assert capsys.readouterr().err == ""
    np.testing.assert_array_equal(again, first)
    fit(train, max_epochs=1, label_smoothing=0.1)
    assert "tuning on" in capsys.readouterr().err
    assert len(list((cache / "tuned").iterdir())) == 2
    for folder in (cache / "tuned").iterdir():
        (folder / MODEL_FILE).write_text("damaged")
    np.testing.assert_array_equal(fit(train, max_epochs=1).predict_proba(train[0]), first)
    assert "tuning on" in capsys.readouterr().err


def test_a_text_that_a_network_has_read_is_not_read_again(products, monkeypatch):
    train, (X, _) = products(40, 5), products(20, 6)
    expected = fit(train, max_epochs=1).predict_proba(X)
    monkeypatch.setattr(SavedText, "encode", lambda *args: pytest.fail("it was read"))
    np.testing.assert_array_equal(fit(train, max_epochs=1).predict_proba(X), expected)
    other = fit(train, max_epochs=1, blocks=BLOCKS | {"photo": 0.5}).predict_proba(X)
    assert not np.array_equal(other, expected)


def test_what_another_process_removes_meanwhile_ends_no_run(products, tmp_path, monkeypatch):
    monkeypatch.setattr(tuning_cache, "cache_folder", lambda: tmp_path)
    (tmp_path / "tuned").mkdir()
    for name in ("network", f".network{SUFFIX}"):  # seen, and gone when they are looked at
        (tmp_path / "tuned" / name).symlink_to("gone")
    X, y = products(40, 1)
    assert fit((X, y), max_epochs=1).predict_proba(X).shape == (40, 2)


def test_it_is_tuned_again_where_the_code_of_its_network_is_another(products, capsys, monkeypatch):
    train = products(40, 5)
    fit(train, max_epochs=1)
    monkeypatch.setattr(tuning_cache, "code_key", lambda: "another")
    capsys.readouterr()
    fit(train, max_epochs=1)
    assert "tuning on" in capsys.readouterr().err


def test_by_default_validation_products_change_nothing_but_the_curves(products):
    train, (X, y) = products(60, 1), products(40, 2)
    misled = X, np.where(y == "balls", "boxes", "balls")  # each epoch is worse than the one before
    model = fit(train, misled, max_epochs=4)
    assert len(model.history_["validation_loss"]) == 4
    found = fit(train, max_epochs=4).predict_proba(X)
    np.testing.assert_array_equal(model.predict_proba(X), found)


def test_with_patience_the_epoch_that_is_best_on_validation_is_kept(products):
    train, (X, y) = products(60, 1), products(40, 2)
    misled = X, np.where(y == "balls", "boxes", "balls")  # each epoch is worse than the one before
    model = fit(train, misled, {"words": 1.0}, max_epochs=8, patience=2)
    losses = model.history_["validation_loss"]
    assert len(losses) == 3 and losses == sorted(losses)
    found = model.predict_proba(X)[np.arange(40), np.searchsorted(CLASSES, misled[1])]
    assert -np.log(found).mean() == pytest.approx(losses[0], abs=0.005)


@pytest.mark.parametrize("changes", [{"patience": 2}, {"head_learning_rate": 1e30}])
def test_rates_at_which_training_goes_astray_are_said(products, changes):
    with pytest.raises(InputError, match="in epoch 1 a loss is no number; lower the"):
        fit(products(80, 1), products(40, 2), **{"learning_rate": 1e30, "layers": "all"} | changes)


WINDOW = {"num_attention_heads": 2, "attention_window": 8}


@pytest.mark.parametrize(
    ("architecture", "sizes", "said"),
    [
        ("fnet", {}, "a network makes another vector of a text that is padded"),
        ("longformer", WINDOW, "OpenVINO.* does not run a network as PyTorch"),
        ("gpt2", {"n_embd": 32, "n_head": 2}, "OpenVINO.* does not run a network as PyTorch"),
    ],
    ids=["vectors depend on padding", "one length", "no conversion"],
)
def test_a_network_that_could_not_be_used_is_refused_before_it_is_tuned(
    tmp_path, products, monkeypatch, architecture, sizes, said
):
    from transformers import AutoConfig, AutoModel

    write_text_network(tmp_path, WORDS)  # of which the tokeniser is kept
    sizes |= {"vocab_size": 16, "hidden_size": 32, "intermediate_size": 64}
    sizes |= {"num_hidden_layers": 2}
    AutoModel.from_config(AutoConfig.for_model(architecture, **sizes)).save_pretrained(tmp_path)
    X, y = products(8, 1)
    network = replace(X["words.input"].network, folder=tmp_path)
    X["words.input"] = replace(X["words.input"], network=network)
    monkeypatch.setattr(tuned_classifier, "tune", lambda *args: pytest.fail("it was tuned"))
    with pytest.raises(InputError, match=said):
        fit((X, y))


def test_only_the_last_layers_learn_or_all_but_the_words(network):
    last, whole = TunedText(network, 1), TunedText(network, None)
    layers = {"of one": len(last.trained.parameters), "of all": len(whole.trained.parameters)}
    assert layers["of one"] * 2 < layers["of all"]
    of_last = {id(one) for one in last._module.network.encoder.layer[-1].parameters()}
    words = {id(whole._module.network.embeddings.word_embeddings.weight)}
    of_whole = {id(one) for one in whole._module.parameters()} - words
    for text, expected in ((last, of_last), (whole, of_whole)):
        assert {id(one) for one in text.trained.parameters} == expected
        assert {id(one) for one in text._module.parameters() if one.requires_grad} == expected


def test_with_lora_matrices_of_low_rank_learn_and_become_part_of_the_weights(network):
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(0)
        text, plain = TunedText(network, 1, lora=3), TunedText(network, 1)
    assert {min(one.shape) for one in text.trained.parameters} == {3}
    before = {name: one.clone() for name, one in plain._module.state_dict().items()}
    prepared = text.prepare(["round wheel", "square with strap"])
    at_first = text.vectors(prepared, False)
    torch.testing.assert_close(at_first, plain.vectors(prepared, False))
    optimizer = torch.optim.SGD(text.trained.parameters, lr=1)
    text.vectors(prepared, True)[:, 0].sum().backward()
    optimizer.step()
    learnt = text.vectors(prepared, False)
    assert not torch.allclose(learnt, at_first, atol=1e-4)
    found = text.saved().encode(["round wheel", "square with strap"])
    np.testing.assert_allclose(found, learnt.detach().numpy(), atol=0.01)
    after = text._module.state_dict()
    ranks = {
        name: torch.linalg.matrix_rank(after[name] - one, tol=1e-6).item()
        for name, one in before.items()
        if not one.equal(after[name])
    }
    assert ranks and all(
        name.startswith("network.encoder.layer.1") and name.endswith("weight") and rank <= 3
        for name, rank in ranks.items()
    )


@pytest.mark.parametrize(("layers", "lora"), [(None, None), (1, None), (1, 2)])
def test_a_network_is_wholly_on_the_device_that_trains_it(network, layers, lora, monkeypatch):
    # PyTorch's device for tensors without numbers: one on the processor would raise an error.
    text = TunedText(network, layers, "meta", lora)
    monkeypatch.setattr("torch.Tensor.all", lambda mask: False)  # Transformers: is none padded?
    for _ in range(2):  # with what the frozen layers gave before
        vectors = text.vectors(text.prepare(["round wheel", "", "square"]), True)
        assert vectors.device.type == "meta"
        vectors.sum().backward()
    gradients = [one.grad for one in text.trained.parameters]
    learnt = [gradient for gradient in gradients if gradient is not None]  # a pooler has none
    assert {gradient.device.type for gradient in learnt} == {"meta"}


@pytest.mark.parametrize(("device", "wanted"), [("auto", "cuda"), ("cpu", "cpu")])
def test_a_gpu_tunes_where_there_is_one_unless_told_otherwise(
    products, monkeypatch, device, wanted
):
    class Asked(Exception):
        pass

    def asked(seed, device):
        raise Asked(device)

    monkeypatch.setattr(tuned_classifier, "torch_device", lambda: "cuda")
    monkeypatch.setattr(tuned_classifier, "reproducible", asked)
    with pytest.raises(Asked, match=f"^{wanted}$"):
        Classifier(Settings(device=device, **QUICK), 42, {"words": 0.8}).fit(*products(20, 1))


def test_bfloat16_is_that_of_a_gpu_unless_it_is_asked_for(fitted, products, monkeypatch):
    found = fit(products(160, 1), products(40, 2), precision="bfloat16")
    assert accuracy(found, *products(200, 3)) > 0.95
    assert found.history_ != fitted.history_  # other numbers than in float32, which is auto here
    for has_it in (True, False):
        monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda has_it=has_it, **asked: has_it)
        assert uses_bfloat16("auto", "cuda") is has_it
        assert not uses_bfloat16("float32", "cuda") and not uses_bfloat16("auto", "cpu")


def test_the_contrastive_loss_draws_the_products_of_a_class_together(fitted, products):
    X, y = products(100, 3)
    without = fit(products(160, 1), products(40, 2), contrastive=0)
    assert min(accuracy(without, X, y), accuracy(fitted, X, y)) > 0.95
    alike = y[:, None] == y
    spans = []
    for model in (without, fitted):
        vectors = model._network.encode(X["words.input"].inputs)
        similarities = vectors @ vectors.T
        spans.append(similarities[alike].mean() - similarities[~alike].mean())
    assert spans[1] > spans[0] + 0.5


def test_without_texts_there_is_no_network(products, tmp_path):
    X, y = products(40, 1)
    X["photo"][:, 0] = np.where(y == "balls", 3, -3)
    del X["words.input"]
    model = fit((X, y), max_epochs=3)
    model.save(tmp_path)
    assert accuracy(Classifier.load(tmp_path), X, y) > 0.95
    assert not (tmp_path / MODEL_FILE).exists()


@pytest.mark.parametrize("name", [MODEL_FILE, TOKENIZER_FILE])
def test_a_damaged_network_is_refused(fitted, tmp_path, name):
    fitted.save(tmp_path)
    (tmp_path / name).write_text("damaged")
    with pytest.raises(InputError, match="holds no text network"):
        Classifier.load(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(InputError, match="holds no text network"):
        Classifier.load(tmp_path)


def test_an_epoch_has_each_product_once_in_batches_of_like_length():
    lengths = np.random.default_rng(0).integers(1, 100, size=333)
    found = list(batches(lengths, 8))
    assert sorted(np.concatenate(found).tolist()) == list(range(333))
    assert len(found) == count_batches(333, 8)
    assert max(map(len, found)) == 8
    spread = np.mean([np.ptp(lengths[rows]) for rows in found if len(rows) > 1])
    assert spread < np.ptp(lengths) / 4


def test_learning_rates_rise_and_fall():
    rate = rise_and_fall(100)
    factors = [rate(step) for step in range(100)]
    assert factors[0] == pytest.approx(0.1) and max(factors) == pytest.approx(1)
    assert factors[:10] == sorted(factors[:10])
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert factors[-1] == pytest.approx(1 / 90)
    assert 0 < rise_and_fall(1)(0) <= 1
