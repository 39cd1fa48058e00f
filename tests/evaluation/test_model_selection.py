from helpers.held_out_products import held_out

from stages.evaluation.model_selection import best_on_validation
from stages.evaluation.predictions import Model


def test_models_are_chosen_by_the_mean_of_their_folds():
    folds = [1] * 8 + [2] * 2
    y_true = [0, 1] * 5
    better_pooled = held_out(y_true, [*y_true[:8], 2, 2], folds=folds)
    better_by_fold = held_out(y_true, [2, 2, *y_true[2:6], 2, 2, *y_true[8:]], folds=folds)
    models = [
        Model("text", name, validation, validation, {}, 0, {})
        for name, validation in (("pooled", better_pooled), ("by fold", better_by_fold))
    ]
    assert best_on_validation(models).classifier == "by fold"
