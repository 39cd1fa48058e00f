from dataclasses import replace

import numpy as np
import pytest
from helpers.held_out_products import held_out
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.model_selection import cross_val_predict

from stages.evaluation.label_issues import (
    audited_products,
    count_wrong_labels,
    doubted_labels,
    issue_rows,
)
from stages.evaluation.metrics import LabeledPredictions
from stages.evaluation.predictions import Model

CLASSES = [f"class {i}" for i in range(6)]


@pytest.fixture(scope="module")
def flipped():
    """Out-of-fold predictions, 5 % of their labels flipped, and which ones those are."""
    features, labels = make_classification(  # of which 95 % are told apart
        1500,
        n_features=20,
        n_informative=12,
        n_redundant=0,
        n_classes=6,
        n_clusters_per_class=1,
        class_sep=2.0,
        flip_y=0,
        random_state=0,
    )
    rng = np.random.default_rng(0)
    chosen = rng.choice(len(labels), len(labels) // 20, replace=False)
    labels[chosen] = (labels[chosen] + rng.integers(1, 6, size=len(chosen))) % 6
    model = LogisticRegression(C=10.0, max_iter=500)
    probabilities = cross_val_predict(model, features, labels, cv=5, method="predict_proba")
    names = [CLASSES[i] for i in labels]
    predictions = LabeledPredictions.from_labels(CLASSES, names, probabilities)
    return predictions, np.isin(np.arange(len(labels)), chosen)


def test_flipped_labels_come_first(flipped):
    predictions, wrong = flipped
    found = doubted_labels(predictions)
    ranks = np.zeros(len(wrong))
    ranks[found] = np.arange(len(found), 0, -1)
    assert average_precision_score(wrong, ranks) >= 0.8


def test_their_number_is_estimated(flipped):
    predictions, wrong = flipped
    assert wrong.sum() / 2 < count_wrong_labels(predictions) < 2 * wrong.sum()


def test_what_the_model_agrees_with_is_not_listed(flipped):
    predictions, _ = flipped
    assert not predictions.correct[doubted_labels(predictions)].any()


def test_labels_that_are_right_give_an_empty_list():
    predictions = held_out([0, 1, 2] * 10, [0, 1, 2] * 10).calibrated
    assert doubted_labels(predictions).tolist() == []
    assert count_wrong_labels(predictions) == 0


def test_a_row_suggests_another_label_and_says_whether_it_is_likely():
    y_true = [0, 1, 2] * 20
    y_pred = [2, 0, *y_true[2:]]
    products = held_out(y_true, y_pred, [0.9, 0.4, *[0.8] * 58])
    rows = issue_rows(products, {sku: f"Product {sku}" for sku in products.skus.tolist()})
    assert rows[0] == {
        "rank": 1,
        "suspect": "yes",
        "sku": "s00",
        "name": "Product s00",
        "label": "c0",
        "suggested_label": "c2",
        "label_probability": 0.05,
        "suggested_probability": 0.9,
    }
    assert [(row["sku"], row["suspect"]) for row in rows[1:]] == [("s01", "no")]


@pytest.mark.parametrize(("folds", "audits"), [([1] * 5, 5), ([1, 1, 2, 1, 2], 3)])
def test_with_one_fold_validation_products_are_audited_too(folds, audits):
    products = held_out([0, 1, 2, 0, 1], [0, 1, 2, 0, 1], folds=folds)
    parts = {
        "test": products.select_rows(np.arange(3)),
        "validation": products.select_rows(np.arange(3, 5)),
    }
    model = Model("text", "svm", **parts, ablated={}, n_without_input=0, weights={})
    skus = audited_products(model).skus.tolist()
    assert len(set(skus)) == len(skus) == audits


def test_a_label_that_the_model_did_not_know_is_not_doubted():
    y_true, y_pred = [0, 1, 2] * 10, [0, 1, 0] * 10
    products = held_out(y_true, y_pred)
    probabilities = products.calibrated.probabilities.copy()
    probabilities[2::3, 2] = 0
    known = LabeledPredictions(products.calibrated.classes, np.array(y_true), probabilities)
    parts = {
        name: replace(products, calibrated=known).select_rows(rows)
        for name, rows in (("test", np.arange(15)), ("validation", np.arange(15, 30)))
    }
    model = Model("text", "svm", **parts, ablated={}, n_without_input=0, weights={})
    audited = audited_products(model)
    assert len(audited) == 20 and set(audited.calibrated.y_true.tolist()) == {0, 1}
    assert issue_rows(audited, {sku: sku for sku in audited.skus.tolist()}) == []


def test_products_of_one_class_give_an_empty_list():
    products = held_out([1] * 6, [1, 1, 1, 1, 0, 2])
    assert issue_rows(products, {sku: sku for sku in products.skus.tolist()}) == []
