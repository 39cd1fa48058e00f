"""A network of Keras is tuned by PyTorch, on which Keras runs in a process of its own."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.repository import TOP

from stages.classifiers.base.saved_images import SavedImages
from stages.common.keras_network import KerasNetwork, blocks_of
from stages.common.keras_weights import import_keras
from stages.encoders.weights.keras import draw, save_network

SIDE = 32
SCRIPT = f"""
import sys
from pathlib import Path
import numpy as np
sys.path.insert(0, "tests")
from helpers.image_networks import striped
from stages.classifiers.base import tuning_cache
from stages.classifiers.base.tuned_images import TunedImages
from stages.classifiers.finetuned_image import Classifier, Settings
from stages.common.blocks import InputBlock
from stages.common.keras_network import KerasNetwork

folder = Path(sys.argv[1])
tuning_cache.cache_folder = lambda: folder
resnet50, network = (
    KerasNetwork(folder / name, "ResNet50", {SIDE}) for name in ("resnet50", "small")
)
is_upright = np.random.default_rng(1).integers(2, size=60)
y = np.array(["across", "upright"])[is_upright]
jpegs = [striped(bool(one), at) for at, one in enumerate(is_upright)]
block = InputBlock(np.array(jpegs, dtype=object), network, frozenset({{"photo"}}))
X = {{"photo": np.ones((60, 1), dtype=np.float32), "photo.input": block}}
train, rest = (
    {{name: rows[part] for name, rows in X.items()}} for part in (slice(40), slice(40, 60))
)
asked, found = [*jpegs[:4], None], {{}}

def saved(self, convert=TunedImages.saved):
    import torch
    with torch.no_grad():
        found["tuned"] = self.vectors(asked, False).numpy()
    return convert(self)

TunedImages.saved = saved
settings = Settings(layers=1, max_epochs=6, batch_size=8, learning_rate=0.001)
model = Classifier(settings, 7, {{"photo": 1.0}}).fit(train, y[:40])
(folder / "model").mkdir()
model.save(folder / "model")
predicted = np.array(model.classes_)[model.predict_proba(rest).argmax(axis=1)]
found["accuracy"] = (predicted == y[40:]).mean()
found["learning"] = [
    sum(one.numel() for one in TunedImages(resnet50, layers, mirrors=False).trained.parameters)
    for layers in (1, 2, None)
]
np.savez(folder / "found.npz", **found)
for at, jpeg in enumerate(asked[:-1]):
    (folder / f"{{at}}.jpg").write_bytes(jpeg)
assert "tensorflow" not in sys.modules
"""


def write_small(folder: Path) -> None:
    """Write a network of ResNet50's family with random weights: two narrow blocks."""
    keras = import_keras()
    keras.utils.set_random_seed(1)
    resnet = keras.src.applications.resnet

    def blocks(x: Any) -> Any:
        return resnet.stack_residual_blocks_v1(x, 64, 2, name="conv2")

    how = {"include_top": False, "weights": None, "pooling": "avg", "input_shape": (SIDE, SIDE, 3)}
    save_network(resnet.ResNet(blocks, preact=False, use_bias=True, **how), folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """What a process left that tuned a small ResNet to the stripes of 40 images."""
    folder = tmp_path_factory.mktemp("keras")
    for name in ("resnet50", "small"):
        (folder / name).mkdir()
    draw("ResNet50", SIDE, folder / "resnet50", 1)
    write_small(folder / "small")
    subprocess.run([sys.executable, "-c", SCRIPT, str(folder)], cwd=TOP, check=True)
    return folder


@pytest.fixture(scope="module")
def found(folder) -> dict[str, Any]:
    return dict(np.load(folder / "found.npz"))


def test_it_learns_what_the_images_say(found):
    assert found["accuracy"] > 0.8


def test_what_is_saved_gives_the_vectors_that_were_tuned(folder, found):
    asked = [*((folder / f"{at}.jpg").read_bytes() for at in range(4)), None]
    vectors = SavedImages.load(folder / "model").encode(np.array(asked, dtype=object))
    np.testing.assert_allclose(vectors, found["tuned"], atol=0.01)
    assert not vectors[-1].any()
    np.testing.assert_allclose(np.linalg.norm(vectors[:-1], axis=1), 1, atol=1e-3)


def test_the_last_blocks_learn_or_all_but_the_statistics_of_batches(folder, found):
    block = 2048 * 512 + 512 * 512 * 9 + 512 * 2048 + 3 * (512 + 512 + 2048)  # and two biases more
    assert found["learning"].tolist() == [block, 2 * block, 23_534_592]
    blocks = blocks_of(KerasNetwork(folder / "resnet50", "ResNet50", SIDE))
    of_residual = [block for block in blocks if block[-1].endswith("_add")]
    assert len(of_residual) == 16
    assert of_residual[-1][0] == "conv5_block3_1_conv"
