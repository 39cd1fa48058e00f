"""Image networks of the Hugging Face hub, through Transformers, with their own image processor."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL.Image import Image

from stages.encoders import huggingface
from stages.encoders.weights import Manifest, digest, unavailable, warn_random
from stages.errors import InputError
from stages.params import HuggingFaceImageEncoder

# What a picture goes through where the weights are random and no processor came with them: the
# way of most networks that were trained on ImageNet.
_PLAIN_PROCESSOR = {
    "crop_pct": 0.875,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
    "size": {"shortest_edge": 224},
}


def fetch(settings: HuggingFaceImageEncoder, folder: Path, policy: str, seed: int) -> Manifest:
    """Put weights, configuration and image processor into `folder`.

    Where the hub is out of reach and `policy` is "auto", weights are drawn with `seed` for the
    encoder's `architecture`. Raises InputError where there are none to be had.
    """
    try:
        return huggingface.fetch(settings, folder)
    except huggingface.Unreachable as error:
        if policy == "pretrained" or settings.architecture is None:
            mend = "set `weights: auto` and the encoder's `architecture`"
            raise unavailable(settings.model, str(error), mend) from None
        warn_random(settings.model, str(error))
    import torch
    from transformers import AutoConfig, AutoModel, ConvNextImageProcessorPil

    huggingface.quiet()
    torch.manual_seed(seed)
    try:
        network = AutoModel.from_config(AutoConfig.for_model(settings.architecture))
    except ValueError:
        raise InputError(
            f"Transformers knows no architecture {settings.architecture!r}: name one of its "
            f"model types, such as convnextv2"
        ) from None
    network.save_pretrained(folder)
    ConvNextImageProcessorPil(**_PLAIN_PROCESSOR).save_pretrained(folder)
    return Manifest("random", f"seed {seed}", None, digest(folder, huggingface.WEIGHTS))


def load(settings: HuggingFaceImageEncoder, folder: Path) -> "HuggingFaceImages":
    """Make an encoder of what `fetch` put into `folder`."""
    return HuggingFaceImages(folder)


class HuggingFaceImages:
    """A network that turns pictures into its pooled output."""

    def __init__(self, folder: Path) -> None:
        import torch
        from transformers import AutoImageProcessor

        from stages.encoders.engine import Network, ov

        class Pooled(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.network = huggingface.network(folder, uses_pooler=True)

            def forward(self, pixel_values: Any) -> Any:
                return huggingface.pooled(self.network(pixel_values=pixel_values))

        pooled = Pooled()
        self._processor = huggingface.from_folder(AutoImageProcessor, folder, backend="pil")
        shape = tuple(self._pixels(_blank())[0].shape)
        example = torch.zeros(shape)
        pooled(example)  # what is wrong with the network is said here, in plainer words
        self._network = Network(ov.convert_model(pooled, example_input=example, input=[shape]))
        self.size = self._network.size

    def encode(self, pictures: Iterable[Image]) -> Iterator[np.ndarray]:
        """Yield a float32 vector of shape (size,) for each RGB picture, in their order."""
        return self._network.run(self._pixels(picture) for picture in pictures)

    def _pixels(self, picture: Image) -> tuple[np.ndarray]:
        return (np.asarray(self._processor(picture, return_tensors="np")["pixel_values"]),)


def _blank() -> Image:
    """Return a picture of the size that all of them have."""
    import PIL.Image

    return PIL.Image.new("RGB", (224, 224))
