"""Hold products out for testing and validation, near-duplicates on one side.

Run as `python -m stages.split`. Reads the products and their pictures; writes data/splits.parquet
and metrics/split.json, which says how many test products have a near-duplicate among those that the
model is fitted on: in this split, and in one that knows of no near-duplicates.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from stages.catalog.group_split import check_no_leak, classes_not_everywhere, folds_of, trained_on
from stages.catalog.near_duplicates import joined, picture_hash, relations, same_values
from stages.common.errors import InputError
from stages.common.files import write_json
from stages.common.process import run_stage
from stages.common.tables import IMAGES, PRODUCTS, SPLITS, read_table, write_table
from stages.params import load_params

PRODUCTS_FILE = Path("data/products.parquet")
IMAGES_FOLDER = Path("data/images")
SPLITS_FILE = Path("data/splits.parquet")
METRICS_FILE = Path("metrics/split.json")
SHOWN = 5  # names of the largest group


def main() -> None:
    """Write the parts of every product, in the order of the products, and how honest they are."""
    params = load_params()
    products = read_table(PRODUCTS_FILE, PRODUCTS)
    columns = {name: products[name].to_pylist() for name in products.column_names}
    skus, labels = columns["sku"], columns["label"]
    hashes = picture_hashes(IMAGES_FOLDER)
    causes = relations(
        columns["name"],
        columns["description"],
        [hashes.get(sku) for sku in skus],
        labels,
        columns["manufacturer"],
    )
    own = [same_values([v or None for v in columns[name]]) for name in params.split.group_by]
    families = group_names(skus, joined([*causes.values(), *own]))
    groups = families if params.split.strategy == "grouped" else skus
    parts = folds_of(groups, labels, params.split, params.seed)
    check_no_leak(groups, parts)
    plain = parts if groups is skus else folds_of(skus, labels, params.split, params.seed)
    lacking = classes_not_everywhere(groups, labels, parts)
    metrics = {
        "products": len(skus),
        "groups": describe_groups(families, skus, columns["name"]),
        "parts": part_sizes(parts),
        "test_products_with_a_near_duplicate_in_training": {
            "this_split": leaks(causes, parts),
            "stratified": leaks(causes, plain),
        },
        "classes_not_in_every_part": lacking,
    }
    table = pa.table([products["sku"], products["label"], groups, parts], schema=SPLITS)
    write_table(SPLITS_FILE, table)
    write_json(METRICS_FILE, metrics)
    for label, found in lacking.items():
        print(
            f"split: {label} has too few groups ({found['groups']:,}) for every part: in some fold "
            f"or turn it is not in {', '.join(found['lacking_in'])}"
        )
    for fold, sizes in metrics["parts"].items():
        print(f"split: {fold}: " + ", ".join(f"{n:,} for {part}" for part, n in sizes.items()))


def picture_hashes(folder: Path) -> dict[str, int | None]:
    """Return the perceptual hash of each product's picture by sku, None where it is blank.

    Raises InputError where `folder` has no shards.
    """
    shards = sorted(folder.glob("*.parquet"))
    if not shards:
        raise InputError(f"{folder} holds no pictures: `dvc repro` puts them there")
    known: dict[str, int | None] = {}  # by sha256: a picture that occurs twice is hashed once
    hashes: dict[str, int | None] = {}
    for shard in shards:
        table = read_table(shard, IMAGES).select(["sku", "sha256", "jpeg"])
        for sku, sha256, jpeg in zip(*(column.to_pylist() for column in table), strict=True):
            if jpeg is not None:
                if sha256 not in known:
                    known[sha256] = picture_hash(jpeg)
                hashes[sku] = known[sha256]
    return hashes


def group_names(skus: Sequence[str], relation: np.ndarray) -> list[str]:
    """Name each product's group after the first of its SKUs in alphabetical order.

    `relation` has shape (n,), as in stages.catalog.near_duplicates, one entry per sku.
    """
    first: dict[int, str] = {}
    for sku, number in zip(skus, relation.tolist(), strict=True):
        first[number] = min(sku, first.get(number, sku))
    return [first[number] for number in relation.tolist()]


def describe_groups(
    groups: Sequence[str], skus: Sequence[str], names: Sequence[str]
) -> dict[str, Any]:
    """Return how many groups there are, and the largest: its size, and its first products' names.

    All have one entry per product, shape (n,). Of equally large groups, the first by name.
    """
    sizes = Counter(groups)
    largest = min(sizes, key=lambda group: (-sizes[group], group))
    members = sorted(
        (sku, name)
        for sku, name, group in zip(skus, names, groups, strict=True)
        if group == largest
    )
    return {
        "all": len(sizes),
        "of_two_or_more": sum(size > 1 for size in sizes.values()),
        "products_in_those": sum(size for size in sizes.values() if size > 1),
        "largest": {"products": sizes[largest], "names": [name for _, name in members[:SHOWN]]},
    }


def part_sizes(parts: Sequence[Sequence[str]]) -> dict[str, dict[str, int]]:
    """Return the number of products by fold and part."""
    return {
        f"fold_{number}": dict(sorted(Counter(column).items()))
        for number, column in enumerate(zip(*parts, strict=True), 1)
    }


def leaks(
    causes: Mapping[str, np.ndarray], parts: Sequence[Sequence[str]]
) -> dict[str, float | int]:
    """Count the test products that have a near-duplicate among those that a model is fitted on.

    `causes` has a relation of shape (n,) for each cause, `parts` one entry per product. All folds
    are counted together. Returns the test products, how many have a near-duplicate by any cause,
    their share, and how many by each cause.
    """
    columns = [np.array(column) for column in zip(*parts, strict=True)]
    found = dict.fromkeys(causes, 0)
    tested = leaking = 0
    for column in columns:
        test = column == "test"
        fitted = np.array([trained_on(part) for part in column.tolist()])
        by_cause = {
            cause: test & np.isin(relation, relation[fitted]) for cause, relation in causes.items()
        }
        tested += int(test.sum())
        leaking += int(np.any(list(by_cause.values()), axis=0).sum())
        for cause, which in by_cause.items():
            found[cause] += int(which.sum())
    return {
        "test_products": tested,
        "any": leaking,
        "share": round(leaking / tested, 4),
        **found,
    }


if __name__ == "__main__":
    run_stage(main)
