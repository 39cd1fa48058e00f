"""A tuned image network learns what the frozen blocks do not say, and predicts without PyTorch."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.image_networks import SIDE, striped, write_image_network
from helpers.repository import TOP

from stages.classifiers.base import tuned_images, tuning_cache
from stages.classifiers.base.partly_trained import PartlyTrained, layers_of
from stages.classifiers.base.saved_network import MODEL_FILE
from stages.classifiers.base.tuned_images import TunedImages
from stages.classifiers.finetuned_image import Classifier, Settings
from stages.common.blocks import InputBlock
from stages.common.errors import InputError
from stages.common.image_network import ImageNetwork
from stages.common.image_steps import FILE as STEPS_FILE

CLASSES = ["across", "upright"]
BLOCKS = {"photo": 0.6, "words": 0.8}
QUICK: dict[str, Any] = {"max_epochs": 10, "batch_size": 8, "learning_rate": 0.01}

pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """Small networks of three architectures, by name."""

    def written(architecture: str) -> ImageNetwork:
        folder = tmp_path_factory.mktemp(architecture)
        write_image_network(folder, architecture)
        return ImageNetwork(folder, f"a {architecture}")

    return {name: written(name) for name in ("convnextv2", "resnet", "vit")}


@pytest.fixture(scope="module")
def products(networks):
    """Give made-up products: the stripes of the image tell the class, the vectors nothing."""

    def products(n: int, seed: int) -> tuple[dict[str, Any], np.ndarray]:
        rng = np.random.default_rng(seed)
        is_upright = rng.integers(2, size=n)
        jpegs = [striped(bool(one), 1000 * seed + at) for at, one in enumerate(is_upright)]
        vectors = rng.normal(size=(2, n, 6)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
        block = InputBlock(
            np.array(jpegs, dtype=object), networks["convnextv2"], frozenset({"photo"})
        )
        X = {"photo": vectors[0], "words": vectors[1], "photo.input": block}
        return X, np.array(CLASSES)[is_upright]

    return products


@pytest.fixture(scope="module")
def fitted(products) -> Classifier:
    return Classifier(Settings(**QUICK), 7, BLOCKS).fit(*products(120, 1), products(40, 2))


def accuracy(classifier: Classifier, X: dict[str, Any], y: np.ndarray) -> float:
    found = classifier.predict_proba(X)
    assert found.dtype == np.float32 and found.shape == (len(y), 2)
    return float((np.array(classifier.classes_)[found.argmax(axis=1)] == y).mean())


def test_it_learns_what_only_the_images_say(fitted, products):
    X, y = products(100, 3)
    assert accuracy(fitted, X, y) > 0.9
    without = replace(X["photo.input"], inputs=np.full(100, None, dtype=object))
    assert accuracy(fitted, X | {"photo.input": without}, y) < 0.7


def test_what_is_saved_predicts_the_same_and_needs_no_pytorch(fitted, products, tmp_path):
    X, _ = products(12, 3)
    X["photo.input"].inputs[-1] = None
    fitted.save(tmp_path)
    expected = fitted.predict_proba(X)
    np.save(tmp_path / "words.npy", X["words"])
    for at, jpeg in enumerate(X["photo.input"].inputs[:-1]):
        (tmp_path / f"{at:02d}.jpg").write_bytes(jpeg)
    code = f"""
import sys, numpy as np
from pathlib import Path
from stages.classifiers.finetuned_image import Classifier
from stages.common.blocks import InputBlock
folder = Path({str(tmp_path)!r})
jpegs = [file.read_bytes() for file in sorted(folder.glob("*.jpg"))]
X = {{"words": np.load(folder / "words.npy")}}
X["photo.input"] = InputBlock(np.array([*jpegs, None], dtype=object))
np.save(folder / "found.npy", Classifier.load(folder).predict_proba(X))
assert not {{"torch", "transformers"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], cwd=TOP, check=True)
    np.testing.assert_array_equal(np.load(tmp_path / "found.npy"), expected)


