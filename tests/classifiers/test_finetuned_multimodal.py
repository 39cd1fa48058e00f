"""Two tuned networks under one linear layer learn what neither input says alone."""

import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from helpers.image_networks import striped, write_image_network
from helpers.repository import TOP
from helpers.text_networks import write_text_network
from pydantic import ValidationError

from stages.classifiers import finetuned, finetuned_image
from stages.classifiers.finetuned_multimodal import Classifier, Settings, hide_one
from stages.common.blocks import InputBlock
from stages.common.errors import InputError
from stages.common.image_network import ImageNetwork
from stages.common.text_network import TextNetwork

WORDS = ["round", "square", "with", "strap", "wheel", "for", "home", "office", "garden"]
CLASSES = np.array(["balls across", "balls upright", "boxes across", "boxes upright"])
BLOCKS = {"photo": 0.6, "words": 0.7, "pieces": 0.39}
TEXT: dict[str, Any] = {"layers": 1, "max_epochs": 8, "batch_size": 8, "learning_rate": 0.003}
IMAGE: dict[str, Any] = {"max_epochs": 10, "batch_size": 8, "learning_rate": 0.01}

pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture(scope="module")
def products(tmp_path_factory):
    """Give made-up products: a word tells half of the class, the stripes of the image the rest."""
    text, image = (tmp_path_factory.mktemp(name) for name in ("text", "image"))
    write_text_network(text, WORDS)
    write_image_network(image)

    def products(n: int, seed: int) -> tuple[dict[str, Any], np.ndarray]:
        rng = np.random.default_rng(seed)
        is_box, is_upright = rng.integers(2, size=(2, n))
        texts = [
            " ".join(rng.permutation([("round", "square")[one], *rng.choice(WORDS[2:], 4)]))
            for one in is_box
        ]
        jpegs = [striped(bool(one), 1000 * seed + at) for at, one in enumerate(is_upright)]
        vectors = rng.normal(size=(3, n, 6)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
        X = dict(zip(BLOCKS, vectors, strict=True))
        X["words.input"] = InputBlock(
            np.array(texts, dtype=object),
            TextNetwork(text, "a network", "mean", 16),
            frozenset({"words", "pieces"}),
        )
        X["photo.input"] = InputBlock(
            np.array(jpegs, dtype=object), ImageNetwork(image, "a net"), frozenset({"photo"})
        )
        return X, CLASSES[2 * is_box + is_upright]

    return products


def fit(X: dict[str, Any], y: np.ndarray, blocks: dict[str, float] = BLOCKS) -> Classifier:
    return Classifier(Settings(text=TEXT, image=IMAGE), 7, blocks).fit(X, y)


@pytest.fixture(scope="module")
def fitted(products) -> Classifier:
    return fit(*products(160, 1))


def found(classifier: Classifier, X: dict[str, Any]) -> np.ndarray:
    """Return the classes that products are put into."""
    probabilities = classifier.predict_proba(X)
    assert probabilities.dtype == np.float32 and probabilities.shape == (len(X["photo"]), 4)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    return np.array(classifier.classes_)[probabilities.argmax(axis=1)]


def without(X: dict[str, Any], block: str) -> dict[str, Any]:
    """Return products that have not the input of a block."""
    missing = np.full(len(X[block]), None, dtype=object)
    return X | {f"{block}.input": replace(X[f"{block}.input"], inputs=missing)}


def halves(labels: np.ndarray) -> np.ndarray:
    """Return what the text and the image say of each label, str of shape (n, 2)."""
    return np.array([label.split() for label in labels])


def test_it_learns_what_both_say_and_keeps_what_is_left_without_one(fitted, products):
    X, y = products(80, 3)
    assert (found(fitted, X) == y).mean() > 0.9
    for block, told in (("photo", 0), ("words", 1)):
        right = (halves(found(fitted, without(X, block))) == halves(y)).mean(axis=0)
        assert right[told] > 0.9
        assert right[1 - told] < 0.7


def test_its_networks_are_those_of_the_two_kinds(fitted, products, cache):
    X, y = products(160, 1)
    before = sorted((cache / "tuned").iterdir())
    assert len(before) == 2
    text, photo = X["words.input"], X["photo.input"]
    finetuned.Classifier(finetuned.Settings(**TEXT), 7, {"words": 1.0}).fit(
        {"words": X["words"], "words.input": text}, y
    )
    finetuned_image.Classifier(finetuned_image.Settings(**IMAGE), 7, {"photo": 1.0}).fit(
        {"photo": X["photo"], "photo.input": photo}, y
    )
    assert sorted((cache / "tuned").iterdir()) == before


@pytest.mark.parametrize(("block", "told"), [("photo", 1), ("words", 0)])
def test_a_model_of_one_input_is_its_network_alone(products, block, told):
    X, y = products(160, 1)
    blocks = {"photo": 1.0} if block == "photo" else {"words": 0.9, "pieces": 0.436}
    names = [*blocks, f"{block}.input"]
    classifier = fit({name: X[name] for name in names}, y, blocks)
    given, wanted = products(80, 3)
    right = (halves(found(classifier, given)) == halves(wanted)).mean(axis=0)
    assert right[told] > 0.9 and right[1 - told] < 0.7


def test_an_input_of_which_other_encoders_alone_are_seen_is_learnt_from_their_vectors(
    products, tmp_path
):
    X, y = products(160, 1)
    given, wanted = products(80, 3)
    for blocks, labels in ((X, y), (given, wanted)):
        blocks["pieces"][:, 0] = np.where(halves(labels)[:, 0] == "boxes", 2, -2)
    for names, told in ((["photo", "photo.input", "pieces"], [0, 1]), (["pieces"], [0])):
        weights = {name: BLOCKS[name] for name in names if name in BLOCKS}
        classifier = fit({name: X[name] for name in names}, y, weights)
        right = halves(found(classifier, given)) == halves(wanted)
        assert (right[:, told].mean(axis=0) > 0.9).all()
        (folder := tmp_path / str(len(names))).mkdir()
        classifier.save(folder)
        saved = Classifier.load(folder)
        np.testing.assert_array_equal(saved.predict_proba(given), classifier.predict_proba(given))


def test_what_is_saved_predicts_the_same_and_needs_no_pytorch(fitted, products, tmp_path):
    X, _ = products(12, 3)
    X["photo.input"].inputs[-1] = None
    X["words.input"].inputs[0] = ""
    fitted.save(tmp_path)
    np.save(tmp_path / "texts.npy", X["words.input"].inputs.astype(str))
    for at, jpeg in enumerate(X["photo.input"].inputs[:-1]):
        (tmp_path / f"{at:02d}.jpg").write_bytes(jpeg)
    code = f"""
import sys, numpy as np
from pathlib import Path
from stages.classifiers.finetuned_multimodal import Classifier
from stages.common.blocks import InputBlock
folder = Path({str(tmp_path)!r})
jpegs = [file.read_bytes() for file in sorted(folder.glob("*.jpg"))]
X = {{"words.input": InputBlock(np.load(folder / "texts.npy").astype(object))}}
X["photo.input"] = InputBlock(np.array([*jpegs, None], dtype=object))
np.save(folder / "found.npy", Classifier.load(folder).predict_proba(X))
assert not {{"torch", "transformers"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], cwd=TOP, check=True)
    np.testing.assert_array_equal(np.load(tmp_path / "found.npy"), fitted.predict_proba(X))


@pytest.mark.parametrize("name", ["multimodal.json", "image/linear.json", "text/model.safetensors"])
def test_a_damaged_file_is_refused(fitted, tmp_path, name):
    fitted.save(tmp_path)
    (tmp_path / name).write_text("damaged")
    with pytest.raises(InputError, match=name.rpartition("/")[2]):
        Classifier.load(tmp_path)


def test_one_of_two_vectors_is_hidden_from_a_share_of_products():
    import torch

    sizes = [3, 5]
    rows = torch.ones((4000, 8))
    rows[:1000, :3] = 0  # have no first vector
    rows[1000:2000, 3:] = 0  # have no second
    with torch.random.fork_rng():
        torch.manual_seed(0)
        hidden = hide_one(rows, sizes, 0.4)
        assert hide_one(rows, sizes, 0).equal(rows)
    assert hidden[:2000].equal(rows[:2000])
    first, second = (part.any(dim=1) for part in hidden[2000:].split(sizes, dim=1))
    assert (first | second).all()
    for part in (first, second):
        assert 0.15 < 1 - part.float().mean() < 0.25
    assert set(hidden[2000:].unique(dim=0).sum(dim=1).tolist()) == {3.0, 5.0, 8.0}


def test_its_settings_name_the_part_that_is_at_fault():
    with pytest.raises(ValidationError, match=r"image.*\n.*patience: leave it out"):
        Settings(image={"patience": 3})
    seen = {"multimodal": {("minilm", "text"), ("convnextv2", "image")}}

    class Encoder:
        kind = "huggingface_text"

    with pytest.raises(ValueError, match=r"image\.encoder names convnextv2, of kind huggingface_t"):
        Settings().check_encoders({"minilm": Encoder, "convnextv2": Encoder}, seen)
