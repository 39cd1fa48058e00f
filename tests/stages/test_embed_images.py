"""Every product gets its image's vector, or a null; the same image is embedded once."""

import hashlib
import io
import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pyarrow as pa
import pytest
from helpers.repository import TOP
from ruamel.yaml import YAML
from tqdm import tqdm

from stages import embed_images, fetch_weights
from stages.common.errors import InputError
from stages.common.images import open_jpeg
from stages.common.kv_store import SqliteCache
from stages.common.tables import (
    IMAGES,
    embeddings_schema,
    from_arrow,
    metadata_of,
    read_table,
    write_table,
)
from stages.encoders import table_encoder
from stages.encoders.backends.base import Backend
from stages.encoders.backends.openvino import has_bfloat16
from stages.encoders.embedding_cache import CachedEncoder
from stages.encoders.table_encoder import embeddings_table


class MeanColour:
    """An encoder that anyone can check: an image's mean colour."""

    n_features = 3

    def __init__(self):
        self.seen = 0

    def encode(self, batch):
        assert {(image.shape, image.dtype.name) for image in batch} == {((224, 224, 3), "uint8")}
        self.seen += len(batch)
        colours = [image.mean(axis=(0, 1)) for image in batch]
        return np.array(colours, dtype=np.float32)


def jpeg(colour):
    file = io.BytesIO()
    PIL.Image.new("RGB", (224, 224), colour).save(file, "JPEG")
    return file.getvalue()


RED, GREEN, BLUE = map(jpeg, ("red", "green", "blue"))


def shard(*images, first=0):
    """Make a shard; None is a product whose image is missing."""
    rows = [
        {
            "sku": str(first + i),
            "jpeg": data,
            "sha256": data and hashlib.sha256(data).hexdigest(),
            "status": "ok" if data else "failed",
            "reason": None if data else "404",
        }
        for i, data in enumerate(images)
    ]
    return pa.Table.from_pylist(rows, schema=IMAGES)


@pytest.fixture
def embedded(tmp_path):
    """A function that embeds a shard by an encoder, with a store of the test's own."""

    def embed(encoder, table, bar=None):
        with SqliteCache(tmp_path / "rows.sqlite") as store:
            cached = CachedEncoder(encoder, "mean colour", store, open_jpeg)
            part = embed_images.part_of(table)
            [found] = cached.encode([part], (bar or tqdm(disable=True)).update)
            return embeddings_table(*found)

    return embed


def test_each_product_gets_its_own_image_s_vector_and_the_missing_are_null(embedded):
    table = shard(BLUE, None, RED, GREEN, None, RED)
    found = embedded(MeanColour(), table)
    assert found.schema.equals(embeddings_schema(3))
    assert found["sku"].to_pylist() == ["0", "1", "2", "3", "4", "5"]
    assert found["sha256"].equals(table["sha256"])
    rows, present = from_arrow(found["embedding"])
    assert present.tolist() == [True, False, True, True, False, True]
    wanted = np.array([[0, 0, 254], [254, 0, 0], [0, 128, 0], [254, 0, 0]])
    assert np.allclose(rows[present], wanted, atol=2)


def test_an_image_that_occurs_twice_is_embedded_once(embedded):
    encoder = MeanColour()
    found = embedded(encoder, shard(RED, GREEN, RED, None, GREEN, RED))
    assert encoder.seen == 2
    rows = found["embedding"].to_pylist()
    assert rows[0] == rows[2] == rows[5] != rows[1]
    assert rows[1] == rows[4]


@pytest.mark.parametrize("images", [[], [None, None]])
def test_a_shard_without_images_has_only_nulls(embedded, images):
    found = embedded(MeanColour(), shard(*images))
    assert found["embedding"].to_pylist() == images
    assert found.schema.equals(embeddings_schema(3))


def test_the_bar_counts_the_products_with_a_image(embedded):
    with tqdm(total=4, file=io.StringIO()) as bar:
        embedded(MeanColour(), shard(RED, RED, None, BLUE, GREEN), bar)
        assert bar.n == 4


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A folder with the repository's params.yaml, a small network and the weights of it."""
    import torch
    from transformers import AutoModel, ConvNextV2Config, ViTImageProcessorPil

    torch.manual_seed(4)  # its weights bear int8 on a processor without VNNI too
    config = ConvNextV2Config(depths=[1, 1, 1, 1], hidden_sizes=[4, 8, 8, 12])
    AutoModel.from_config(config).save_pretrained(tmp_path / "network")
    ViTImageProcessorPil(size={"height": 64, "width": 64}).save_pretrained(tmp_path / "network")
    params = YAML(typ="safe").load(TOP / "params.yaml")
    params["encoders"]["tiny"] = {"kind": "huggingface_image", "model": "tiny", "path": "network"}
    params["image"]["encoders"] = ["tiny"]
    (tmp_path / "params.yaml").write_text(json.dumps(params))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["stage", "--encoder", "tiny"])
    return tmp_path


