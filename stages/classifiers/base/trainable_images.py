"""An image network as PyTorch trains it: what it takes, in which layers, and how it is saved."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL.Image import Resampling

from stages.common.errors import InputError
from stages.common.image_network import ImageNetwork, load_image_module, load_processor
from stages.common.image_steps import ImageSteps, steps_of
from stages.common.keras_network import KerasNetwork, blocks_of, torch_module
from stages.common.openvino_conversion import exported_model, openvino_model


@dataclass(frozen=True)
class TrainableImages:
    """A module from numbers, float32 of shape (n, 3, height, width), to a vector of each image.

    The numbers are those that `table`, float32 of shape (3, 256), has for each byte of an image
    after its `steps`. `layers` has the parameters of each layer, where the module has no list of
    them. `convert` makes OpenVINO's network of one that was trained, by an example of its input.
    """

    module: Any
    steps: ImageSteps
    table: np.ndarray
    layers: Sequence[Sequence[Any]] | None
    convert: Callable[[Any, np.ndarray], Any]


def trainable_images(network: ImageNetwork | KerasNetwork) -> TrainableImages:
    """Load a network with its weights; raises InputError where it cannot be saved with a model."""
    if isinstance(network, KerasNetwork):
        return _of_keras(network)
    found = steps_of(load_processor(network.folder))
    if found is None:
        raise InputError(
            f"{network.model} has an image processor that cannot be saved with a model: tune "
            "another encoder"
        )

    def convert(module: Any, example: np.ndarray) -> Any:
        return openvino_model(module, [example])

    return TrainableImages(load_image_module(network.folder), *found, None, convert)


def _of_keras(network: KerasNetwork) -> TrainableImages:
    """Load a network of Keras, which has its own way from bytes to what its layers take."""
    import torch

    class ChannelsFirst(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = torch_module(network)

        def forward(self, pixel_values: Any) -> Any:
            return self.inner(pixel_values.permute(0, 2, 3, 1))

    module = ChannelsFirst()
    of_keras = module.inner.network
    blocks = [
        [
            variable.value
            for name in block
            for variable in of_keras.get_layer(name).trainable_variables
        ]
        for block in blocks_of(network)
    ]
    steps = ImageSteps(int(Resampling.BICUBIC), network.size, network.size)
    table = np.tile(np.arange(256, dtype=np.float32), (3, 1))
    return TrainableImages(module, steps, table, [one for one in blocks if one], exported_model)
