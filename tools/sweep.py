"""Run a sweep and say which experiment is best on validation products: `make sweep`.

Each --set is a grid of its own, as in `dvc exp run --queue -S`; without any, GRIDS are run. The
experiments run side by side, in copies of what Git and DVC track. The exit code is 1 where one
failed.
"""

import argparse
import re

from stages.common.errors import InputError
from stages.common.process import run_stage
from tools.experiments import experiments, result_of, run, table

GRIDS = (
    ("classifiers.svm.C=3,30,300", "classifiers.svm.gamma=0.1,0.25,0.6"),
    ("classifiers.logistic_regression.C=1,10,100",),
    ("fusion.strategy=hybrid,early,late",),
    ("text.encoders=[minilm],[ngrams],[minilm,ngrams]",),
)
QUEUED = re.compile(r"overrides '\{'params\.yaml': (\[.*?\])\}'|Queued experiment '([\w-]+)'")


def main() -> None:
    """Queue the grids, run them, and print the results, the best first."""
    parser = argparse.ArgumentParser(description=__doc__)
    about = "a grid, as in --set classifiers.svm.C=1,10 classifiers.svm.gamma=1,2"
    parser.add_argument("--set", nargs="+", action="append", metavar="KEY=VALUES", help=about)
    parser.add_argument("--jobs", type=int, default=2, help="experiments at a time")
    asked = parser.parse_args()
    queued: dict[str, str] = {}
    for grid in asked.set or GRIDS:
        queued |= queue(grid)
    run("dvc", "exp", "run", "--run-all", "--jobs", str(asked.jobs))
    commits = experiments()
    results = [
        result_of(name, commits[name], overrides)
        for name, overrides in queued.items()
        if name in commits
    ]
    if results:
        print(table(results))
    failed = [name for name in queued if name not in commits]
    if failed:
        raise InputError(
            f"{len(failed)} of {len(queued)} experiments failed: `dvc queue logs {failed[0]}` says "
            "why"
        )


def queue(grid: list[str] | tuple[str, ...]) -> dict[str, str]:
    """Queue a grid; return what is set in each experiment, by its name."""
    options = [option for each in grid for option in ("--set-param", each)]
    overrides, found = "", {}
    for changed, name in QUEUED.findall(run("dvc", "exp", "run", "--queue", *options, "evaluate")):
        if name:
            found[name] = overrides
        else:
            overrides = changed.strip("[]").replace("'", "")
    if not found:
        raise InputError(f"{' '.join(grid)} queues no experiment: give values, as in KEY=1,10")
    return found


if __name__ == "__main__":
    run_stage(main)
