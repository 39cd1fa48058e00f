"""What 1 % of new products costs, beside embedding all of them.

Run as `python -m benchmarks.incremental`. Times the stages as DVC runs them, start-up included.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa

from benchmarks import inputs
from benchmarks.measure import machine, positive, table
from stages.common import paths
from stages.common.files import sha256_of
from stages.common.images import DEFAULT_SIZE
from stages.common.tables import PRODUCTS, write_table
from stages.params import load_params

TOP = Path(__file__).parents[1]
STAGES = {"resnet50": "embed_images", "convnextv2": "embed_images", "minilm": "embed_text"}
MODALITIES = {"embed_images": "image", "embed_text": "text"}


def main() -> None:
    """Time each stage on all but 1 %, on all, on all again, and on all with nothing cached."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=positive, default=3)
    parser.add_argument("--products", type=positive, default=400)
    asked = parser.parse_args()
    if asked.products < 100:
        parser.error("--products: 1 % of fewer than 100 is none, give 100 or more")
    print(machine())
    params = load_params()
    images, what = inputs.images(asked.products)
    texts, texts_what = inputs.texts(asked.products, params)
    products = pa.Table.from_pylist([row(i, text) for i, text in enumerate(texts)], PRODUCTS)
    print(f"{len(images)} of {what}, {len(texts)} of {texts_what}, {asked.rounds} rounds\n")
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        shutil.copyfile(paths.PARAMS, place / paths.PARAMS)
        for encoder, stage in STAGES.items():
            run(place, "fetch_weights", encoder)
            given = images if stage == "embed_images" else products
            times = [one_round(place, stage, encoder, given) for _ in range(asked.rounds)]
            full, added, again = map(statistics.median, zip(*times, strict=True))
            print(
                table(
                    [
                        (f"{encoder}: all, nothing cached", f"{full:.1f} s"),
                        (f"{encoder}: 1 % of them new", f"{added:.1f} s"),
                        (f"{encoder}: nothing new (start-up)", f"{again:.1f} s"),
                        (f"{encoder}: new / all, less start-up", ratio(full, added, again)),
                    ]
                ),
                flush=True,
            )


def one_round(place: Path, stage: str, encoder: str, given: pa.Table) -> tuple[float, float, float]:
    """Return the seconds for all rows, for all with 1 % of them new, and with nothing new."""
    output = place / paths.embeddings(MODALITIES[stage], encoder)
    forget(place)
    put(place, stage, given)
    full = run(place, stage, encoder)
    whole = sha256_of(output)
    forget(place)
    put(place, stage, given.slice(len(given) // 100))
    run(place, stage, encoder)
    put(place, stage, given)
    added = run(place, stage, encoder)
    again = run(place, stage, encoder)
    if sha256_of(output) != whole:
        raise SystemExit(f"error: {encoder} gives other bytes than from scratch")
    return full, added, again


def forget(place: Path) -> None:
    """Delete the cached vectors, and leave the converted networks."""
    for file in (place / ".cache").glob("embeddings.sqlite*"):
        file.unlink()


def put(place: Path, stage: str, given: pa.Table) -> None:
    """Write a stage's input."""
    shard = paths.IMAGES / "images-00000.parquet"
    write_table(
        place / (paths.PRODUCTS if stage == "embed_text" else shard), given, {"size": DEFAULT_SIZE}
    )


def run(place: Path, stage: str, encoder: str) -> float:
    """Run a stage and return its seconds; end with what it said where it fails."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", f"stages.{stage}", "--encoder", encoder],
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(TOP)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"error: stages.{stage} of {encoder} failed:\n{done.stdout}")
    return time.perf_counter() - start


def row(sku: int, text: str) -> dict[str, str | None]:
    """Return a product with a text."""
    empty = dict.fromkeys(PRODUCTS.names, "")
    return {**empty, "sku": str(sku), "name": text, "image": None}


def ratio(full: float, added: float, again: float) -> str:
    """Return what the new rows cost as a share of what all cost, without the start-up."""
    return f"{max(0.0, added - again) / (full - again):.1%}"


if __name__ == "__main__":
    main()
