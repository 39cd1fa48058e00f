"""A classifier that is the tuned network of a text encoder, and a linear layer on it."""

from typing import Any, Literal

from pydantic import NonNegativeFloat

from stages.classifiers.base.saved_text import SavedText
from stages.classifiers.base.tuned_classifier import TunedClassifier, TuningSettings
from stages.classifiers.base.tuned_text import TunedText, check_tunable
from stages.common.settings import Positive, PositiveFloat, Slug
from stages.common.text_network import TextNetwork


class TextSettings(TuningSettings):
    """See TuningSettings."""

    tunes = ("huggingface_text",)

    encoder: Slug = "minilm"
    layers: Positive | Literal["all"] = 3
    learning_rate: PositiveFloat = 5e-5
    max_epochs: Positive = 5
    contrastive: NonNegativeFloat = 0.5


class TextClassifier(TunedClassifier):
    """A linear layer, and a network of texts where a block has them."""

    saved_network = SavedText

    @staticmethod
    def tuned_network(settings: Any, network: TextNetwork, device: str) -> TunedText:
        """Return an encoder's network as PyTorch trains it on cpu or cuda.

        Raises InputError where it cannot be tuned.
        """
        check_tunable(network)
        return TunedText(network, settings.n_layers, device, settings.lora)
