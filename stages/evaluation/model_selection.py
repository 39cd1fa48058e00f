"""Which model is best: chosen on the validation products, never on the test products."""

from collections.abc import Iterable, Sequence

from stages.evaluation.predictions import Model


def best_on_validation(models: Iterable[Model]) -> Model:
    """Return the model with the highest macro F1 on validation; ties: accuracy, then the first."""
    return max(
        models, key=lambda model: [model.validation_scores[key] for key in ("macro_f1", "accuracy")]
    )


def best_by_modality(models: Sequence[Model]) -> dict[str, Model]:
    """Return the best model of each modality, in the order of params."""
    modalities = dict.fromkeys(model.modality for model in models)
    return {
        modality: best_on_validation(model for model in models if model.modality == modality)
        for modality in modalities
    }
