"""What the benchmark of precisions says of its options."""

import sys

import pytest

from benchmarks import precision_rates


def test_fewer_inputs_than_int8_takes_are_refused_in_a_line(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["precision_rates", "--inputs", "19"])
    with pytest.raises(SystemExit):
        precision_rates.main()
    assert "error: --inputs: int8 takes 20 or more\n" in capsys.readouterr().err