@pytest.mark.parametrize("name", [MODEL_FILE, STEPS_FILE])
def test_a_damaged_network_is_refused(fitted, tmp_path, name):
    fitted.save(tmp_path)
    (tmp_path / name).write_text("damaged")
    with pytest.raises(InputError, match="holds no image network"):
        Classifier.load(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(InputError, match="holds no image network"):
        Classifier.load(tmp_path)


def test_two_fits_write_the_same_bytes(products, tmp_path, monkeypatch):
    train = products(24, 1)
    written = []
    for name in ("one", "other"):
        folder = tmp_path / name
        folder.mkdir()
        monkeypatch.setattr(tuning_cache, "cache_folder", lambda folder=folder: folder / "cache")
        Classifier(Settings(**QUICK | {"max_epochs": 2}), 7, BLOCKS).fit(*train).save(folder)
        files = (file for file in folder.iterdir() if file.is_file())
        written.append({file.name: file.read_bytes() for file in files})
    assert written[0] == written[1] and MODEL_FILE in written[0]


@pytest.mark.parametrize("architecture", ["convnextv2", "resnet", "vit"])
def test_only_the_last_layers_learn_and_the_others_compute_once(
    networks, architecture, monkeypatch
):
    import torch

    jpegs = [striped(at % 2 == 0, at) for at in range(5)]
    last = TunedImages(networks[architecture], 1, mirrors=False)
    whole = TunedImages(networks[architecture], None, mirrors=False)
    decoded = []
    open_jpeg = tuned_images.open_jpeg
    monkeypatch.setattr(
        tuned_images, "open_jpeg", lambda jpeg: decoded.append(jpeg) or open_jpeg(jpeg)
    )
    expected = whole.vectors([*jpegs, None], False)
    decoded.clear()
    for rows in ([0, 1, 2], [2, 1, 0, 3, 4]):  # some of them once more
        found = last.vectors([jpegs[row] for row in rows], False)
        torch.testing.assert_close(found, expected[rows], atol=1e-5, rtol=1e-4)
    assert decoded == jpegs
    assert not expected[-1].any()  # there is no image
    torch.testing.assert_close(expected[:5].norm(dim=1), torch.ones(5))
    assert 0 < len(last.trained.parameters) < len(whole.trained.parameters) / 1.5
    before = {name: one.clone() for name, one in last._module.state_dict().items()}
    optimizer = torch.optim.SGD(last.trained.parameters, lr=1)
    last.vectors(jpegs, True).sum().backward()
    optimizer.step()
    changed = {
        name for name, one in last._module.state_dict().items() if not one.equal(before[name])
    }
    learning = {name for name, one in last._module.named_parameters() if one.requires_grad}
    assert changed and changed <= learning  # and no statistics of a batch


def test_half_of_the_images_are_mirrored_while_they_train(networks):
    import torch

    slanted = striped(True, 3)
    vectors = {}
    for mirrors in (True, False):
        network = TunedImages(networks["convnextv2"], None, mirrors)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            found = network.vectors([slanted] * 40, True).detach()
        vectors[mirrors] = [one.round(decimals=4) for one in found]
        assert len({tuple(one.tolist()) for one in network.vectors([slanted] * 4, False)}) == 1
    assert len({tuple(one.tolist()) for one in vectors[False]}) == 1
    kinds = [tuple(one.tolist()) for one in vectors[True]]
    assert len(set(kinds)) == 2
    assert 10 <= kinds.count(kinds[0]) <= 30


@pytest.mark.parametrize("layers", [None, 1])
def test_a_network_is_wholly_on_the_device_that_trains_it(networks, layers):
    # PyTorch's device for tensors without numbers: one on the processor would raise an error.
    images = TunedImages(networks["convnextv2"], layers, True, "meta")
    for _ in range(2):  # with what the frozen layers gave before
        vectors = images.vectors([striped(True, 1), None, striped(False, 2)], True)
        assert vectors.device.type == "meta" and len(vectors) == 3
        vectors.sum().backward()
    learnt = [one.grad for one in images.trained.parameters if one.grad is not None]
    assert {gradient.device.type for gradient in learnt} == {"meta"}


def test_an_image_processor_that_cannot_be_saved_is_refused(networks, tmp_path: Path):
    from transformers import ViTImageProcessorPil

    write_image_network(tmp_path)
    size = {"height": SIDE, "width": SIDE}
    pads = {"do_pad": True, "pad_size": {"height": SIDE + 8, "width": SIDE + 8}}
    ViTImageProcessorPil(size=size, **pads).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="lab/net has an image processor that cannot be saved"):
        TunedImages(ImageNetwork(tmp_path, "lab/net"), 1, True)


def test_a_network_without_layers_is_trained_as_a_whole_or_not_at_all():
    import torch

    network, args = torch.nn.Linear(2, 2), (torch.ones((1, 2)),)
    whole = PartlyTrained(network, None, "lab/net", "cpu", args, args)
    assert whole.parameters == list(network.parameters())
    with pytest.raises(InputError, match="lab/net has no list of layers: set `layers: all`"):
        PartlyTrained(network, 1, "lab/net", "cpu", args, args)


def test_lora_needs_linear_layers(networks):
    convnext = TunedImages(networks["convnextv2"], 1, False, lora=2)
    assert {min(one.shape) for one in convnext.trained.parameters} == {2}
    with pytest.raises(InputError, match="a resnet has no linear layer that learns: leave out `lo"):
        TunedImages(networks["resnet"], 1, False, lora=2)


def test_layers_that_are_in_stages_count_as_stages():
    import torch

    def stage(size: int) -> torch.nn.Module:
        return torch.nn.ModuleList([torch.nn.Linear(size, size) for _ in range(5)])

    stages = torch.nn.Sequential(stage(2), stage(4))  # as timm's networks have them
    network = torch.nn.ModuleDict({"stem": torch.nn.Linear(2, 2), "stages": stages})
    assert layers_of(network) is stages
