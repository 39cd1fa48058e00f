"""Run a sweep and say which experiment is best on validation products: `make sweep`.

Each --set is a grid of its own, as in `dvc exp run --queue -S`; without any, GRIDS are run. The
experiments run one after another, in copies of what Git and DVC track. DVC's queue would run them
side by side, but may hang for ever (https://github.com/treeverse/dvc/issues/10398). The exit code
is 1 where one failed.
"""

import argparse
from collections.abc import Iterator, Sequence

from tqdm import tqdm

from stages.common.errors import InputError
from stages.common.process import run_stage
from tools.experiments import check_keys, run_experiment, table

GRIDS = (
    ("classifiers.svm.C=3,30,300", "classifiers.svm.gamma=0.1,0.25,0.6"),
    ("classifiers.logistic_regression.C=1,10,100",),
    ("fusion.strategy=hybrid,early,late",),
    ("text.encoders=[minilm],[ngrams],[minilm,ngrams]",),
)


def main() -> None:
    """Run the experiments of the grids, and print the results, the best first."""
    parser = argparse.ArgumentParser(description=__doc__)
    about = "a grid, as in --set classifiers.svm.C=1,10 classifiers.svm.gamma=1,2"
    parser.add_argument("--set", nargs="+", action="append", metavar="KEY=VALUES", help=about)
    asked = parser.parse_args()
    sweep = [overrides for grid in asked.set or GRIDS for overrides in combinations(grid)]
    results = []
    try:
        for overrides in tqdm(sweep, "experiments", disable=None):
            try:
                results.append(run_experiment(overrides))
            except InputError as error:
                tqdm.write(f"{', '.join(overrides)}: {error}")
    finally:  # after Ctrl-C too
        if results:
            print(table(results))
    if failed := len(sweep) - len(results):
        raise InputError(f"{failed} of {len(sweep)} experiments failed")


def combinations(grid: Sequence[str]) -> Iterator[list[str]]:
    """Yield what is set in each experiment of a grid.

    Raises InputError where a text is no grid, or two of them set one key.
    """
    from dvc.exceptions import InvalidArgumentError
    from dvc.utils.hydra import get_hydra_sweeps
    from hydra.errors import HydraException

    check_keys(grid)
    try:
        for overrides in get_hydra_sweeps({"params.yaml": list(grid)}):
            yield overrides["params.yaml"]
    except (HydraException, InvalidArgumentError):  # the second for glob(...)
        raise InputError(
            f"--set {' '.join(grid)} is no grid: give values, as in KEY=1,10"
        ) from None


if __name__ == "__main__":
    run_stage(main, "`dvc exp show` lists the experiments that were done")
