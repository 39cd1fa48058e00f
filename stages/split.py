"""Deal each class's products out to training, validation and test.

Run as `python -m stages.split`. Which part a product is in depends on the seed, the shares and the
SKUs of its class, and not on the order of rows.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from stages.errors import run_stage
from stages.params import load_params
from stages.tables import PRODUCTS, SPLITS, read_table, write_table

PRODUCTS_FILE = Path("data/products.parquet")
SPLITS_FILE = Path("data/splits.parquet")


def main() -> None:
    """Write the split of every product, in the order of the products."""
    params = load_params()
    products = read_table(PRODUCTS_FILE, PRODUCTS).select(["sku", "label"])
    splits = split(
        products["sku"].to_pylist(),
        products["label"].to_pylist(),
        validation=params.split.validation,
        test=params.split.test,
        seed=params.seed,
    )
    table = products.append_column(SPLITS.field("split"), pa.array(splits))
    write_table(SPLITS_FILE, table.cast(SPLITS))
    sizes = Counter(splits)
    print(
        f"split: {sizes['train']:,} products for training, {sizes['validation']:,} for validation, "
        f"{sizes['test']:,} for test"
    )


def split(
    skus: Sequence[str], labels: Sequence[str], *, validation: float, test: float, seed: int
) -> list[str]:
    """Return train, validation or test for each product; each class has the same shares in each.

    `skus` and `labels` have one entry per product, shape (n,); no sku stands twice. A class of
    three or more has at least one product in each part, whatever the shares.
    """
    # scikit-learn's stratified splitters keep the shares over all classes together, not in each:
    # at a share of 0.05 a class of 10 gets no test product, and where the held-out part is smaller
    # than the number of classes they refuse. So each class is dealt out by itself, in the order of
    # its products' hashes; a catalogue that grows then keeps most products where they were.
    classes: dict[str, list[str]] = defaultdict(list)
    for sku, label in zip(skus, labels, strict=True):
        classes[label].append(sku)
    parts: dict[str, str] = {}
    for members in classes.values():
        members.sort(key=lambda sku: hashlib.sha256(f"{seed}:{sku}".encode()).digest())
        for_test = min(max(1, round(test * len(members))), len(members) - 2)
        for_validation = min(max(1, round(validation * len(members))), len(members) - for_test - 1)
        for place, sku in enumerate(members):
            if place < for_test:
                parts[sku] = "test"
            elif place < for_test + for_validation:
                parts[sku] = "validation"
            else:
                parts[sku] = "train"
    return [parts[sku] for sku in skus]


if __name__ == "__main__":
    run_stage(main)
