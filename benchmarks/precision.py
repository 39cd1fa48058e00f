"""What a lower precision changes: the pipeline in each, vectors and predictions compared.

Run as `python -m benchmarks.precision`, for the demo, or with `--set KEY=VALUE` for another
catalogue: each sets a key of params.yaml, such as `--set data.source=table`. The pipeline runs in
clones of the last commit, which lack your table: give the whole path of its folder, as in
`--set data.folder=/home/me/catalogue`. Compares int8, and bfloat16 where the processor computes in
it, with float32: each encoder's vectors by their cosines, and each model's test products by the
class that they are put into, accuracy and macro F1.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ruamel.yaml import YAML, YAMLError
from tabulate import tabulate

from benchmarks.copies import TOP, Clone
from benchmarks.measure import machine
from stages.common.files import read_json
from stages.common.tables import SPARSE, from_arrow, read_schema, read_table
from stages.encoders.backends.openvino import has_bfloat16


def main() -> None:
    """Run the pipeline in each precision and print the two tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="edits")
    edits = parser.parse_args().edits
    try:
        edit(YAML().load(TOP / "params.yaml"), edits)
    except (LookupError, TypeError, ValueError, YAMLError):
        parser.error(f"--set {' '.join(edits)}: give KEY=VALUE, the key as it is in params.yaml")
    print(f"{machine()}\n{' '.join(edits)}\n")
    precisions = [*(["bfloat16"] if has_bfloat16() else []), "int8"]
    with tempfile.TemporaryDirectory() as name:
        exact = built(Path(name) / "float32", [*edits, "precision=float32"])
        others = {one: built(Path(name) / one, [*edits, f"precision={one}"]) for one in precisions}
        print("cosines to float32: mean, least")
        print_table(cosines(exact, others), others)
        print("\ntest products of the same class as in float32; accuracy; macro F1")
        print_table(agreement(exact, others), ["float32", *others])


def built(top: Path, edits: list[str]) -> Path:
    """Run the whole pipeline with edits of params.yaml; return where."""
    Clone(top, lambda params: edit(params, edits)).repro()
    return top


def edit(params: Any, edits: Sequence[str]) -> None:
    """Set keys of params.yaml, each as in data.source=table."""
    for entry in edits:
        key, value = entry.split("=", 1)
        *parents, last = key.split(".")
        section = params
        for parent in parents:
            section = section[parent]
        section[last] = YAML(typ="safe").load(value)


def cosines(exact: Path, others: dict[str, Path]) -> dict[str, list[str]]:
    """Return by encoder the cosines of its vectors to float32's, a cell for each of `others`."""
    found = {}
    for file in sorted((exact / "data/embeddings").rglob("*.parquet")):
        if read_schema(file).field("embedding").type != SPARSE:
            tops = others.values()
            found[file.stem] = [compared(file, top / file.relative_to(exact)) for top in tops]
    return found


def compared(path: Path, other: Path) -> str:
    """Return the mean and the least cosine between two tables' vectors of one product."""
    (a, there), (b, _) = (from_arrow(read_table(file)["embedding"]) for file in (path, other))
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    values = (a * b).sum(axis=1)[there] / norms[there]
    return f"{values.mean():.5f}, {values.min():.5f}"


def agreement(exact: Path, others: dict[str, Path]) -> dict[str, list[str]]:
    """Return by model what is the same as in float32, and how good it is, float32 first."""
    found: dict[str, list[str]] = {}
    tops = {"float32": exact, **others}
    metrics = {name: read_json(top / "metrics/models.json") for name, top in tops.items()}
    for file in sorted((exact / "data/predictions").glob("*.parquet")):
        modality, classifier = file.stem.split("-")
        wanted = labels_of(file)
        found[file.stem] = []
        for name, top in tops.items():
            labels = labels_of(top / file.relative_to(exact))
            same = sum(labels[sku] == label for sku, label in wanted.items()) / len(wanted)
            entry = metrics[name][modality][classifier]
            quality = f"{entry['accuracy']:.4f}; {entry['macro_f1']:.4f}"
            found[file.stem].append(f"{same:.2%}; {quality}")
    return found


def labels_of(file: Path) -> dict[str, str]:
    """Return the class that a table of predictions puts each product into."""
    table = read_table(file, columns=["sku", "prediction"])
    return dict(zip(*table.to_pydict().values(), strict=True))


def print_table(rows: dict[str, list[str]], columns: Any) -> None:
    """Print a row per name."""
    print(tabulate([[name, *cells] for name, cells in rows.items()], ["", *columns]), flush=True)


if __name__ == "__main__":
    main()
