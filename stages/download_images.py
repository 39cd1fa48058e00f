"""Get the image of every product and write all images, of one size, to a few Parquet files.

Run as `python -m stages.download_images`. Images that are fetched by HTTP are cached outside DVC's
outputs, and so are failures: a run that was interrupted continues where it stopped.
"""

import warnings

from stages.common import paths
from stages.common.process import run_stage
from stages.common.tables import PRODUCTS, read_table
from stages.download.image_counts import count_words
from stages.download.product_images import Catalogue, write_product_images
from stages.params import load_params


def main() -> None:
    """Write a row for each product: its image, or why it has none."""
    warnings.filterwarnings("ignore", module="PIL")  # about odd images that are not failures
    params = load_params()
    data = params.data
    products = read_table(paths.PRODUCTS, PRODUCTS)
    catalogue = Catalogue(folder=data.folder, mirror=data.mirror, archive=data.table.archive)
    counts = write_product_images(
        products, paths.IMAGES, catalogue, params.download, params.image.size
    )
    print(f"download_images: {count_words(counts)}")


if __name__ == "__main__":
    run_stage(main)
