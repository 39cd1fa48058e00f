"""Networks of Keras Applications: no top, average-pooled, each with its own preprocessing."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL.Image import Image

from stages.encoders.weights import (
    Manifest,
    check_sha256,
    digest,
    unavailable,
    warn_random,
)
from stages.errors import InputError
from stages.keras_variables import restore_variables, save_variables
from stages.params import KerasEncoder

WEIGHTS_FILE = "model.safetensors"
SHAPE = (224, 224, 3)


def fetch(settings: KerasEncoder, folder: Path, policy: str, seed: int) -> Manifest:
    """Put the weights into `folder`: from a path, from Keras' store, or drawn with `seed`.

    Raises InputError where there are none and `policy` is "pretrained", or where the encoder's
    sha256 is not that of what was found.
    """
    import keras

    kind, revision = "pretrained", None
    if settings.path is not None:
        if not settings.path.is_file():
            raise InputError(f"the weights {settings.path} of {settings.model} are not there")
        origin = str(settings.path)
        network = _network(settings, str(settings.path))
    else:
        origin = f"keras.applications.{settings.model}, imagenet"
        try:
            network = _network(settings, "imagenet")
        # Keras' get_file raises a bare Exception where its store cannot be reached.
        except Exception as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            if policy == "pretrained":
                raise unavailable(settings.model, reason, "set `weights: auto`") from None
            warn_random(settings.model, reason)
            keras.utils.set_random_seed(seed)
            kind, origin = "random", f"seed {seed}"
            network = _network(settings, None)
    save_variables(network, folder / WEIGHTS_FILE)
    found = digest(folder, WEIGHTS_FILE)
    check_sha256(found, settings.sha256, origin)
    return Manifest(kind, origin, revision, found)


def load(settings: KerasEncoder, folder: Path) -> "KerasImages":
    """Make an encoder of the weights that `fetch` put into `folder`."""
    return KerasImages(settings, folder)


class KerasImages:
    """A network of Keras Applications that turns pictures into vectors."""

    def __init__(self, settings: KerasEncoder, folder: Path) -> None:
        import openvino as ov
        import tensorflow as tf

        from stages.encoders.engine import Network

        network = _network(settings, None)
        restore_variables(network, folder / WEIGHTS_FILE)
        preprocess = _module(settings).preprocess_input

        def embed(pictures: Any) -> Any:
            # Each family has its own preprocessing, of numbers from 0 to 255: ResNet50's swaps red
            # and blue and subtracts ImageNet's means, and does not divide by 255.
            return network(preprocess(tf.cast(pictures, tf.float32)), training=False)

        signature = [tf.TensorSpec((1, *SHAPE), tf.uint8)]
        model = ov.convert_model(tf.function(embed, input_signature=signature))
        self._network = Network(model)
        self.size = self._network.size

    def encode(self, pictures: Iterable[Image]) -> Iterator[np.ndarray]:
        """Yield a float32 vector of shape (size,) for each 224×224 RGB picture, in their order."""
        return self._network.run((np.asarray(picture)[None],) for picture in pictures)


def _module(settings: KerasEncoder) -> Any:
    """Return the module of keras.applications that has the network's preprocessing."""
    import keras.applications as applications

    for module in vars(applications).values():
        if hasattr(module, settings.model) and hasattr(module, "preprocess_input"):
            return module
    known = sorted(name for name in vars(applications) if name[0].isupper())
    raise InputError(f"keras.applications has no {settings.model}; it has {', '.join(known)}")


def _network(settings: KerasEncoder, weights: str | None) -> Any:
    """Build the network: average-pooled, without its top; `weights` as Keras takes them."""
    build = getattr(_module(settings), settings.model)
    return build(weights=weights, include_top=False, pooling="avg", input_shape=SHAPE)
