"""A model's file is loaded only if it can run no code, and depends on the model alone."""

import functools
import os
from typing import Any

import numpy as np
import pytest
from helpers.mutations import mutations
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from stages.classifiers.base.estimators import MODEL_FILE, SklearnClassifier
from stages.classifiers.logistic_regression import Classifier
from stages.common.errors import InputError


def dumps(content: Any) -> bytes:
    import skops.io

    return skops.io.dumps(content)


class RunsWhenLoaded:
    """What a pickle loader would run a command for."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("touch it_ran",)


@pytest.mark.parametrize(
    ("planted", "named"),
    [
        (os.system, "posix.system"),
        (functools.partial(os.system, "touch it_ran"), "posix.system"),
        (RunsWhenLoaded(), "RunsWhenLoaded"),
        (np.array([RunsWhenLoaded()], dtype=object), "RunsWhenLoaded"),
    ],
    ids=["function", "partial", "object", "array of objects"],
)
@pytest.mark.parametrize("place", ["estimator", "attribute"])
def test_a_file_that_might_run_code_is_refused(tmp_path, monkeypatch, planted, named, place):
    monkeypatch.chdir(tmp_path)
    estimator = LogisticRegression()
    estimator.planted = planted
    content = planted if place == "estimator" else estimator
    (tmp_path / MODEL_FILE).write_bytes(dumps(content))
    with pytest.raises(InputError, match=rf"model\.skops is not loaded, .*{named}"):
        Classifier.load(tmp_path)
    assert not (tmp_path / "it_ran").exists()


def test_a_kind_of_classifier_names_the_types_that_its_estimator_keeps(tmp_path):
    class Boosting(SklearnClassifier):
        def build(self, n: int, n_features: int) -> Any:
            return HistGradientBoostingClassifier(max_iter=2)

    class Trusting(Boosting):
        trusted = ("sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",)

    X = {"minilm": np.eye(4, dtype=np.float32).repeat(25, axis=0)}
    labels = np.array(["a", "b", "a", "b"]).repeat(25)
    fitted = Boosting(None, 0, {"minilm": 1.0}).fit(X, labels)
    fitted.save(tmp_path)
    with pytest.raises(InputError, match=r"TreePredictor.* name those types in `trusted` of its"):
        Boosting.load(tmp_path)
    found = Trusting.load(tmp_path).predict_proba(X)
    np.testing.assert_array_equal(found, fitted.predict_proba(X))


def test_a_kind_of_classifier_may_keep_a_sparse_matrix_and_bytes(tmp_path):
    class Sparse(SklearnClassifier):
        trusted = ("scipy.sparse._csr.csr_matrix",)

        def build(self, n: int, n_features: int) -> Any:
            return LogisticRegression()

        def fit_estimator(self, estimator: Any, matrix: np.ndarray, y: np.ndarray) -> None:
            estimator.fit(matrix, y).sparsify()
            estimator.read_ = b"from these bytes"

    X, contents = {"minilm": np.eye(4, dtype=np.float32)}, []
    for _ in range(2):
        fitted = Sparse(None, 0, {"minilm": 1.0}).fit(X, np.array(["a", "b", "a", "b"]))
        fitted.save(tmp_path)
        contents.append((tmp_path / MODEL_FILE).read_bytes())
    found = Sparse.load(tmp_path).predict_proba(X)
    np.testing.assert_array_equal(found, fitted.predict_proba(X))
    assert contents[0] == contents[1]


@pytest.mark.parametrize("planted", [b"", b"PK\x05\x06" + bytes(18)])
def test_a_file_that_holds_no_classifier_is_refused(tmp_path, planted):
    (tmp_path / MODEL_FILE).write_bytes(planted)
    with pytest.raises(InputError, match=r"model\.skops holds no classifier"):
        Classifier.load(tmp_path)


def test_a_file_that_was_damaged_on_its_way_is_loaded_or_refused(tmp_path):
    estimator = LogisticRegression().fit(np.eye(4), [0, 1, 0, 1])
    content = dumps({"block_weights": {"minilm": 1.0}, "estimator": estimator})
    n_refused = 0
    for damaged in mutations(content, 200, seed=1):
        (tmp_path / MODEL_FILE).write_bytes(damaged)
        try:
            Classifier.load(tmp_path)
        except InputError as error:
            assert "model.skops" in str(error)
            n_refused += 1
    assert n_refused > 100


def test_an_estimator_without_its_block_weights_is_refused(tmp_path):
    (tmp_path / MODEL_FILE).write_bytes(dumps(LogisticRegression()))
    with pytest.raises(InputError, match=r"model\.skops holds no classifier"):
        Classifier.load(tmp_path)
