"""A classifier that is the tuned network of an image encoder, and a linear layer on it."""

from collections.abc import Collection, Mapping
from typing import Any, Literal

from pydantic import NonNegativeFloat

from stages.classifiers.base.saved_images import SavedImages
from stages.classifiers.base.tuned_classifier import TunedClassifier, TuningSettings
from stages.classifiers.base.tuned_images import TunedImages
from stages.common.image_network import ImageNetwork
from stages.common.keras_network import KerasNetwork
from stages.common.settings import Positive, PositiveFloat, Slug

JPEG_BYTES = 20_000  # of an image of 224 pixels, at most on average


class ImageSettings(TuningSettings):
    """See TuningSettings; with `mirrors`, half of the images are mirrored while they train it.

    Of a network whose layers are in stages, the last `layers` stages learn; of one of Keras, the
    last blocks.
    """

    tunes = ("huggingface_image", "keras")

    encoder: Slug = "convnextv2"
    layers: Positive | Literal["all"] = 1
    learning_rate: PositiveFloat = 1e-4
    max_epochs: Positive = 8
    contrastive: NonNegativeFloat = 0.0
    mirrors: bool = True

    def check_encoders(
        self, encoders: Mapping[str, Any], seen: Mapping[str, Collection[tuple[str, str]]]
    ) -> None:
        """Raise ValueError as TuningSettings does, or where Keras' network is to learn by LoRA."""
        super().check_encoders(encoders, seen)
        if self.lora is not None and encoders[self.encoder].kind == "keras":
            raise ValueError(
                f"encoder names {self.encoder}, of kind keras, which has no layers for `lora`: "
                "set lora to null"
            )

    def bytes_for(self, n: int) -> int:
        """Return how many bytes it holds to fit n products: their images."""
        return JPEG_BYTES * n


class ImageClassifier(TunedClassifier):
    """A linear layer, and a network of images where a block has them."""

    saved_network = SavedImages

    @staticmethod
    def tuned_network(
        settings: Any, network: ImageNetwork | KerasNetwork, device: str
    ) -> TunedImages:
        """Return an encoder's network as PyTorch trains it on cpu or cuda."""
        layers, mirrors = settings.n_layers, settings.mirrors
        return TunedImages(network, layers, mirrors, device, settings.lora)
