"""CLIP and SigLIP give the vectors that Transformers gives, each tower on its own."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.clip_models import image_vectors, text_vectors, write_clip, write_siglip

from stages.common.clip_network import count_tokens
from stages.common.errors import InputError
from stages.encoders import clip_image, clip_text
from stages.encoders.backends.base import Backend
from stages.encoders.text_counts import TextCounter

FLOAT32 = Backend("openvino", "float32")
TORCH = Backend("torch", "float32")
TEXTS = [
    *["a photo of a red ball", "box", "A Photo of a BLUE Cup", "tv", "on and on and on"],
    *["a red ball and a blue box and a green cup for a tv on a box", "a?", "  a   cup  "],
]


@pytest.fixture(scope="module", params=["clip", "siglip"])
def folder(request, tmp_path_factory) -> Path:
    """The folder of a small model, as `fetch` leaves it."""
    folder = tmp_path_factory.mktemp(request.param)
    {"clip": write_clip, "siglip": write_siglip}[request.param](folder)
    return folder


def image_settings(folder: Path) -> clip_image.Settings:
    return clip_image.Settings(kind="clip_image", model="lab/tiny", path=folder)


def text_settings(folder: Path) -> clip_text.Settings:
    return clip_text.Settings(kind="clip_text", model="lab/tiny", path=folder)


def fetched(kind, settings, tmp_path):
    """Return what an encoder's folder has after `fetch`."""
    place = tmp_path / settings.kind
    place.mkdir()
    kind.fetch(settings, place)
    return place


@pytest.mark.parametrize("backend", [FLOAT32, TORCH], ids=lambda backend: backend.name)
def test_images_have_transformers_vectors(folder, images, tmp_path, backend):
    settings = image_settings(folder)
    encoder = clip_image.load(settings, fetched(clip_image, settings, tmp_path), backend)
    found, wanted = encoder.encode(images), image_vectors(folder, images)
    assert found.dtype == np.float32 and found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert not np.allclose(found, np.roll(wanted, 1, axis=0), atol=0.01)


@pytest.mark.parametrize("backend", [FLOAT32, TORCH], ids=lambda backend: backend.name)
def test_texts_have_transformers_vectors_in_the_same_space(folder, images, tmp_path, backend):
    settings = text_settings(folder)
    encoder = clip_text.load(settings, fetched(clip_text, settings, tmp_path), backend)
    found, wanted = encoder.encode([*TEXTS, ""]), text_vectors(folder, [*TEXTS, ""])
    assert found.dtype == np.float32 and found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert not np.allclose(found, np.roll(wanted, 1, axis=0), atol=0.01)
    assert encoder.n_features == image_vectors(folder, images[:1]).shape[1]


def test_a_vector_has_the_same_bits_whatever_is_around_it(folder, images):
    pictures = clip_image.load(image_settings(folder), folder, FLOAT32)
    texts = clip_text.load(text_settings(folder), folder, FLOAT32)
    batched = clip_text.torch_encoder(folder, TORCH, 4 * count_tokens(folder))
    for encoder, inputs in ((pictures, images), (texts, TEXTS), (batched, TEXTS)):
        rows = encoder.encode(inputs)
        np.testing.assert_array_equal(encoder.encode(inputs[::-1]), rows[::-1])
        np.testing.assert_array_equal(encoder.encode(inputs[2:3]), rows[2:3])


def test_a_long_text_is_cut_and_counted(folder):
    settings = text_settings(folder)
    encoder = clip_text.load(settings, folder, FLOAT32)
    long = "on " * 30
    same, cut = encoder.encode([long, long + "a red ball"])
    np.testing.assert_array_equal(same, cut)
    counter = TextCounter(settings, folder)
    counter.add(["a", long], np.eye(2, encoder.n_features, dtype=np.float32))
    counts = counter.counts()
    assert (counts.cut, counts.max_tokens) == (1, count_tokens(folder))


def test_capitals_that_are_read_as_small_letters_are_not_counted_as_unreadable(tmp_path):
    write_siglip(tmp_path)
    counter = TextCounter(text_settings(tmp_path), tmp_path)
    counter.add(["A RED Ball and a BLUE cup", "灯"], np.eye(2, dtype=np.float32))
    assert counter.counts().unreadable == 1
    assert counter.counts().unknown_tokens == round(1 / 8, 4)


def test_a_model_of_another_type_is_refused_when_it_is_fetched(folder, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    config = json.loads((other / "config.json").read_text()) | {"model_type": "siglip2"}
    (other / "config.json").write_text(json.dumps(config))
    for kind, settings in ((clip_image, image_settings(other)), (clip_text, text_settings(other))):
        with pytest.raises(InputError, match="lab/tiny is of type siglip2, and clip or siglip is"):
            kind.fetch(settings, tmp_path)
    (other / "config.json").write_text("{")
    with pytest.raises(InputError, match="does not describe a model"):
        clip_image.fetch(image_settings(other), tmp_path)


def test_a_model_without_a_tokeniser_or_a_processor_is_refused(folder, tmp_path):
    bare = tmp_path / "bare"
    shutil.copytree(folder, bare, ignore=shutil.ignore_patterns("tokenizer*", "*processor*"))
    with pytest.raises(InputError, match=r"lab/tiny comes without preprocessor_config\.json"):
        clip_image.fetch(image_settings(bare), tmp_path)
    with pytest.raises(InputError, match=r"lab/tiny comes without tokenizer\.json"):
        clip_text.fetch(text_settings(bare), tmp_path)


def test_a_tower_without_its_weights_is_refused(folder, tmp_path):
    from safetensors.numpy import load_file, save_file

    half = tmp_path / "half"
    shutil.copytree(folder, half)
    weights = load_file(half / "model.safetensors")
    texts = {name: one for name, one in weights.items() if name.startswith("text")}
    save_file(texts, half / "model.safetensors", {"format": "pt"})
    clip_text.load(text_settings(half), half, FLOAT32)  # needs no more
    with pytest.raises(InputError, match=r"lack .* choose another model"):
        clip_image.load(image_settings(half), half, FLOAT32)
