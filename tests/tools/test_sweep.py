"""A sweep names the experiment that is best on validation, and those that failed."""

import json

import pytest

from stages.common.errors import InputError
from tools import experiments, sweep

SAID = """\
Queueing with overrides '{'params.yaml': ['classifiers.svm.C=1', 'classifiers.svm.gamma=2']}'.
Queued experiment 'tidy-moth' for future execution.
Queueing with overrides '{'params.yaml': ['classifiers.svm.C=10', 'classifiers.svm.gamma=2']}'.
Queued experiment 'loud-newt' for future execution.
Queueing with overrides '{'params.yaml': ['classifiers.svm.C=-1', 'classifiers.svm.gamma=2']}'.
Queued experiment 'pale-wren' for future execution.
"""


def models(text: float, both: float) -> str:
    def entry(macro_f1: float):
        metrics = {"accuracy": 0.9, "macro_f1": macro_f1}
        # On test products all are the other way round, which nothing may look at.
        return {"svm": {"validation": metrics, "macro_f1": 1 - macro_f1}, "weights": {}}

    return json.dumps({"text": entry(text), "multimodal": entry(both)})


@pytest.fixture
def dvc(monkeypatch):
    """What `dvc` and `git` say of a sweep: the commands that they are given."""
    commands = []

    def run(*command: str) -> str:
        commands.append(command)
        if "--queue" in command:
            return SAID
        if "for-each-ref" in command:
            return "refs/exps/ab/cd/tidy-moth aaa\nrefs/exps/ab/cd/loud-newt bbb\n"
        if command[:2] == ("git", "show"):
            return {"aaa": models(0.5, 0.6), "bbb": models(0.8, 0.7)}[command[2].split(":")[0]]
        return ""

    for module in (sweep, experiments):
        monkeypatch.setattr(module, "run", run)
    return commands


def test_the_best_on_validation_comes_first_and_what_failed_is_said(dvc, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["sweep", "--set", "a=1,10,-1", "b=2", "--jobs", "3"])
    with pytest.raises(InputError, match=r"1 of 3 experiments failed: `dvc queue logs pale-wren`"):
        sweep.main()
    options = ("--set-param", "a=1,10,-1", "--set-param", "b=2")
    assert dvc[0] == ("dvc", "exp", "run", "--queue", *options, "evaluate")
    assert dvc[1] == ("dvc", "exp", "run", "--run-all", "--jobs", "3")
    lines = capsys.readouterr().out.splitlines()
    first, second = (line.split() for line in lines[2:4])
    assert first[0] == "loud-newt" and first[-3:] == ["text-svm", "0.8000", "0.9000"]
    assert "classifiers.svm.C=10," in first and "classifiers.svm.gamma=2" in first
    assert second[0] == "tidy-moth" and second[-3:] == ["multimodal-svm", "0.6000", "0.9000"]
    assert lines[-1].endswith("dvc exp apply loud-newt, then dvc repro")


def test_without_a_grid_those_that_are_worth_it_are_run(dvc, monkeypatch):
    monkeypatch.setattr("sys.argv", ["sweep"])
    with pytest.raises(InputError, match="pale-wren"):
        sweep.main()
    queued = [command for command in dvc if "--queue" in command]
    assert [command[5::2] for command in queued] == [tuple(grid) for grid in sweep.GRIDS]
