"""Embed every product's text with one encoder.

Reads data/products.parquet and data/weights/<encoder>/; writes
data/embeddings/text/<encoder>.parquet: a row per product, null where the chosen fields are empty.
"""

import argparse
import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
from tqdm import tqdm

from stages.encoders import TextEncoder, module_of
from stages.encoders.weights import read_manifest
from stages.errors import run_stage
from stages.params import load_params
from stages.tables import PRODUCTS, embeddings_schema, read_table, vector_column, write_table


def texts_of(products: pa.Table, fields: Sequence[str]) -> list[str]:
    """Return each product's fields as one text, the empty ones left out: "name. description"."""
    columns = [products[field].to_pylist() for field in fields]
    return [". ".join(filter(None, values)) for values in zip(*columns, strict=True)]


def embed(encoder: TextEncoder, skus: pa.ChunkedArray, texts: list[str], bar: tqdm) -> pa.Table:
    """Embed texts into a table; one that occurs twice is embedded once, an empty one is null.

    `bar` counts the products whose text is embedded.
    """
    places: dict[str, list[int]] = {}
    for at, text in enumerate(texts):
        if text:
            places.setdefault(text, []).append(at)
    rows = np.zeros((len(texts), encoder.size), dtype=np.float32)
    for same, vector in zip(places.values(), encoder.encode(places), strict=True):
        rows[same] = vector
        bar.update(len(same))
    present = np.array([bool(text) for text in texts], dtype=bool)
    hashes = [hashlib.sha256(text.encode()).hexdigest() if text else None for text in texts]
    columns = [skus, pa.array(hashes, pa.string()), vector_column(rows, present)]
    return pa.table(columns, schema=embeddings_schema(encoder.size))


def main() -> None:
    """Embed the texts with the encoder that the command line names."""
    params = load_params()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoder", required=True, choices=params.text.encoders)
    name = parser.parse_args().encoder
    settings = params.encoders[name]
    weights = Path("data/weights") / name
    facts = {"encoder": name, "weights": asdict(read_manifest(weights))}
    products = read_table(Path("data/products.parquet"), PRODUCTS)
    encoder = module_of(settings.kind).load(settings, weights)
    texts = texts_of(products, params.text.fields)
    with tqdm(total=sum(map(bool, texts)), desc=name, unit=" texts") as bar:
        table = embed(encoder, products["sku"], texts, bar)
    write_table(Path("data/embeddings/text") / f"{name}.parquet", table, facts)


if __name__ == "__main__":
    run_stage(main)
