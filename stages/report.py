"""Show the results: in words, as static plots, and as one page with the products behind them."""

import numpy as np

from stages.common import paths
from stages.common.files import atomic_folder, write_csv, write_text
from stages.common.process import run_stage
from stages.evaluation.weak_slices import WeakSlice, slices_of, weak_slices
from stages.reporting.page import TABLES, page
from stages.reporting.results import Results, read_results, read_rows
from stages.reporting.results_text import report
from stages.reporting.static_plots import draw_all

SLICES = ["attribute", "value", "products", "groups", "accuracy", "low", "high", "mean", "tried"]


def main() -> None:
    """Write metrics/results.txt and the plots that are no tables."""
    results = read_results()
    tables = {name: read_rows(paths.PLOTS / f"evaluation/{name}.csv") for name in TABLES}
    maps = {name: read_rows(paths.PLOTS / "pca" / f"{name}.csv") for name in results.models}
    weak, n_tried = find_weak_slices(results)
    slices = [found for found, _ in weak]
    made = page(results, tables, maps, weak, n_tried, paths.image_shards())
    with atomic_folder(paths.PLOTS / "report") as folder:
        rows = [{key: getattr(found, key) for key in SLICES} for found in slices]
        write_csv(folder / "weak_slices.csv", SLICES, rows)
        draw_all(folder, paths.PLOTS)
    text = report(results.models, results.headline, results.summary, results.data, slices, n_tried)
    write_text(paths.METRICS / "results.txt", text + "\n")
    write_text(paths.PLOTS / "report.html", made)
    print(
        f"{paths.PLOTS}/report.html: {len(made) / 1e6:.1f} MB; "
        f"{len(weak)} of {n_tried} slices are weak"
    )


def find_weak_slices(results: Results) -> tuple[list[tuple[WeakSlice, list[str]]], int]:
    """Return the best model's weak slices, each with its mistakes, and how many were tested.

    Mistakes are skus, those that the model is surest of first.
    """
    predictions = results.predictions[results.best_modality]
    products = [results.products[sku] for sku in predictions]
    slices = slices_of(
        [each.manufacturer for each in products],
        [each.label for each in products],
        [each.name for each in products],
        [each.description for each in products],
        np.array([each.has_image for each in products]),
    )
    correct = np.array(
        [
            found.prediction == product.label
            for found, product in zip(predictions.values(), products, strict=True)
        ]
    )
    weak, n_tried = weak_slices(correct, np.array([each.group for each in products]), slices)
    skus = np.array(list(predictions), dtype=object)  # or it would drop a null character
    with_mistakes = []
    for found in weak:
        rows = slices[found.attribute][found.value]
        mistakes = skus[rows[~correct[rows]]].tolist()
        mistakes.sort(key=lambda sku: -predictions[sku].probability)
        with_mistakes.append((found, mistakes))
    return with_mistakes, n_tried


if __name__ == "__main__":
    run_stage(main)
