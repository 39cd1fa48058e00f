"""An image network while PyTorch trains it."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from stages.classifiers.base.partly_trained import PartlyTrained
from stages.classifiers.base.saved_images import SavedImages
from stages.classifiers.base.trainable_images import trainable_images
from stages.common.image_network import ImageNetwork
from stages.common.image_steps import taking_bytes
from stages.common.images import DEFAULT_SIZE, Pixels, open_jpeg
from stages.common.keras_network import KerasNetwork

Jpegs = Sequence[bytes | None]


class TunedImages:
    """A network of which the last `layers` are trained, or all if that is None, on a device.

    With `lora`, matrices of that rank are trained in their place. With `mirrors`, half of the
    images are mirrored while they train it, drawn anew each time.
    """

    what = "images"

    def __init__(
        self,
        network: ImageNetwork | KerasNetwork,
        layers: int | None,
        mirrors: bool,
        device: str = "cpu",
        lora: int | None = None,
    ) -> None:
        import torch

        self._network = trainable_images(network)
        self._module = _unit_length(self._network.module)
        self._mirrors = mirrors
        noise = np.random.default_rng(0).integers(0, 256, (DEFAULT_SIZE, DEFAULT_SIZE, 3), np.uint8)
        example = self._pixels([noise])
        with torch.no_grad():
            self.n_features: int = self._module(example).shape[1]
        self._shape, self._device = example.shape[1:], device
        shown = torch.zeros_like(example)
        self.trained = PartlyTrained(
            self._module,
            layers,
            network.model,
            device,
            (example,),
            (shown,),
            lora,
            of_layers=self._network.layers,
        )

    def prepare(self, inputs: Jpegs) -> Jpegs:
        """Return the images as they are: they are decoded when they are needed."""
        return list(inputs)

    def lengths(self, prepared: Jpegs) -> np.ndarray:
        """Return one length for all images, of shape (n,): any may be in one batch."""
        return np.zeros(len(prepared))

    def vectors(self, prepared: Jpegs, is_training: bool) -> Any:
        """Return a tensor of shape (n, size): vectors of unit length, zeros where no image is."""
        import torch

        mirrored = [False] * len(prepared)
        if is_training and self._mirrors:
            mirrored = (torch.rand(len(prepared)) < 0.5).tolist()
        keys = list(zip(prepared, mirrored, strict=True))

        def arguments(rows: Sequence[int]) -> tuple[Any]:
            return (self._pixels([_image(*keys[row]) for row in rows]).to(self._device),)

        shown = torch.zeros((len(keys), *self._shape), device=self._device)
        found = self.trained.run(keys, arguments, (shown,), is_training)
        there = torch.tensor([bool(jpeg) for jpeg in prepared], device=self._device)
        return found * there[:, None]

    def saved(self) -> SavedImages:
        """Return the network as it is saved and predicts."""
        example = np.zeros((1, *self._shape), dtype=np.float32)
        found = self._network
        model = taking_bytes(found.convert(self.trained.merged(), example), found.table)
        return SavedImages(model, found.steps).reloaded()

    def _pixels(self, images: Sequence[Pixels]) -> Any:
        """Return what the network takes of images, float32 of shape (n, 3, height, width)."""
        import torch

        steps, table = self._network.steps, self._network.table
        planes = np.concatenate([steps.pixels(image)[0] for image in images])
        numbers = np.stack([table[i][planes[..., i]] for i in range(3)], axis=1)
        return torch.from_numpy(numbers)


def _image(jpeg: bytes | None, is_mirrored: bool) -> Pixels:
    """Return an image, mirrored if so; a black one where there is none."""
    if not jpeg:
        return np.zeros((DEFAULT_SIZE, DEFAULT_SIZE, 3), dtype=np.uint8)
    image = open_jpeg(jpeg)
    return np.ascontiguousarray(image[:, ::-1]) if is_mirrored else image


def _unit_length(module: Any) -> Any:
    """Return a module that gives a module's output at unit length."""
    import torch

    class UnitLength(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = module

        def forward(self, pixel_values: Any) -> Any:
            return torch.nn.functional.normalize(self.inner(pixel_values))

    return UnitLength()
