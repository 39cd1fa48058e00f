"""Text networks in ONNX files: PyTorch's vectors, and what does not fit is refused at once."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from helpers.onnx_files import FLOAT, INT32, INT64, model, node
from helpers.repository import TOP
from helpers.text_networks import (
    SIZE,
    SPECIAL,
    onnx_weights,
    states_by_torch,
    word_tokenizer,
    write_onnx_text_network,
)
from ruamel.yaml import YAML

from stages import embed_text, fetch_weights
from stages.common.errors import InputError
from stages.common.files import sha256_of
from stages.common.tables import PRODUCTS, from_arrow, read_table, write_table
from stages.encoders import onnx_text
from stages.encoders.backends import quantization
from stages.encoders.backends.base import Backend
from stages.encoders.onnx_text import Settings as OnnxTextSettings
from stages.encoders.weights.manifest import digest

FLOAT32 = Backend("openvino", "float32")
WORDS = ["red", "lamp", "kettle", "of", "steel"]
N_TOKENS = len(SPECIAL) + len(WORDS)
TEXTS = ["red lamp", "a steel kettle", "", "lamp of steel of steel red red lamp kettle", "Straße"]


@pytest.fixture
def files(tmp_path):
    """A network and its tokeniser."""
    word_tokenizer(WORDS).save(str(tmp_path / "tokenizer.json"))
    write_onnx_text_network(tmp_path / "mine.onnx", N_TOKENS)
    return tmp_path


def settings_for(folder, **changes):
    paths = {"path": folder / "mine.onnx", "tokenizer": folder / "tokenizer.json"}
    return OnnxTextSettings(kind="onnx_text", **{**paths, "max_tokens": 16, **changes})


def fetch(settings, folder):
    """Fetch into a new folder, as the stage does."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return onnx_text.fetch(settings, folder)


def fetched(settings, folder):
    """Fetch the files and load what was fetched."""
    fetch(settings, folder)
    return onnx_text.load(settings, folder, FLOAT32)


@pytest.mark.parametrize(
    ("pooling", "normalize", "element", "has_types"),
    [
        ("mean", True, INT64, True),
        ("mean", False, INT32, False),
        ("cls", True, INT32, True),
        ("cls", False, INT64, False),
        ("none", True, INT64, True),
        ("none", False, INT64, False),
    ],
)
def test_vectors_are_those_of_pytorch(files, pooling, normalize, element, has_types):
    write_onnx_text_network(files / "mine.onnx", N_TOKENS, element, has_types)
    settings = settings_for(files, pooling=pooling, normalize=normalize)
    found = fetched(settings, files / "weights").encode(TEXTS)
    tokenizer, pick = word_tokenizer(WORDS), {"cls": lambda states: states[0]}
    pick |= {"mean": lambda states: states.mean(0), "none": lambda states: states[-1]}
    wanted = np.stack(
        [
            pick[pooling](states_by_torch(tokenizer.encode(text).ids, N_TOKENS, has_types)).numpy()
            for text in TEXTS
        ]
    )
    if normalize:
        wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_longer_texts_are_cut_where_the_tokenizer_cuts(files):
    for direction, same in (("right", "red red lamp"), ("left", "lamp kettle lamp")):
        tokenizer = word_tokenizer(WORDS)
        tokenizer.enable_truncation(512, direction=direction)
        tokenizer.enable_padding(length=20)
        tokenizer.save(str(files / "tokenizer.json"))
        encoder = fetched(settings_for(files, max_tokens=5), files / "weights")
        long, cut = encoder.encode(["red red lamp kettle lamp", same])
        np.testing.assert_array_equal(long, cut)


def test_a_text_of_no_tokens_has_a_vector(files):
    tokenizer = word_tokenizer(WORDS)
    tokenizer.post_processor = None
    tokenizer.save(str(files / "tokenizer.json"))
    found = fetched(settings_for(files), files / "weights").encode([" ", "red"])
    assert np.isfinite(found).all()


def test_the_manifest_has_both_files(files):
    settings = settings_for(
        files,
        sha256=sha256_of(files / "mine.onnx"),
        tokenizer_sha256=sha256_of(files / "tokenizer.json"),
    )
    first = fetch(settings, files / "weights")
    assert first.origin == f"{files / 'mine.onnx'}, {files / 'tokenizer.json'}"
    assert (first.kind, first.revision) == ("pretrained", None)
    assert first.sha256 == digest(files / "weights", "*")
    word_tokenizer(WORDS[::-1]).save(str(files / "tokenizer.json"))
    with pytest.raises(InputError, match=r"tokenizer\.json have .* the encoder's tokenizer_sha256"):
        fetch(settings, files / "weights")
    assert fetch(settings_for(files), files / "weights").sha256 != first.sha256
    with pytest.raises(InputError, match=r"mine\.onnx have sha256 .* correct the encoder's sha256"):
        fetch(settings_for(files, sha256="0" * 64), files / "weights")


def test_another_tokenizer_gives_other_vectors_at_once(files):
    settings = settings_for(files)
    first = fetched(settings, files / "weights").encode(["red lamp"])
    word_tokenizer(WORDS[::-1]).save(str(files / "tokenizer.json"))
    assert not np.allclose(fetched(settings, files / "weights").encode(["red lamp"]), first)


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("mine.onnx", None, r"the ONNX file .*mine\.onnx is not there"),
        ("mine.onnx", b"no network", r"mine\.onnx is no ONNX file that can be read: \S"),
        ("tokenizer.json", None, r"the tokeniser .*tokenizer\.json is not there"),
        ("tokenizer.json", b"no json", r"tokenizer\.json is no tokenizer\.json that can be used"),
        ("tokenizer.json", b"{}", r"tokenizer\.json is no tokenizer\.json that can be used"),
    ],
)
def test_files_that_are_something_else_are_refused(files, name, content, complaint):
    (files / name).unlink()
    if content is not None:
        (files / name).write_bytes(content)
    with pytest.raises(InputError, match=complaint):
        fetch(settings_for(files), files / "weights")