def test_the_stage_embeds_all_shards_in_their_order(repository, capsys):
    fetch_weights.main()
    write_table(Path("data/images/images-00000.parquet"), shard(RED, None, GREEN), {"size": 224})
    write_table(Path("data/images/images-00001.parquet"), shard(BLUE, RED, first=3), {"size": 224})
    capsys.readouterr()
    embed_images.main()
    printed = capsys.readouterr()
    assert re.fullmatch(
        r"tiny: 3 of 4 images computed by openvino in \w+, 1 from \.cache\n", printed.out
    )
    assert "tiny: 100%" in printed.err
    assert "4/4" in printed.err
    assert len(printed.err.split("\r")[-1].splitlines()) == 1  # the bar and nothing else

    output = repository / "data/embeddings/image/tiny.parquet"
    table = read_table(output, embeddings_schema(12))
    assert table["sku"].to_pylist() == ["0", "1", "2", "3", "4"]
    rows, present = from_arrow(table["embedding"])
    assert present.tolist() == [True, False, True, True, True]
    assert np.array_equal(rows[0], rows[4])
    assert not np.array_equal(rows[0], rows[2])
    manifest = json.loads((repository / "data/weights/tiny/manifest.json").read_text())
    assert manifest["kind"] == "pretrained"
    metadata = metadata_of(table.schema)
    weights = {key: manifest[key] for key in ("kind", "origin", "revision", "sha256")}
    assert (metadata["encoder"], metadata["weights"]) == ("tiny", weights)
    assert (metadata["backend"], metadata["n_features"]) == ("openvino", 12)

    first = output.read_bytes()
    embed_images.main()
    assert output.read_bytes() == first
    assert ": 0 of 4 images computed" in capsys.readouterr().out

    shutil.rmtree(".cache")
    embed_images.main()
    assert output.read_bytes() == first
    assert ": 3 of 4 images computed" in capsys.readouterr().out


def test_a_cache_that_holds_less_than_the_run_computes_is_said(repository, capsys):
    params = json.loads(Path("params.yaml").read_text())
    params["cache"]["max_gb"] = 1e-6
    Path("params.yaml").write_text(json.dumps(params))
    fetch_weights.main()
    write_table(Path("data/images/images-00000.parquet"), shard(RED, GREEN), {"size": 224})
    embed_images.main()
    assert re.search(
        r"\nwarning: .cache/embeddings.sqlite has no room for all vectors: \d were dropped, .* "
        r"raise cache\.max_gb, which is 1e-06\n",
        capsys.readouterr().err,
    )


def test_without_any_image_no_network_is_loaded(repository, monkeypatch, capsys):
    fetch_weights.main()
    write_table(Path("data/images/images-00000.parquet"), shard(None, None), {"size": 224})
    write_table(Path("data/images/images-00001.parquet"), shard(None, first=2), {"size": 224})
    monkeypatch.setattr(table_encoder, "load_encoder", lambda *_: pytest.fail("it was loaded"))
    capsys.readouterr()
    embed_images.main()
    assert capsys.readouterr().out == "tiny: no product has images: nothing to embed\n"
    table = read_table(repository / "data/embeddings/image/tiny.parquet")
    assert table["sku"].to_pylist() == ["0", "1", "2"]
    assert table["embedding"].to_pylist() == [None] * 3
    assert metadata_of(table.schema)["encoder"] == "tiny"


def test_another_precision_or_backend_computes_anew(repository, capsys):
    fetch_weights.main()
    write_table(Path("data/images/images-00000.parquet"), shard(RED, GREEN), {"size": 224})
    for changes in ({}, {"precision": "float32"}, {"backend": "torch"}, {"backend": "openvino"}):
        params = json.loads(Path("params.yaml").read_text())
        Path("params.yaml").write_text(json.dumps({**params, "precision": "float32", **changes}))
        embed_images.main()
    computed = re.findall(r"tiny: (\d) of 2", capsys.readouterr().out)
    assert computed == ["2", "0", "2", "0"]


def test_views_make_a_image_and_its_mirror_image_one(repository):
    fetch_weights.main()
    image = PIL.Image.new("RGB", (224, 224), "red")
    image.paste("blue", (0, 0, 60, 224))
    sides = []
    for side in (image, image.transpose(PIL.Image.Transpose.FLIP_LEFT_RIGHT)):
        file = io.BytesIO()
        side.save(file, "JPEG", quality=95)
        sides.append(file.getvalue())
    write_table(Path("data/images/images-00000.parquet"), shard(*sides), {"size": 224})
    apart = []
    for views in (["identity"], ["identity", "hflip"]):
        params = json.loads(Path("params.yaml").read_text())
        params["encoders"]["tiny"]["tta"] = views
        Path("params.yaml").write_text(json.dumps(params))
        embed_images.main()
        table = read_table(Path("data/embeddings/image/tiny.parquet"))
        one, other = from_arrow(table["embedding"])[0]
        apart.append(np.linalg.norm(one - other) / np.linalg.norm(one))
    assert apart[1] < apart[0] / 5


