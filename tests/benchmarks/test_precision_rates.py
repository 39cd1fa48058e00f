"""What the benchmark of precisions says of its options."""

import sys

import pytest

from benchmarks import precision_rates


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--inputs", "19"], "error: --inputs: int8 takes 20 or more\n"),
        (["--precisions", "int8"], "error: --precisions: the others are compared with float32,"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_a_line(monkeypatch, capsys, options, said):
    monkeypatch.setattr(sys, "argv", ["precision_rates", *options])
    with pytest.raises(SystemExit):
        precision_rates.main()
    assert said in capsys.readouterr().err
