"""Run a sweep and say which experiment is best on validation products: `make sweep`.

Each --set is a grid of its own, as in `dvc exp run --queue -S`; without any, GRIDS are run. The
experiments run side by side, in copies of what Git and DVC track. The exit code is 1 where one
failed.
"""

import argparse
import json
import re
import subprocess
from dataclasses import dataclass
from typing import Any

from tabulate import tabulate

from stages.common import paths
from stages.common.errors import InputError
from stages.common.process import run_stage

GRIDS = (
    ("classifiers.svm.C=3,30,300", "classifiers.svm.gamma=0.5,1,2"),
    ("classifiers.logistic_regression.C=1,10,100",),
    ("fusion.strategy=hybrid,early,late",),
    ("text.encoders=[minilm],[ngrams],[minilm,ngrams]",),
)
QUEUED = re.compile(r"overrides '\{'params\.yaml': (\[.*?\])\}'|Queued experiment '([\w-]+)'")
MODELS = (paths.METRICS / "models.json").as_posix()
METRICS = ("macro_f1", "accuracy")  # what the best is chosen by, ties by the second


@dataclass(frozen=True)
class Result:
    """The model of an experiment that is best on validation products, with its metrics there."""

    experiment: str
    overrides: str
    model: str
    macro_f1: float
    accuracy: float


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
    _run("dvc", "exp", "run", "--run-all", "--jobs", str(asked.jobs))
    commits = experiments()
    results = [
        best_of(name, overrides, json.loads(_run("git", "show", f"{commits[name]}:{MODELS}")))
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
    for changed, name in QUEUED.findall(_run("dvc", "exp", "run", "--queue", *options)):
        if name:
            found[name] = overrides
        else:
            overrides = changed.strip("[]").replace("'", "")
    if not found:
        raise InputError(f"{' '.join(grid)} queues no experiment: give values, as in KEY=1,10")
    return found


def experiments() -> dict[str, str]:
    """Return the commits of the experiments that succeeded, by name."""
    listed = _run("git", "for-each-ref", "--format=%(refname) %(objectname)", "refs/exps")
    lines = [line.split() for line in listed.splitlines()]
    return {reference.rpartition("/")[2]: commit for reference, commit in lines}


def best_of(experiment: str, overrides: str, models: dict[str, Any]) -> Result:
    """Return the best model of an experiment; `models` is its metrics/models.json."""
    found = [
        Result(experiment, overrides, f"{modality}-{name}", *(of["validation"][k] for k in METRICS))
        for modality, entries in models.items()
        for name, of in entries.items()
        if name != "weights"
    ]
    return max(found, key=lambda one: (one.macro_f1, one.accuracy))


def table(results: list[Result]) -> str:
    """Return the results as a table, the best first, and how to take the best one over."""
    best = sorted(results, key=lambda one: (-one.macro_f1, -one.accuracy, one.experiment))
    rows = [(*vars(one).values(),) for one in best]
    headers = ["experiment", "set", "best model", "macro F1", "accuracy"]
    shown = tabulate(rows, headers, floatfmt=".4f", disable_numparse=[0, 1, 2])
    return f"{shown}\n\non validation products; take over the first: dvc exp apply {rows[0][0]}"


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise InputError(f"{' '.join(command[:4])} fails: {said[-500:]}")
    return done.stdout


if __name__ == "__main__":
    run_stage(main)
