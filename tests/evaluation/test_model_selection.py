from helpers.held_out_products import held_out

from stages.evaluation.model_selection import best_between_modalities, best_on_validation
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


def test_between_modalities_a_product_that_a_model_cannot_see_is_a_mistake_of_it():
    few, many = [0, 1, 2, 0], [0, 1, 2, 0] * 10
    clear_images = held_out(few, few)
    texts = held_out(many, [*many[:-1], 1])
    models = [
        Model("image", "svm", clear_images, clear_images, {}, 36, {}, 36),
        Model("text", "svm", texts, texts, {}, 0, {}),
    ]
    assert best_on_validation(models).modality == "image"
    assert best_between_modalities(models).modality == "text"


def test_of_two_that_are_equal_the_one_that_can_do_without_an_input_is_best():
    same = held_out([0, 1, 2], [0, 1, 2])
    ablated = {"image": same, "text": same}
    both = Model("multimodal", "svm", same, same, ablated, 0, {})
    alone = [Model(name, "svm", same, same, {}, 0, {}) for name in ("image", "text")]
    assert best_between_modalities([*alone, both]) is both
    assert best_between_modalities(alone) is alone[0]
