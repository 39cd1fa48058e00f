"""Get the image of every product and write all images, of one size, to a few Parquet files.

Run as `python -m stages.download_images`. Images that are fetched by HTTP are cached outside DVC's
outputs, and so are failures: a run that was interrupted continues where it stopped. Where too many
images failed, data/failed_images.csv lists them all the same.
"""

import warnings

from stages.common import paths
from stages.common.files import write_csv, write_json
from stages.common.process import run_stage
from stages.common.tables import PRODUCTS, read_table
from stages.download.image_counts import FailedImage, Outcome, check_failures
from stages.download.product_images import Catalogue, write_product_images
from stages.params import load_params


def main() -> None:
    """Write a row for each product, its image or why it has none, and a list of what failed."""
    warnings.filterwarnings("ignore", module="PIL")  # about odd images that are not failures
    params = load_params()
    data = params.data

    def report(outcome: Outcome) -> None:
        rows = (image._asdict() for image in outcome.failed)
        write_csv(paths.FAILED_IMAGES, FailedImage._fields, rows)
        write_json(paths.METRICS / "images.json", outcome.metrics())
        check_failures(outcome, params.download.max_failed, paths.FAILED_IMAGES)

    outcome = write_product_images(
        read_table(paths.PRODUCTS, PRODUCTS),
        paths.IMAGES,
        Catalogue(folder=data.folder, mirror=data.mirror, archive=data.table.archive),
        params.download,
        params.image.size,
        params.compute,
        report,
    )
    print(f"download_images: {outcome.words()}")


if __name__ == "__main__":
    run_stage(main)
