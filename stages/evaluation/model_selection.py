"""Which model is best: chosen on the validation products, never on the test products."""

from collections.abc import Iterable, Sequence

from stages.evaluation.predictions import Model


def best_on_validation(models: Iterable[Model]) -> Model:
    """Return the model with the highest macro F1 on validation; ties: accuracy, then the first."""
    return max(
        models, key=lambda model: [model.validation_scores[key] for key in ("macro_f1", "accuracy")]
    )


def best_between_modalities(models: Iterable[Model]) -> Model:
    """Return the best of the modalities' models, judged on all validation products.

    A product that lacks a model's inputs counts as a mistake of it: its metrics are multiplied with
    the share of products that it sees. A model of the few images that are clear is not the best
    model of a catalogue in which most products have none. Ties: the one that also judges products
    that lack an input, as new ones may, then the first.
    """

    def rank(model: Model) -> tuple[float, float, bool]:
        share, found = model.validation_share, model.validation_scores
        return share * found["macro_f1"], share * found["accuracy"], bool(model.ablated)

    return max(models, key=rank)


def best_by_modality(models: Sequence[Model]) -> dict[str, Model]:
    """Return the best model of each modality, in the order of params."""
    modalities = dict.fromkeys(model.modality for model in models)
    return {
        modality: best_on_validation(model for model in models if model.modality == modality)
        for modality in modalities
    }
