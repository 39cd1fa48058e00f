"""Read the catalogue from its source, clean it, and reject products that cannot be learnt from.

Run as `python -m stages.prepare`. Each product of the source is in exactly one place:
data/products.parquet, or data/rejected.csv with the reason.
"""

from collections.abc import Iterator

import pyarrow as pa

from stages.catalog.data_metrics import (
    check_enough,
    data_metrics,
    empty_columns,
    image_metrics,
    summary,
)
from stages.catalog.labels import label_variants
from stages.catalog.settings import min_class_size
from stages.catalog.skus import check_skus
from stages.catalog.sources.product import RawProduct
from stages.catalog.validation import Rejected, clean_product, merge_labels, reject_invalid
from stages.common import paths
from stages.common.files import write_csv, write_json
from stages.common.process import run_stage
from stages.common.tables import PRODUCTS, write_table
from stages.params import Params, load_params


def main() -> None:
    """Write the products that are kept, those that are rejected, and how many there are of each."""
    params = load_params()
    products, n_several_images = [], 0
    for raw in read_source(params):  # one at a time: a large catalogue is in memory once
        n_several_images += raw.has_several_images
        products.append(clean_product(raw))
    check_skus([product.sku for product in products])
    is_merged = params.data.merge_label_variants
    variants = label_variants(product.label for product in products) if is_merged else {}
    products = merge_labels(products, variants)
    smallest = min_class_size(params.data)
    kept, rejected = reject_invalid(products, smallest)
    metrics = data_metrics(params.data.source, products, kept, rejected)
    metrics["labels"]["merged"] = variants
    metrics["images"] = image_metrics(n_several_images, products)
    check_enough(metrics, smallest)
    columns = [[getattr(product, name) for product in kept] for name in PRODUCTS.names]
    write_table(paths.PRODUCTS, pa.table(columns, schema=PRODUCTS))
    write_csv(paths.REJECTED, Rejected._fields, (product._asdict() for product in rejected))
    write_json(paths.METRICS / "data.json", metrics)
    for line in (*summary(metrics), *empty_columns(params.data, products)):
        print(f"prepare: {line}")


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
