"""Say what a change does to the results: `make review BASE=main`.

Compares what is built here with what a commit of BASE has built: parameters, tracked data, metrics,
and the best models' predictions for the same test products. Writes review.md, for a comment, and
review.html, with the products' images. The exit code is 0 where they can be compared, whatever the
verdict, and 1 where they cannot: the pipeline is stale, or metrics or predictions are missing.
"""

import argparse
from pathlib import Path

from stages.common import paths
from stages.common.files import write_text
from stages.common.process import run_stage
from stages.common.tables import PRODUCTS, read_table
from stages.packaging.neighbors import read_thumbnails
from tools.review.comparison import changed_predictions, compare_modalities
from tools.review.page import LISTED, to_html, to_markdown
from tools.review.state import State, check_is_built, committed_state, own_state


def main() -> None:
    """Write review.md and review.html, and print the verdict."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", default="main", help="a branch, a tag or a commit")
    parser.add_argument("--output", type=Path, default=Path("review"), help="without its suffix")
    asked = parser.parse_args()
    check_is_built()
    ours = own_state()
    with committed_state(asked.base) as base:
        text, skus = review(base, ours)
    write_text(Path(f"{asked.output}.md"), text)
    images = read_thumbnails(paths.image_shards(), skus)
    write_text(Path(f"{asked.output}.html"), to_html(text, images))
    print(text.split("\n\n")[0])
    print(f"{asked.output}.md and {asked.output}.html have the products and figures")


def review(base: State, ours: State) -> tuple[str, list[str]]:
    """Return the report as Markdown, and the skus of the products that it shows."""
    compared = compare_modalities(base, ours)
    products = read_table(paths.PRODUCTS, PRODUCTS)
    names = dict(zip(*(products[key].to_pylist() for key in ("sku", "name")), strict=True))
    changed = changed_predictions(base, ours, names)
    return to_markdown(base, ours, compared, changed), [one.sku for one in changed[:LISTED]]


if __name__ == "__main__":
    run_stage(main, "run the same command again")
