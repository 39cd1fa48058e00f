"""A sweep names the experiment that is best on validation, and those that failed."""

import json
import os
import subprocess
import sys

import pytest
from helpers.repository import TOP

from stages.common.errors import InputError
from tools import experiments, sweep

NAMES = {"a=1": "tidy-moth", "a=10": "loud-newt", "a=-1": None}  # of experiments; None fails


def models(text: float, both: float) -> str:
    def entry(macro_f1: float):
        metrics = {"accuracy": 0.9, "macro_f1": macro_f1, "share_with_input": 1.0}
        # On test products all are the other way round, which nothing may look at.
        return {"svm": {"validation": metrics, "macro_f1": 1 - macro_f1}, "weights": {}}

    return json.dumps({"text": entry(text), "multimodal": entry(both)})


@pytest.fixture
def dvc(monkeypatch):
    """What `dvc` and `git` say of a sweep: the commands that they are given."""
    commands = []

    def run(*command: str) -> str:
        commands.append(command)
        if "for-each-ref" in command:
            return "refs/exps/ab/cd/tidy-moth aaa\nrefs/exps/ab/cd/loud-newt bbb\n"
        if command[:2] == ("git", "show"):
            return {"aaa": models(0.5, 0.6), "bbb": models(0.8, 0.7)}[command[2].split(":")[0]]
        name = NAMES.get(command[5], "tidy-moth")
        if name is None:
            raise InputError("dvc exp run --temp fails: C is below 0")
        return f"Ran experiment(s): {name}\nApply it"

    monkeypatch.setattr(experiments, "run", run)
    return commands


def overrides(commands: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Return what each experiment is run with."""
    ran = [command for command in commands if command[0] == "dvc"]
    for command in ran:
        assert command[:4] == ("dvc", "exp", "run", "--temp") and command[-1] == "evaluate"
        assert set(command[4:-1:2]) == {"--set-param"}
    return [command[5:-1:2] for command in ran]


def test_the_best_on_validation_comes_first_and_what_failed_is_said(dvc, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["sweep", "--set", "a=-1,1,10", "b=2"])
    with pytest.raises(InputError, match=r"^1 of 3 experiments failed$"):
        sweep.main()
    assert overrides(dvc) == [("a=-1", "b=2"), ("a=1", "b=2"), ("a=10", "b=2")]
    said, *rows = capsys.readouterr().out.splitlines()
    assert said == "a=-1, b=2: dvc exp run --temp fails: C is below 0"
    first, second = (line.split() for line in rows[2:4])
    assert first[:3] == ["loud-newt", "a=10,", "b=2"]
    assert first[-4:] == ["text-svm", "0.8000", "0.9000", "1.0000"]
    assert second[0] == "tidy-moth"
    assert second[-4:] == ["multimodal-svm", "0.6000", "0.9000", "1.0000"]


def test_a_product_that_a_model_cannot_see_counts_as_a_mistake_between_experiments_too():
    sees_most = experiments.Result("tidy-moth", "a=1", "text-svm", 0.95, 0.95, 0.94)
    sees_all = experiments.Result("loud-newt", "a=10", "multimodal-svm", 0.93, 0.93, 1.0)
    said = experiments.table([sees_most, sees_all])
    first, second = (line.split() for line in said.splitlines()[2:4])
    assert (first[0], second[0]) == ("loud-newt", "tidy-moth")
    assert second[-3:] == ["0.9500", "0.9500", "0.9400"]
    assert "dvc exp apply loud-newt" in said


def test_after_ctrl_c_it_names_the_best_of_those_that_were_done(dvc, monkeypatch, capsys):
    def stopped(*command: str) -> str:
        if "a=10" in command:
            raise KeyboardInterrupt
        return said(*command)

    said = experiments.run
    monkeypatch.setattr(experiments, "run", stopped)
    monkeypatch.setattr("sys.argv", ["sweep", "--set", "a=1,10"])
    with pytest.raises(KeyboardInterrupt):
        sweep.main()
    assert "dvc exp apply tidy-moth" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("module", "go_on"),
    [
        ("tools.sweep", "`dvc exp show` lists the experiments that were done"),
        ("tools.search", "run the same command again to go on where it stopped"),
        ("tools.review", "run the same command again"),
    ],
)
def test_after_ctrl_c_a_tool_says_how_to_go_on_with_it(tmp_path, module, go_on):
    (tmp_path / "params.yaml").symlink_to(TOP / "params.yaml")
    stop = "import runpy, subprocess\ndef run(*a, **k): raise KeyboardInterrupt\n"
    start = f"subprocess.run = run\nrunpy.run_module('{module}', run_name='__main__')\n"
    ended = subprocess.run(
        [sys.executable, "-c", stop + start],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(TOP)},
        capture_output=True,
        text=True,
    )
    assert ended.stderr.splitlines()[-1] == f"interrupted: {go_on}"


def test_without_a_grid_those_that_are_worth_it_are_run(dvc, monkeypatch):
    monkeypatch.setattr("sys.argv", ["sweep"])
    sweep.main()
    ran = overrides(dvc)
    assert len(ran) == len(set(ran)) == 9 + 3 + 3 + 3
    assert ("classifiers.svm.C=300", "classifiers.svm.gamma=0.1") in ran
    assert ("text.encoders=[minilm,ngrams]",) in ran


@pytest.mark.parametrize("grid", ["classifiers.svm.C", "classifiers.svm.C=[1,", "svm.C=glob(*)"])
def test_what_is_no_grid_is_named_before_anything_is_run(dvc, monkeypatch, grid):
    monkeypatch.setattr("sys.argv", ["sweep", "--set", "a=1,10", "--set", grid, "b=2"])
    with pytest.raises(InputError) as raised:
        sweep.main()
    assert str(raised.value) == f"--set {grid} b=2 is no grid: give values, as in KEY=1,10"
    assert dvc == []


@pytest.mark.parametrize("again", ["a=2", "++a=2"])
def test_a_parameter_that_a_grid_sets_twice_is_refused(dvc, monkeypatch, again):
    monkeypatch.setattr("sys.argv", ["sweep", "--set", "b=1", "--set", "a=1", again])
    with pytest.raises(InputError) as raised:
        sweep.main()
    assert str(raised.value) == f"--set {again}: a is set twice, give all its values at once"
    assert dvc == []


def test_two_grids_may_set_one_parameter(dvc, monkeypatch):
    monkeypatch.setattr("sys.argv", ["sweep", "--set", "a=1", "--set", "a=10", "b=2"])
    sweep.main()
    assert overrides(dvc) == [("a=1",), ("a=10", "b=2")]
