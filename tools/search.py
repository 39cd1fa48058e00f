"""Search parameters for the best model on validation products: `python -m tools.search`.

Optuna's tree-structured Parzen estimator (Bergstra et al. 2011, Algorithms for Hyper-Parameter
Optimization) proposes parameters, and each trial is a DVC experiment up to the stage `evaluate`.
Each --set is a range, as in classifiers.svm.C=1:1000, searched on a logarithmic scale, in integers
where both of its ends are such and the value in params.yaml is no decimal number, or values, as in
fusion.strategy=early,hybrid; without any, SPACE is searched. The study is a file: a search that is
started again goes on with it. The exit code is 1 where a trial failed.
"""

import argparse
import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout
from tqdm import tqdm

from stages.common.errors import InputError
from stages.common.files import json_hash, sha256_of
from stages.common.paths import ENSEMBLE_NAME
from stages.common.process import run_stage
from stages.params import Params, load_params
from tools.experiments import Result, check_keys, key_of, run_experiment, table

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

SPACE = (
    "classifiers.svm.C=1:1000",
    "classifiers.svm.gamma=0.1:5",
    "classifiers.logistic_regression.C=0.1:1000",
    "fusion.strategy=hybrid,early,late",
)
PRODUCTS_KEY = re.compile(r"~?(?:seed|split|data)\b")  # see products_of; ~ deletes a parameter
RANGE = re.compile(r"([\d.e+-]+):([\d.e+-]+)")
SHOWN = 20  # trials in the table, the best

Range = tuple[int, int] | tuple[float, float]
Space = dict[str, Range | list[str]]


