"""Hold products out for testing and validation, with near-duplicates on one side.

Run as `python -m stages.split`. Reads the products and their images' hashes; writes
data/splits.parquet and metrics/split.json. The metrics say how many test products have a
near-duplicate among the products that a model is fitted on: in this split, and in one that ignores
near-duplicates.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pyarrow as pa

from stages.catalog.group_split import (
    assign_folds,
    check_no_leak,
    validation_turns,
)
from stages.catalog.labels import look
from stages.catalog.near_duplicates import (
    duplicate_signals,
    group_equal,
    group_names,
    union_groups,
)
from stages.catalog.split_metrics import split_metrics
from stages.catalog.split_summary import split_in_words
from stages.common import paths
from stages.common.errors import InputError
from stages.common.files import write_json
from stages.common.process import run_stage
from stages.common.splits import write_splits
from stages.common.tables import (
    IMAGES,
    PRODUCTS,
    check_schema,
    read_batches,
    read_schema,
    read_table,
)
from stages.params import load_params

COLUMNS = ["sku", "name", "label", "manufacturer"]


def main() -> None:
    """Write the role of every product in every fold, and metrics of the split."""
    params = load_params()
    settings, seed = params.split, params.seed
    check_schema(paths.PRODUCTS, read_schema(paths.PRODUCTS), PRODUCTS)
    products = read_table(paths.PRODUCTS, columns=COLUMNS).to_pydict()
    # Sony and SONY are one: for `group_by`, and where a value that several share joins nothing.
    products["manufacturer"] = [look(one) for one in products["manufacturer"]]
    skus = np.array(products["sku"], dtype=object)
    labels = np.array(products["label"], dtype=str)
    hashes = read_image_hashes()
    signals = duplicate_signals(
        products["name"],
        read_descriptions(),
        [hashes.get(sku) for sku in products["sku"]],
        products["label"],
        products["manufacturer"],
    )
    for name in settings.group_by:
        if not any(products[name]):
            raise InputError(
                f"split.group_by names {name}, but no product has one: name its column in "
                f"data.table.{name}, or empty split.group_by"
            )
    columns = [
        group_equal([value or None for value in products[name]]) for name in settings.group_by
    ]
    found = [signal.groups for signal in signals.values()]
    groups = group_names(skus, union_groups([*found, *columns]))
    is_grouped = settings.strategy == "grouped"
    splits = assign_folds(skus, labels, groups if is_grouped else skus, settings, seed)
    check_no_leak(splits)
    n_turns = validation_turns(settings, labels, groups if is_grouped else skus)
    alike = settings.model_copy(update={"validation_folds": n_turns})
    ungrouped = assign_folds(skus, labels, skus, alike, seed) if is_grouped else splits
    metrics = split_metrics(splits, ungrouped, groups, products["name"], signals)
    # Near-duplicates that are on both sides are still alike: intervals count them as one.
    write_splits(paths.SPLITS, replace(splits, groups=groups))
    write_json(paths.METRICS / "split.json", metrics)
    for line in split_in_words(metrics, splits, settings):
        print(f"split: {line}")


def read_descriptions() -> Iterator[str]:
    """Yield each product's description; few are in memory at a time."""
    for table in read_batches(paths.PRODUCTS, ["description"]):
        yield from table["description"].to_pylist()


def read_image_hashes() -> dict[str, int | None]:
    """Return the perceptual hash of each product's image by SKU, None where it has none.

    Raises InputError where there are no shards of images.
    """
    shards = paths.image_shards()
    if not shards:
        raise InputError(f"{paths.IMAGES} holds no images: `dvc repro` puts them there")
    schema = pa.schema([IMAGES.field("sku"), IMAGES.field("perceptual_hash")])
    hashes: dict[str, int | None] = {}
    for shard in shards:
        table = read_table(shard, schema, schema.names)
        hashes.update(zip(*(column.to_pylist() for column in table), strict=True))
    return hashes


if __name__ == "__main__":
    run_stage(main)
