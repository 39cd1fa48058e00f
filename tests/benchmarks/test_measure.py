"""What the benchmarks take on their command lines."""

import sys

import pytest

from benchmarks import clock


@pytest.mark.parametrize("given", ["0", "-1", "two", "1.5"])
def test_a_number_of_rounds_that_measures_nothing_is_refused_in_a_line(monkeypatch, capsys, given):
    monkeypatch.setattr(sys, "argv", ["clock", "--rounds", given])
    with pytest.raises(SystemExit):
        clock.main()
    said = capsys.readouterr().err
    assert said.endswith(f"argument --rounds: {given}: give a whole number, 1 or more\n")
