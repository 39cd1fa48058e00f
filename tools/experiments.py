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
    """The model of an experiment that is best on validation products, with its metrics there.

    They are of the share `with_input` of the products, those that the model can see.
    """

    experiment: str
    overrides: str
    model: str
    macro_f1: float
    accuracy: float
    with_input: float = 1.0

    @property
    def scores(self) -> list[float]:
        """What the best is chosen by, the higher the better: METRICS of all products."""
        return [self.with_input * getattr(self, key) for key in METRICS]


def check_keys(texts: Iterable[str]) -> None:
    """Raise InputError where two texts set one key, as KEY=1 KEY=2: the last alone would count."""
    seen = set()
    for text in texts:
        key = key_of(text)
        if key in seen:
            raise InputError(f"--set {text}: {key} is set twice, give all its values at once")
        seen.add(key)


def key_of(text: str) -> str:
    """Return the key of KEY=1,10 without the file or `+` that `dvc exp run -S` takes before it."""
    return text.partition("=")[0].removeprefix("params.yaml:").lstrip("+")


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
    models: dict[str, Any] = json.loads(run("git", "show", f"{commit}:./{MODELS}"))
    validation = {
        f"{modality}-{name}": of["validation"]
        for modality, entries in models.items()
        for name, of in entries.items()
        if name != "weights"
    }
    if model and model not in validation:
        raise InputError(f"no model {model}: one of {', '.join(validation)}")
    results = [
        Result(experiment, overrides, name, *(of[key] for key in (*METRICS, SHARE)))
        for name, of in validation.items()
        if name == (model or name)
    ]
    return max(results, key=lambda one: one.scores)


def table(results: Iterable[Result]) -> str:
    """Return the results as a table, the best first, and how to take the best one over.

    Experiments run up to the stage `evaluate`; what follows is for the one that is taken over.
    """
    by_name = sorted(results, key=lambda one: one.experiment)
    best = sorted(by_name, key=lambda one: one.scores, reverse=True)
    rows = [(*vars(one).values(),) for one in best]
    headers = ["experiment", "set", "best model", "macro F1", "accuracy", "with input"]
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
