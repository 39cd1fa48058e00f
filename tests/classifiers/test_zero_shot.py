"""Zero-shot: the class whose prompt is nearest, by CLIP's own vectors and whatever the labels."""

from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from helpers.clip_models import image_vectors, text_vectors, write_clip, write_siglip
from pydantic import ValidationError
from scipy.special import softmax

from stages.classifiers.zero_shot import Classifier, Settings
from stages.common.blocks import mean_key
from stages.common.errors import InputError
from stages.common.paths import weights
from stages.fusion.features import Features
from stages.fusion.preprocessing import BlockPreprocessor

CLASSES = ["ball", "box", "cup"]
BOTH = {"clip_image": 0.6, "clip_text": 0.8}
N = 40
PROMPTS = [f"a photo of a {label}" for label in CLASSES]


@pytest.fixture(scope="module", params=["clip", "siglip"])
def top(request, tmp_path_factory) -> Path:
    """A folder with the weights of a small model, as the stage `train` finds them."""
    top = tmp_path_factory.mktemp(request.param)
    folder = top / weights("clip_text")
    {"clip": write_clip, "siglip": write_siglip}[request.param](folder)
    return top


@pytest.fixture(scope="module")
def vectors(top) -> dict[str, np.ndarray]:
    """What the towers make of N products, and of the prompts."""
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 256, (N, 3, 3, 3), dtype=np.uint8)
    images = [PIL.Image.fromarray(one).resize((48, 32), 0) for one in colours]
    words = ["red", "blue", "ball", "box", "cup", "tv", "on"]
    texts = [" ".join(rng.choice(words, 4)) for _ in range(N)]
    folder = top / weights("clip_text")
    found = {"clip_image": image_vectors(folder, images), "clip_text": text_vectors(folder, texts)}
    return found | {"prompts": text_vectors(folder, PROMPTS)}


@pytest.fixture(autouse=True)
def here(top, monkeypatch):
    monkeypatch.chdir(top)


def features_of(blocks: dict[str, np.ndarray]) -> Features:
    present = {name: rows.any(axis=1) for name, rows in blocks.items()}
    weighted = {name: BOTH[name] for name in blocks}
    inputs = {name: name.removeprefix("clip_") for name in blocks}
    n = len(next(iter(blocks.values())))
    return Features(dict(blocks), present, weighted, inputs, np.full(n, ""), {})


def fit_and_predict(
    blocks: dict[str, np.ndarray], y: Any = None, n_train: int = N, **changes: Any
) -> tuple[Classifier, np.ndarray, dict[str, np.ndarray]]:
    """Preprocess blocks as the pipeline does; return the classifier, what it gives, and X."""
    features = features_of(blocks)
    chosen = np.arange(N) < n_train
    preprocessor = BlockPreprocessor().fit(features.select_rows(chosen))
    X = preprocessor.transform(features).X
    y = np.array(CLASSES)[np.arange(N) % 3] if y is None else y
    means = {mean_key(name): mean for name, mean in preprocessor.means.items()}
    train = {name: rows[chosen] for name, rows in X.items()} | means
    classifier = Classifier(Settings(**changes), 7, features.block_weights)
    return classifier.fit(train, y[chosen]), classifier.predict_proba(X), dict(X)


@pytest.mark.parametrize("names", [["clip_image"], ["clip_text"], ["clip_image", "clip_text"]])
def test_it_takes_the_class_whose_prompt_is_nearest(vectors, names):
    blocks = {name: vectors[name] for name in names}
    cosines = np.mean([rows @ vectors["prompts"].T for rows in blocks.values()], axis=0)
    classifier, found, _ = fit_and_predict(blocks)
    assert classifier.classes_ == CLASSES
    assert found.dtype == np.float32 and found.shape == (N, 3)
    assert len(set(cosines.argmax(axis=1))) > 1
    np.testing.assert_array_equal(found.argmax(axis=1), cosines.argmax(axis=1))
    np.testing.assert_allclose(found, softmax(100 * cosines, axis=1), atol=1e-3)
    milder = fit_and_predict(blocks, logit_scale=5.0)[1]
    np.testing.assert_allclose(milder, softmax(5 * cosines, axis=1), atol=1e-4)


def test_labels_of_products_and_which_are_trained_on_make_no_difference(vectors):
    blocks = {name: vectors[name] for name in BOTH}
    _, expected, _ = fit_and_predict(blocks)
    shuffled = np.random.default_rng(1).permutation(np.array(CLASSES)[np.arange(N) % 3])
    np.testing.assert_array_equal(fit_and_predict(blocks, shuffled)[1], expected)
    fewer = fit_and_predict(blocks, n_train=7)[1]  # blocks are then centred elsewhere
    np.testing.assert_allclose(fewer, expected, atol=1e-3)


def test_a_product_without_one_vector_goes_by_the_other(vectors):
    blocks = {name: vectors[name].copy() for name in BOTH}
    blocks["clip_image"][:3] = 0
    blocks["clip_text"][2:5] = 0
    found = fit_and_predict(blocks)[1]
    for name, row in (("clip_text", 0), ("clip_image", 4)):
        cosines = vectors[name][row] @ vectors["prompts"].T
        np.testing.assert_allclose(found[row], softmax(100 * cosines), atol=1e-3)
    np.testing.assert_allclose(found[2], 1 / 3, atol=1e-6)


def test_a_class_may_have_another_name_and_another_prompt(top, vectors):
    words = {"prompt": "{label} for a tv", "names": {"ball": "a red ball", "other": "unused"}}
    _, found, _ = fit_and_predict({"clip_image": vectors["clip_image"]}, **words)
    prompts = ["a red ball for a tv", "box for a tv", "cup for a tv"]
    cosines = vectors["clip_image"] @ text_vectors(top / weights("clip_text"), prompts).T
    np.testing.assert_allclose(found, softmax(100 * cosines, axis=1), atol=1e-3)


def test_what_is_saved_predicts_the_same_without_the_towers(vectors, tmp_path, monkeypatch):
    classifier, found, X = fit_and_predict({name: vectors[name] for name in BOTH})
    classifier.save(tmp_path)
    monkeypatch.chdir(tmp_path)
    loaded = Classifier.load(tmp_path)
    assert loaded.classes_ == CLASSES
    np.testing.assert_array_equal(loaded.predict_proba(X), found)


def test_towers_of_two_sizes_are_refused(vectors):
    with pytest.raises(InputError, match=r"clip_image gives vectors of 5 numbers and clip_text of"):
        fit_and_predict({"clip_image": vectors["clip_image"][:, :5]})


def test_classes_that_the_text_tower_cannot_tell_apart_are_named(vectors):
    with pytest.raises(InputError, match=r"prompts of ball and cup have one vector: .* `names`"):
        fit_and_predict({"clip_image": vectors["clip_image"]}, names={"cup": "Ball"})


def test_a_prompt_needs_a_place_for_the_name():
    with pytest.raises(ValidationError, match=r"the prompt has no \{label\}"):
        Settings(prompt="a photo of a {name}")
