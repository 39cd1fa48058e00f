"""A new kind of encoder is one file: it is fetched and embeds through the stages as they are."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from helpers.documents import blocks
from helpers.repository import TOP
from ruamel.yaml import YAML

from stages.common.tables import IMAGES, PRODUCTS, from_arrow, metadata_of, read_table, write_table
from stages.download.demo_images import draw

MEAN_COLOUR = '''
"""The mean colour of an image, times a matrix."""

from typing import Literal

import numpy as np

from stages.encoders.settings import ImageEncoderSettings
from stages.encoders.weights.manifest import Manifest, digest
from stages.encoders.weights.unreachable import Unreachable


class Settings(ImageEncoderSettings):
    """The mean colour of an image."""

    computed_by = "numpy"

    kind: Literal["mean_colour"]
    n_features: int


def fetch(settings, folder):
    """Nobody publishes such a matrix."""
    raise Unreachable("mean_colour", "it is not published", "set `weights: auto`")


def draw(settings, folder, seed):
    """Draw a matrix."""
    matrix = np.random.default_rng(seed).normal(size=(3, settings.n_features))
    np.save(folder / "matrix.npy", matrix.astype(np.float32))
    return Manifest("random", f"seed {seed}", None, digest(folder, "matrix.npy"))


def load(settings, folder, backend):
    """Load the matrix."""
    return MeanColour(np.load(folder / "matrix.npy"))


class MeanColour:
    """The mean colour times a matrix."""

    def __init__(self, matrix):
        self.matrix = matrix
        self.n_features = matrix.shape[1]

    def encode(self, batch):
        """Return a vector for each image."""
        colours = np.array([image.mean(axis=(0, 1)) for image in batch])
        return (colours @ self.matrix).astype(np.float32)
'''


@pytest.fixture
def copy(tmp_path):
    """A copy of the code with that kind and the one in docs/, and params.yaml with both."""
    shutil.copytree(TOP / "stages", tmp_path / "stages")
    (tmp_path / "stages" / "encoders" / "mean_colour.py").write_text(MEAN_COLOUR)
    (letters,) = blocks(TOP / "docs/encoders.md", "python")
    (tmp_path / "stages" / "encoders" / "letters.py").write_text(letters)
    params = YAML(typ="safe").load(TOP / "params.yaml")
    params["encoders"] |= {
        "colour": {"kind": "mean_colour", "n_features": 5, "tta": ["identity", "hflip"]},
        "letters": {"kind": "letters"},
    }
    params["image"]["encoders"], params["text"]["encoders"] = ["colour"], ["letters"]
    (tmp_path / "params.yaml").write_text(json.dumps(params))
    return tmp_path


def run(copy, stage, encoder):
    done = subprocess.run(
        [sys.executable, "-m", f"stages.{stage}", "--encoder", encoder],
        cwd=copy,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_new_kind_of_image_encoder_is_one_file(copy):
    jpegs = [draw(f"demo:phone?look=81&colour={colour}&shot=2") for colour in ("Navy", "Red")]
    rows = [
        {"sku": str(i), "jpeg": jpeg, "sha256": str(i), "status": "ok", "reason": None}
        for i, jpeg in enumerate(jpegs)
    ]
    images = pa.Table.from_pylist(rows, IMAGES)
    write_table(copy / "data/images/images-00000.parquet", images, {"size": 8})
    assert "colour: random weights, seed 42" in run(copy, "fetch_weights", "colour")
    said = run(copy, "embed_images", "colour")
    assert said == "colour: 2 of 2 images computed by numpy in float32, 0 from .cache\n"
    table = read_table(copy / "data/embeddings/image/colour.parquet")
    metadata = metadata_of(table.schema)
    assert (metadata["weights"]["kind"], metadata["n_features"]) == ("random", 5)
    vectors, present = from_arrow(table["embedding"])
    assert present.all() and not np.allclose(vectors[0], vectors[1])
    assert "0 of 2 images computed" in run(copy, "embed_images", "colour")


def test_a_new_kind_of_text_encoder_is_one_file(copy):
    row = {"sku": "1", "description": "", "manufacturer": "", "label": "a", "image": None}
    write_table(
        copy / "data/products.parquet", pa.Table.from_pylist([row | {"name": "a cable"}], PRODUCTS)
    )
    assert run(copy, "fetch_weights", "letters").startswith(
        "letters: an encoder without weights (counts of letters)"
    )
    said = run(copy, "embed_text", "letters")
    assert said == (
        "letters: 1 of 1 texts computed by numpy in float32, 0 from .cache\n"
        "letters: 1 different texts have 1 different vectors, 0 texts share one\n"
    )
    table = read_table(copy / "data/embeddings/text/letters.parquet")
    [row] = table["embedding"].to_pylist()
    assert (row[:5], len(row)) == ([2, 1, 1, 0, 1], 36)
