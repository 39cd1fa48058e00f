"""What a commit, or the workspace, has built: metrics, data and the models' predictions."""

import json
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from stages.common import paths
from stages.common.errors import InputError
from stages.common.files import read_json
from stages.evaluation.predictions import Model, load_model
from stages.fusion.settings import RESERVED

HEADLINE, LOCK = paths.METRICS / "headline.json", "dvc.lock"


@dataclass(frozen=True)
class State:
    """What was built of a commit, or here.

    `commit` is None for the workspace. `outputs` has the hash of each output by its path.
    """

    commit: str | None
    headline: dict[str, Any]
    outputs: dict[str, str]
    models: dict[str, Model]  # the best one of each modality


def check_is_built() -> None:
    """Raise InputError unless DVC says that what is built is that of the code and parameters."""
    said = _output("dvc", "status", "--json")
    try:
        stale = json.loads(said)
    except ValueError:
        raise InputError(f"dvc status does not say what is stale: {said[-300:]}") from None
    if stale:
        raise InputError(
            f"the pipeline is stale ({', '.join(sorted(stale))}): run `dvc repro`, and commit "
            "dvc.lock, metrics/ and plots/"
        )


def own_state() -> State:
    """Return what is built here; raise InputError where a part of it is missing."""
    lock = Path(LOCK).read_text(encoding="utf-8") if Path(LOCK).exists() else ""
    headline = _known(read_json(HEADLINE), HEADLINE)
    models = {
        name: load_model(paths.model(classifier, name), name, classifier)
        for name in modalities(headline)
        for classifier in [headline[name]["model"]]
    }
    return State(None, headline, _outputs(lock), models)


@contextmanager
def committed_state(revision: str) -> Iterator[State]:
    """Yield what was built of a commit; its predictions come from DVC's cache or remote.

    Raises InputError where there is no such commit, or a part is missing.
    """
    commit = _git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}").strip()
    headline = _known(_json_of(commit, HEADLINE), HEADLINE)
    outputs = _outputs(_git("show", f"{commit}:./{LOCK}"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        models = {}
        for modality in modalities(headline):
            classifier = headline[modality]["model"]
            source = paths.model(classifier, modality)
            _fetch(commit, source / "probabilities.parquet", folder)
            models[modality] = load_model(folder / source, modality, classifier)
        yield State(commit, headline, outputs, models)


def modalities(headline: dict[str, Any]) -> list[str]:
    """Return the modalities that a headline has a model of."""
    return [name for name in headline if name not in RESERVED]


def params_diff(commit: str) -> str:
    """Return the parameters that differ from those of a commit, as a table of Markdown, if any."""
    return _rows_of(_output("dvc", "params", "diff", commit, "--md"))


def metrics_diff(commit: str) -> str:
    """Return the metrics that differ from those of a commit, as a table of Markdown, if any."""
    return _rows_of(_output("dvc", "metrics", "diff", commit, "--md"))


def _rows_of(table: str) -> str:
    """Return a table of Markdown, or nothing where it has no row below its head."""
    return table.strip() if table.strip().count("\n") > 1 else ""


def _known(headline: Any, path: Path) -> dict[str, Any]:
    """Raise InputError for a headline that lacks a metric."""
    found = modalities(headline) if isinstance(headline, dict) else []
    for name in found:
        for key in ("model", "accuracy", "macro_f1"):
            if key not in headline[name]:
                raise InputError(f"{path} lacks {name}.{key}: `dvc repro -f evaluate` rebuilds it")
    if not found:
        raise InputError(f"{path} has no metrics: `dvc repro -f evaluate` rebuilds it")
    return headline


def _json_of(commit: str, path: Path) -> Any:
    text = _git("show", f"{commit}:./{path}")
    try:
        return json.loads(text)
    except ValueError:
        raise InputError(f"{path} of {commit[:7]} is no JSON: rebuild it there") from None


def _outputs(lock: str) -> dict[str, str]:
    stages = (YAML(typ="safe").load(lock) or {}).get("stages", {})
    return {out["path"]: out["md5"] for stage in stages.values() for out in stage.get("outs", [])}


def _fetch(commit: str, path: Path, folder: Path) -> None:
    """Copy a file that a commit has built into `folder`, with the folders that it lies in."""
    from dvc.api import DVCFileSystem

    (folder / path).parent.mkdir(parents=True)
    place = _git("rev-parse", "--show-prefix").strip()  # of the project in its repository
    try:
        repository = DVCFileSystem(".", rev=commit, subrepos=True)
        repository.get_file(f"{place}{path.as_posix()}", str(folder / path))
    except Exception as error:  # of DVC, or of one of its remotes
        raise InputError(
            f"{path} of {commit[:7]} cannot be had ({type(error).__name__}): `dvc pull` what it "
            "has built, or `dvc repro` there"
        ) from None


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True)
    if done.returncode:
        raise InputError(
            f"git {' '.join(arguments)} fails: name a commit that has built results, as in "
            "make review BASE=main, or BASE=origin/main where the clone has no such branch"
        )
    return done.stdout


def _output(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise InputError(f"{' '.join(command)} fails: {done.stderr.strip()[-300:]}")
    return done.stdout
