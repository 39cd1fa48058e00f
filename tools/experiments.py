"""DVC experiments and what they are on validation products, which alone choose among them."""

import json
import re
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tabulate import tabulate

from stages.common import paths
from stages.common.errors import InputError

MODELS = (paths.METRICS / "models.json").as_posix()
RAN = re.compile(r"^Ran experiment\(s\): ([\w-]+)", re.MULTILINE)
METRICS = ("macro_f1", "accuracy")  # what the best is chosen by, ties by the second
SHARE = "share_with_input"  # as in evaluate, a product that a model cannot see is a mistake of it


@dataclass(frozen=True)
class Result:
    """The model of an experiment that is best on validation products, with its metrics there."""

    experiment: str
    overrides: str
    model: str
    macro_f1: float
    accuracy: float


def run_experiment(overrides: Sequence[str], model: str | None = None) -> Result:
    """Run an experiment up to `evaluate`; return its best model, or `model`.

    `overrides` are as in `dvc exp run -S`. It runs in a copy of what Git and DVC track. Raises
    InputError where it fails.
    """
    options = [option for each in overrides for option in ("--set-param", each)]
    (name,) = RAN.findall(run("dvc", "exp", "run", "--temp", *options, "evaluate"))
    return result_of(name, experiments()[name], ", ".join(overrides), model)


def experiments() -> dict[str, str]:
    """Return the commits of the experiments that succeeded, by name."""
    listed = run("git", "for-each-ref", "--format=%(refname) %(objectname)", "refs/exps")
    lines = [line.split() for line in listed.splitlines()]
    return {reference.rpartition("/")[2]: commit for reference, commit in lines}


def result_of(experiment: str, commit: str, overrides: str, model: str | None = None) -> Result:
    """Return the best model of an experiment, or `model`; raise InputError where it has none."""
    models: dict[str, Any] = json.loads(run("git", "show", f"{commit}:{MODELS}"))
    validation = {
        f"{modality}-{name}": of["validation"]
        for modality, entries in models.items()
        for name, of in entries.items()
        if name != "weights"
    }
    if model and model not in validation:
        raise InputError(f"no model {model}: one of {', '.join(validation)}")
    found = model or max(
        validation, key=lambda one: [validation[one][SHARE] * validation[one][k] for k in METRICS]
    )
    return Result(experiment, overrides, found, *(validation[found][key] for key in METRICS))


def table(results: Iterable[Result]) -> str:
    """Return the results as a table, the best first, and how to take the best one over.

    Experiments run up to the stage `evaluate`; what follows is for the one that is taken over.
    """
    best = sorted(results, key=lambda one: (-one.macro_f1, -one.accuracy, one.experiment))
    rows = [(*vars(one).values(),) for one in best]
    headers = ["experiment", "set", "best model", "macro F1", "accuracy"]
    shown = tabulate(rows, headers, floatfmt=".4f", disable_numparse=[0, 1, 2])
    apply = f"dvc exp apply {rows[0][0]}, then dvc repro"
    return f"{shown}\n\non validation products; take over the first: {apply}"


def run(*command: str) -> str:
    """Return what a command prints; raise InputError where it fails."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise InputError(f"{' '.join(command[:4])} fails: {said[-500:]}")
    return done.stdout