def main() -> None:
    """Search as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=50, help="of the study, with earlier ones")
    about = "ranges and values, as in --set classifiers.svm.C=1:1000 fusion.strategy=early,late"
    parser.add_argument("--set", nargs="+", action="extend", metavar="KEY=VALUES", help=about)
    model = "the model to be good, as text-svm; else the best of all"
    parser.add_argument("--model", help=model)
    parser.add_argument("--study", type=Path, default=Path("search.log"), help="its file")
    asked = parser.parse_args()
    asked.set = asked.set or SPACE
    if asked.trials < 1:
        parser.error(f"--trials {asked.trials}: give 1 or more")
    params = load_params()
    check_model(asked.model, params)
    space = read_space(asked.set, params)
    with alone(asked.study):
        search(asked, space, params)


def alone(path: Path) -> AbstractContextManager[Any]:
    """Return a lock on a study; raise InputError where another search has it.

    Each would take the other's trial for one that was killed.
    """
    try:
        return FileLock(f"{path}.run.lock").acquire(timeout=0)
    except Timeout:
        raise InputError(
            f"another search is at work on {path}: wait for its end, or name another file with "
            "--study"
        ) from None


def search(asked: argparse.Namespace, space: Space, params: Params) -> None:
    """Run the trials that are left of a study, and print the best ones."""
    study = open_study(asked.study, asked.set, asked.model, products_of(params))
    left = max(asked.trials - len(trials(study, "COMPLETE")) - len(trials(study, "FAIL")), 0)
    for i in tqdm(range(left), "trials", disable=None):
        if not try_one(study, space, asked.model) and i == 0:
            break  # what is asked for is wrong
    if results := [Result(**each.user_attrs) for each in trials(study, "COMPLETE")]:
        print(table(results[:SHOWN]))
    if failed := trials(study, "FAIL"):
        count = len(study.trials)
        if len(failed) == count:  # it has found nothing, and would refuse what mends the command
            asked.study.unlink()
        raise InputError(f"{len(failed)} of {count} trials failed")


def check_model(model: str | None, params: Params) -> None:
    """Raise InputError where the pipeline makes no such model, before it is run to find out."""
    names = [*params.classifiers, ENSEMBLE_NAME]
    known = [f"{modality}-{name}" for modality in params.modalities for name in names]
    if model and model not in known:
        raise InputError(f"--model {model}: there is no such model; one of {', '.join(known)}")


def read_space(texts: Sequence[str], params: Params) -> Space:
    """Return the ranges and values by parameter.

    A range is one of integers where both ends are, unless the value in `params` is a float. Raises
    InputError naming what is neither a range nor values, is set twice, or changes the products.
    """
    check_keys(texts)
    space: Space = {}
    for text in texts:
        key, _, values = text.partition("=")
        if PRODUCTS_KEY.match(key_of(text)):
            raise InputError(
                f"--set {text}: models of another seed, split or data are validated on other "
                "products, and their scores cannot be compared: name the values to "
                "`python -m tools.sweep`, or edit params.yaml and name another file with --study"
            )
        if not key or not values:
            raise InputError(f"--set {text}: give a range, as in KEY=1:1000, or values, KEY=a,b")
        if found := RANGE.fullmatch(values):
            try:
                low, high = map(float, found.groups())
            except ValueError:
                low, high = 0, 0
            if not 0 < low < high < math.inf:
                raise InputError(f"--set {text}: a range has a low above 0 and a higher high")
            has_integers = all(end.isdecimal() for end in found.groups())
            is_integer = has_integers and not isinstance(_value(params, key_of(text)), float)
            space[key] = (int(low), int(high)) if is_integer else (low, high)
        else:
            space[key] = _split(values)
            if not all(space[key]):
                raise InputError(f"--set {text}: there is nothing before or after a comma")
    return space


def _split(values: str) -> list[str]:
    """Split values at commas, but not at those within lists, mappings and quotes."""
    found, depth, quote = [""], 0, ""
    for character in values:
        if character == "," and not depth and not quote:
            found.append("")
            continue
        found[-1] += character
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        else:
            depth += (character in "[{") - (character in "]}")
    return found


def _value(params: Any, key: str) -> Any:
    """Return the value of a parameter, such as classifiers.svm.C; None where it has none."""
    for part in key.split("."):
        is_mapping = isinstance(params, Mapping)
        params = params.get(part) if is_mapping else getattr(params, part, None)
    return params


def products_of(params: Params) -> str:
    """Return a hash of what decides on which products models are validated.

    That is the seed, the settings of the data and the split, and the data that DVC tracks.
    """
    data = params.data
    tracked = [*data.folder.rglob("*.dvc"), *data.folder.parent.glob(f"{data.folder.name}.dvc")]
    return json_hash(
        params.seed,
        data.model_dump(mode="json"),
        params.split.model_dump(mode="json"),
        sorted((file.as_posix(), sha256_of(file)) for file in tracked),
    )


def open_study(path: Path, texts: Sequence[str], model: str | None, products: str) -> "Study":
    """Return the study in a file, which is made where there is none.

    A trial that an earlier search did not finish is queued again. Raises InputError where the study
    is of other parameters, of another model, or of other products, whose scores say nothing here.
    """
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    drop_cut_line(path)
    storage = JournalStorage(JournalFileBackend(str(path)))
    study = optuna.create_study(
        storage=storage, study_name="search", direction="maximize", load_if_exists=True
    )
    about = f"{model or 'the best model'} by {' '.join(sorted(texts))}"
    known = study.user_attrs.setdefault("about", about)
    if known != about:
        raise InputError(f"{path} searches {known}: name another file with --study")
    if study.user_attrs.get("products", products) != products:
        raise InputError(
            f"{path} searches other products: seed, data or split in params.yaml, or the data that "
            "DVC tracks, have changed since: name another file with --study"
        )
    study.set_user_attr("about", about)
    study.set_user_attr("products", products)
    study.sampler = optuna.samplers.TPESampler(multivariate=True, seed=len(study.trials))
    for trial in study.get_trials(states=[optuna.trial.TrialState.RUNNING]):
        study.tell(trial.number, state=optuna.trial.TrialState.PRUNED)
        study.enqueue_trial(trial.params)
    return study


def drop_cut_line(path: Path) -> None:
    """Take the last line off a study's file where a kill or a full disk has cut it.

    Optuna would go on within that line. Raises InputError where the file is no study, which then
    stays as it is.
    """
    content = path.read_bytes() if path.is_file() else b""
    *lines, cut = content.split(b"\n")
    try:
        is_study = all("op_code" in json.loads(line) for line in lines or [cut] if line)
    except (ValueError, TypeError):
        is_study = False
    if not is_study:
        raise InputError(f"{path} is no study, or damaged: name another file with --study")
    if cut:
        os.truncate(path, len(content) - len(cut))


def try_one(study: "Study", space: Space, model: str | None) -> bool:
    """Run a trial and tell the study how good its model is on validation products.

    Return whether the experiment succeeded; what it says is printed where it did not.
    """
    import optuna

    trial = study.ask()
    overrides = [f"{key}={propose(trial, key, values)}" for key, values in space.items()]
    try:
        found = run_experiment(overrides, model)
    except InputError as error:
        print(f"trial {trial.number} ({', '.join(overrides)}): {error}")
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
        return False
    for key, value in vars(found).items():
        trial.set_user_attr(key, value)
    study.tell(trial, found.scores[0])
    return True


def propose(trial: "Trial", key: str, values: Range | list[str]) -> str:
    """Return the value that the study proposes for a parameter."""
    if isinstance(values, list):
        return str(trial.suggest_categorical(key, values))
    low, high = values
    if isinstance(low, int) and isinstance(high, int):
        return str(trial.suggest_int(key, low, high, log=True))
    return f"{trial.suggest_float(key, low, high, log=True):.4g}"


def trials(study: "Study", state: str) -> list["FrozenTrial"]:
    """Return the trials in a state, the best first."""
    from optuna.trial import TrialState

    found = study.get_trials(states=[TrialState[state]])
    return sorted(found, key=lambda one: (-(one.value or 0), one.number))


if __name__ == "__main__":
    run_stage(main, "run the same command again to go on where it stopped")
