"""Read the catalogue from its source, clean it, and reject products that cannot be learnt from.

Run as `python -m stages.prepare`. Each product of the source is in exactly one place:
data/products.parquet, or data/rejected.csv with the reason.
"""

from collections.abc import Iterator

import pyarrow as pa

from stages.catalog.settings import min_class_size
from stages.catalog.sources.product import RawProduct
from stages.catalog.validation import (
    Rejected,
    check_enough,
    clean_product,
    count_words,
    data_metrics,
    reject_invalid,
)
from stages.common import paths
from stages.common.files import write_csv, write_json
from stages.common.process import run_stage
from stages.common.tables import PRODUCTS, write_table
from stages.params import Params, load_params


def main() -> None:
    """Write the products that are kept, those that are rejected, and how many there are of each."""
    params = load_params()
    products = [clean_product(raw) for raw in read_source(params)]
    smallest = min_class_size(params.data)
    kept, rejected = reject_invalid(products, smallest)
    metrics = data_metrics(params.data.source, kept, rejected)
    check_enough(metrics, smallest)
    rows = [product._asdict() for product in kept]
    write_table(paths.PRODUCTS, pa.Table.from_pylist(rows, schema=PRODUCTS))
    write_csv(paths.REJECTED, Rejected._fields, (product._asdict() for product in rejected))
    write_json(paths.METRICS / "data.json", metrics)
    print(
        f"prepare: kept {len(kept):,} of {len(products):,} products in "
        f"{metrics['classes']['all']} classes, {metrics['products']['without_image']:,} of them "
        f"without an image; rejected: {count_words(metrics['rejected'])}"
    )
    if not any(product.image for product in kept):
        print("prepare: no product has an image: only text models will be trained")
    if not any(product.name or product.description for product in kept):
        print("prepare: no product has a text: only image models will be trained")


def read_source(params: Params) -> Iterator[RawProduct]:
    """Return the products of `data.source`. Import only what that source needs."""
    data = params.data
    match data.source:
        case "demo":
            from stages.catalog.sources import demo

            return demo.read(data.demo, params.seed)
        case "bestbuy":
            from stages.catalog.sources import bestbuy
            from stages.download.files import fetch_file

            file = fetch_file(
                data.bestbuy.products,
                mirror=data.mirror,
                settings=params.download,
                max_bytes=bestbuy.MAX_BYTES,
            )
            return bestbuy.read(data.bestbuy, file)
        case "table":
            from stages.catalog.sources import table

            return table.read(data.table, data.folder)


if __name__ == "__main__":
    run_stage(main)