@pytest.mark.parametrize("max_tokens", [1, 2])
def test_fewer_tokens_than_the_tokeniser_adds_to_a_text_are_refused(files, max_tokens):
    said = rf"^max_tokens is {max_tokens}, and .*tokenizer\.json adds 2 tokens .*to 3 at least"
    with pytest.raises(InputError, match=said):
        fetched(settings_for(files, max_tokens=max_tokens), files / "weights")


def test_a_tokenizer_of_another_network_is_refused(files):
    word_tokenizer([*WORDS, "one", "more"]).save(str(files / "tokenizer.json"))
    with pytest.raises(InputError, match=r"has tokens up to 10, and .*mine\.onnx knows 9: give it"):
        fetch(settings_for(files), files / "weights")


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        (["input_ids"], "takes input_ids: it must take input_ids and attention_mask"),
        (["input_ids", "attention_mask", "position_ids"], "takes .*position_ids: it must"),
        (["x"], "takes x: it must take input_ids and attention_mask, and may take token_type_ids"),
    ],
)
def test_other_inputs_are_refused(files, names, complaint):
    nodes = [node("Gather", ["words", names[0]], "states", axis=0)]
    inputs = [(name, INT64, ("batch", "tokens")) for name in names]
    model(files / "mine.onnx", nodes, inputs, onnx_weights(N_TOKENS), ["states"])
    with pytest.raises(InputError, match=rf"mine\.onnx {complaint}"):
        fetch(settings_for(files), files / "weights")


@pytest.mark.parametrize(
    ("outputs", "pooling", "complaint"),
    [
        (
            ["states"],
            "none",
            r"gives states \[.*\]: with pooling none it must give one vector of e",
        ),
        (["sentence"], "mean", r"gives sentence \[.*\]: with pooling mean .* vector of each token"),
        (["states", "seen"], "cls", r"gives states \[.*\], seen \[.*\]: with pooling cls it must"),
    ],
)
def test_other_outputs_are_refused(files, outputs, pooling, complaint):
    write_onnx_text_network(files / "mine.onnx", N_TOKENS, outputs=outputs)
    with pytest.raises(InputError, match=rf"mine\.onnx {complaint}"):
        fetch(settings_for(files, pooling=pooling), files / "weights")


@pytest.mark.parametrize(("batch", "tokens"), [("batch", 12), (2, "tokens")])
def test_a_network_of_one_shape_is_refused(files, batch, tokens):
    nodes = [
        node("Gather", ["words", "input_ids"], "word", axis=0),
        node("Reshape", ["word", "shape"], "states"),
        node("Cast", ["attention_mask"], "unused", to=FLOAT),
    ]
    sizes = [size if isinstance(size, int) else -1 for size in (batch, tokens)]
    shape = {"shape": np.array([*sizes, SIZE], dtype=np.int64)}
    inputs = [(name, INT64, (batch, tokens)) for name in ("input_ids", "attention_mask")]
    model(files / "mine.onnx", nodes, inputs, onnx_weights(N_TOKENS) | shape, ["states"])
    with pytest.raises(
        InputError, match=r"mine\.onnx cannot be run on a text of 3 tokens \(.+\): e"
    ):
        fetch(settings_for(files), files / "weights")


def test_the_stages_fetch_it_embed_with_it_and_quantise_it(files, monkeypatch, capsys):
    monkeypatch.chdir(files)
    monkeypatch.setattr(quantization, "MIN_COSINE", 0.5)  # of so small a network
    params = YAML(typ="safe").load(TOP / "params.yaml")
    entry = {"kind": "onnx_text", "path": "mine.onnx", "tokenizer": "tokenizer.json"}
    params["encoders"]["mine"] = entry | {"max_tokens": 16, "prefix": "red "}
    params["text"] = {"encoders": ["mine"], "fields": ["name"]}
    texts = [f"{one} {other}" for one in WORDS for other in WORDS] + ["red " * 20]
    empty = {"description": "", "manufacturer": "", "label": "a", "image": None}
    rows = [empty | {"sku": str(i), "name": text} for i, text in enumerate([*texts, ""])]
    write_table(Path("data/products.parquet"), pa.Table.from_pylist(rows, schema=PRODUCTS))
    monkeypatch.setattr(sys, "argv", ["stage", "--encoder", "mine"])
    found = {}
    for precision in ("float32", "int8"):
        Path("params.yaml").write_text(json.dumps(params | {"precision": precision}))
        fetch_weights.main()
        embed_text.main()
        table = read_table(Path("data/embeddings/text/mine.parquet"))
        found[precision], present = from_arrow(table["embedding"])
        assert present.tolist() == [True] * len(texts) + [False]
    said = capsys.readouterr().out
    assert "mine: pretrained weights, mine.onnx, tokenizer.json, sha256" in said
    assert "mine: 26 of 26 texts computed by openvino in float32" in said
    assert "1 are cut at 16 tokens" in said
    encoder = fetched(settings_for(files), files / "weights")
    wanted = encoder.encode([f"red {text}" for text in texts])
    np.testing.assert_array_equal(found["float32"][:-1], wanted)
    assert "mine in int8: on 6 inputs that it was not quantised with" in said
    assert not np.array_equal(found["int8"], found["float32"])