def test_other_weights_compute_anew(repository, capsys):
    import torch
    from transformers import AutoModel

    fetch_weights.main()
    write_table(Path("data/images/images-00000.parquet"), shard(RED, GREEN), {"size": 224})
    embed_images.main()
    torch.manual_seed(2)
    network = AutoModel.from_pretrained("network")
    torch.nn.init.normal_(network.embeddings.patch_embeddings.weight)
    network.save_pretrained("network")
    fetch_weights.main()
    embed_images.main()
    assert re.findall(r"tiny: (\d) of 2", capsys.readouterr().out) == ["2", "2"]


def test_the_stage_says_what_it_lacks(repository):
    with pytest.raises(InputError, match=r"data/weights/tiny holds no weights: `dvc repro`"):
        embed_images.main()
    fetch_weights.main()
    with pytest.raises(InputError, match=r"data/images holds no images: `dvc repro`"):
        embed_images.main()
    write_table(
        Path("data/images/images-00000.parquet"), shard(RED).drop_columns(["jpeg"]), {"size": 224}
    )
    with pytest.raises(InputError, match="lacks the column jpeg"):
        embed_images.main()
    assert not (repository / "data" / "embeddings").exists()


def test_a_text_encoder_is_refused(repository, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["stage", "--encoder", "minilm"])
    with pytest.raises(SystemExit):
        embed_images.main()
    assert "invalid choice: 'minilm' (choose from 'tiny')" in capsys.readouterr().err


def test_in_int8_the_network_is_quantised_on_the_images_and_kept(repository, capsys):
    fetch_weights.main()
    coarse = np.random.default_rng(0).integers(0, 256, (24, 4, 4, 3), dtype=np.uint8)
    images = []
    for pixels in coarse:
        file = io.BytesIO()
        PIL.Image.fromarray(pixels).resize((224, 224)).save(file, "JPEG")
        images.append(file.getvalue())
    rows = {}
    for precision in ("float32", "int8"):
        write_table(Path("data/images/images-00000.parquet"), shard(*images), {"size": 224})
        params = json.loads(Path("params.yaml").read_text())
        Path("params.yaml").write_text(json.dumps({**params, "precision": precision}))
        embed_images.main()
        table = read_table(Path("data/embeddings/image/tiny.parquet"))
        rows[precision] = from_arrow(table["embedding"])[0]
        assert metadata_of(table.schema)["precision"] == precision
    network = json.loads(Path("data/networks/tiny/manifest.json").read_bytes())
    assert metadata_of(table.schema)["weights"]["sha256"] == network["sha256"]
    assert "tiny in int8: on 6 inputs that it was not quantised with" in capsys.readouterr().out
    error = np.linalg.norm(rows["int8"] - rows["float32"])
    assert 0 < error < 0.1 * np.linalg.norm(rows["float32"])

    # The images in other shards and order, and nothing kept: the same network, the same vectors.
    first = {file.name: file.read_bytes() for file in Path("data/networks/tiny").iterdir()}
    shutil.rmtree(".cache")
    write_table(
        Path("data/images/images-00000.parquet"), shard(*images[12:], images[3]), {"size": 224}
    )
    write_table(
        Path("data/images/images-00001.parquet"), shard(*images[:12], first=13), {"size": 224}
    )
    embed_images.main()
    again = {file.name: file.read_bytes() for file in Path("data/networks/tiny").iterdir()}
    assert again == first
    table = read_table(Path("data/embeddings/image/tiny.parquet"))
    moved = from_arrow(table["embedding"])[0]
    assert np.array_equal(np.concatenate([moved[13:], moved[:12]]), rows["int8"])


@pytest.mark.parametrize(("bears", "precision"), [(True, "bfloat16"), (False, "float32")])
def test_auto_is_bfloat16_only_for_a_network_that_bears_it(
    repository, monkeypatch, bears, precision
):
    if not has_bfloat16():
        pytest.skip("this processor does not compute in bfloat16")
    asked = []

    def passes_bfloat16_check(load, backend, modality):
        assert modality == "image"
        asked.append(backend)
        return bears

    backend = Backend("openvino", "bfloat16")
    monkeypatch.setattr(table_encoder, "select_backend", lambda *_: backend)
    monkeypatch.setattr(table_encoder, "passes_bfloat16_check", passes_bfloat16_check)
    fetch_weights.main()
    write_table(Path("data/images/images-00000.parquet"), shard(RED), {"size": 224})
    for _ in range(2):
        embed_images.main()
        table = read_table(Path("data/embeddings/image/tiny.parquet"))
        assert metadata_of(table.schema)["precision"] == precision
    assert asked == [backend]  # the answer is kept
