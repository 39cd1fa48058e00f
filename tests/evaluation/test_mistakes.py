from helpers.held_out_products import held_out

from stages.evaluation.mistakes import confused_pairs, worst_first


def test_the_most_confused_pair_comes_first_with_its_surest_mistakes():
    truth = [0, 0, 0, 0, 1, 2, 2]
    predicted = [1, 1, 1, 1, 2, 2, 0]
    sure = [0.5, 0.9, 0.7, 0.8, 0.99, 0.99, 0.6]
    pairs = confused_pairs(held_out(truth, predicted, sure))
    assert [(label, prediction, at.tolist()) for label, prediction, at in pairs] == [
        (0, 1, [1, 3, 2]),
        (1, 2, [4]),
        (2, 0, [6]),
    ]


def test_without_a_mistake_there_is_nothing_to_show():
    products = held_out([0, 1, 2], [0, 1, 2])
    assert confused_pairs(products) == []
    assert worst_first(products).tolist() == []


def test_the_worst_mistake_is_the_surest():
    assert worst_first(held_out([0, 0, 0], [1, 0, 2], [0.6, 0.99, 0.9])).tolist() == [2, 0]
