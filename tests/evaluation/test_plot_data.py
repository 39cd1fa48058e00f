from helpers.held_out_products import held_out

from stages.evaluation.plot_data import confident_mistakes, confused_pairs, confusion_table
from stages.evaluation.predictions import Model


def test_the_most_confused_pair_comes_first_with_its_most_confident_mistakes():
    y_true = [0, 0, 0, 0, 1, 2, 2]
    y_pred = [1, 1, 1, 1, 2, 2, 0]
    confidences = [0.5, 0.9, 0.7, 0.8, 0.99, 0.99, 0.6]
    pairs = confused_pairs(held_out(y_true, y_pred, confidences))
    assert [(*pair, examples.tolist()) for *pair, examples in pairs] == [
        (0, 1, 4, [1, 3, 2]),
        (1, 2, 1, [4]),
        (2, 0, 1, [6]),
    ]


def test_without_a_mistake_there_is_nothing_to_show():
    products = held_out([0, 1, 2], [0, 1, 2])
    assert confused_pairs(products) == []
    assert confident_mistakes(products).tolist() == []


def test_the_worst_mistake_is_the_most_confident():
    assert confident_mistakes(held_out([0, 0, 0], [1, 0, 2], [0.6, 0.99, 0.9])).tolist() == [2, 0]


def test_a_confusion_has_what_occurs_and_each_class_with_itself():
    products = held_out([0, 0, 0, 2], [0, 1, 1, 1])
    model = Model("text", "svm", products, products, {}, 0, {})
    names = products.calibrated.classes
    assert [(*row.values(),) for row in confusion_table(model).rows] == [
        (names[0], names[0], 1, 0.3333, "svm"),
        (names[0], names[1], 2, 0.6667, "svm"),
        (names[1], names[1], 0, 0.0, "svm"),
        (names[2], names[1], 1, 1.0, "svm"),
        (names[2], names[2], 0, 0.0, "svm"),
    ]
