"""A logistic regression says where it needs more iterations."""

import numpy as np
import pytest
from helpers.repository import TOP

from stages.classifiers.logistic_regression import Classifier, _say_limit
from stages.params import load_params

SETTINGS = load_params(TOP / "params.yaml").classifiers["logistic_regression"]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("max_iter", "lines"), [(2, 1), (1000, 0)])
def test_one_line_names_the_setting_where_iterations_were_too_few(max_iter, lines, capsys):
    _say_limit.cache_clear()
    rng = np.random.default_rng(0)
    rows, labels = rng.normal(size=(60, 5)).astype(np.float32), np.tile(["a", "b", "c"], 20)
    settings = SETTINGS.model_copy(update={"max_iter": max_iter})
    for _ in range(2):  # models of one process
        Classifier(settings, 3, {"block": 1.0}).fit({"block": rows}, labels)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == lines
    assert all("raise classifiers.logistic_regression.max_iter" in line for line in said)
