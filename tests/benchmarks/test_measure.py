"""What the benchmarks take on their command lines."""

import sys
from types import ModuleType

import pytest

from benchmarks import agreement, batch_memory, clock, incremental, precision, scale, serving


def refused(monkeypatch, capsys, benchmark: ModuleType, *options: str) -> str:
    """Return what a benchmark says of options that it refuses before it measures anything."""
    monkeypatch.setattr(sys, "argv", ["benchmark", *options])
    with pytest.raises(SystemExit):
        benchmark.main()
    return capsys.readouterr().err


@pytest.mark.parametrize("given", ["0", "-1", "two", "1.5"])
def test_a_number_of_rounds_that_measures_nothing_is_refused_in_a_line(monkeypatch, capsys, given):
    said = refused(monkeypatch, capsys, clock, "--rounds", given)
    assert said.endswith(f"argument --rounds: {given}: give a whole number, 1 or more\n")


@pytest.mark.parametrize(
    ("benchmark", "option"),
    [(agreement, "--model"), (serving, "--model"), (serving, "--text-model")],
)
def test_a_folder_without_a_model_is_refused_in_a_line(monkeypatch, capsys, benchmark, option):
    said = refused(monkeypatch, capsys, benchmark, option, "nothing")
    assert f"argument {option}: nothing holds no model" in said


def test_a_format_that_is_never_written_is_refused(monkeypatch, capsys):
    said = refused(monkeypatch, capsys, batch_memory, "--formats", "xlsx")
    assert "argument --formats: invalid choice: 'xlsx'" in said


def test_products_of_which_no_whole_one_is_new_are_refused(monkeypatch, capsys):
    said = refused(monkeypatch, capsys, incremental, "--products", "99")
    assert said.endswith("error: --products: 1 % of fewer than 100 is none, give 100 or more\n")


def test_fewer_products_than_the_demo_draws_are_refused_in_a_line(monkeypatch, capsys):
    said = refused(monkeypatch, capsys, scale, "--products", "1000", "199")
    assert said.endswith("error: --products: the demo's source draws 200 or more\n")


def test_a_stage_that_fails_says_why(tmp_path):
    with pytest.raises(
        SystemExit, match=r"(?s)stages.embed_text of minilm failed:\n.*params\.yaml"
    ):
        incremental.run(tmp_path, "embed_text", "minilm")


def test_one_product_in_one_round_has_figures(capsys):
    ways = (serving.HTTP, serving.PYTHON, serving.NETWORKS)
    serving.report_one("text", dict.fromkeys(ways, lambda i: None), 1, 1)
    assert capsys.readouterr().out.count(" ms (p95 ") == 3


@pytest.mark.parametrize("given", ["seed", "nothing.C=1", "seed.C=1", "seed=[1"])
def test_what_sets_no_parameter_is_refused_before_the_pipeline_runs(monkeypatch, capsys, given):
    said = refused(monkeypatch, capsys, precision, "--set", given)
    assert said.endswith(f"--set {given}: give KEY=VALUE, the key as it is in params.yaml\n")
