"""A network in an ONNX file of the user's: a picture in, a vector out."""

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL.Image import Image
from pydantic import Field

from stages.common.errors import InputError
from stages.common.settings import Sha256
from stages.encoders.backends.selection import Backend
from stages.encoders.settings import ImageEncoderSettings
from stages.encoders.weights.manifest import Manifest, check_sha256, digest

WEIGHTS_FILE = "model.onnx"


class Settings(ImageEncoderSettings):
    """A network in a file of the user's: an image in, a vector out."""

    kind: Literal["onnx"]
    path: Path = Field(strict=False)
    sha256: Sha256 | None = None
    mean: tuple[float, float, float] | None = Field(default=None, strict=False)
    std: tuple[float, float, float] | None = Field(default=None, strict=False)


def fetch(settings: Settings, folder: Path, policy: str, seed: int) -> Manifest:
    """Copy the file into `folder`, having checked that it is a network of the kind that fits.

    Raises InputError where it is not, or where its sha256 is not the encoder's.
    """
    if not settings.path.is_file():
        raise InputError(f"the ONNX file {settings.path} is not there")
    shutil.copyfile(settings.path, folder / WEIGHTS_FILE)
    found = digest(folder, WEIGHTS_FILE)
    check_sha256(found, settings.sha256, str(settings.path))
    load(settings, folder, Backend("openvino", "float32"))
    return Manifest("pretrained", str(settings.path), None, found)


def load(settings: Settings, folder: Path, engine: Backend) -> "OnnxImages":
    """Make an encoder of the file that `fetch` put into `folder`."""
    return OnnxImages(settings, folder / WEIGHTS_FILE, engine)


class OnnxImages:
    """A network that turns pictures into vectors, its normalisation put into the graph."""

    def __init__(self, settings: Settings, path: Path, engine: Backend) -> None:
        from stages.encoders.backends.openvino import OpenVinoNetwork, ov

        try:
            model = ov.Core().read_model(path)
        except RuntimeError as error:
            raise InputError(
                f"{settings.path} is no ONNX file that can be read: {_last_line(error)}"
            ) from None
        if len(model.inputs) != 1 or len(model.input(0).get_partial_shape()) != 4:
            shapes = [str(entry.get_partial_shape()) for entry in model.inputs]
            raise InputError(
                f"{settings.path} takes {shapes}: it must take one batch of pictures, "
                f"[batch, height, width, 3] or [batch, 3, height, width]"
            )
        shape = model.input(0).get_partial_shape()
        channels_first = shape[3] != 3
        if channels_first and shape[1] != 3:
            raise InputError(f"{settings.path} takes {shape}: neither axis 1 nor 3 is of 3 colours")
        height, width = (2, 3) if channels_first else (1, 2)
        self._width, self._height = (
            224 if shape[axis].is_dynamic else shape[axis].get_length() for axis in (width, height)
        )
        sizes = (3, self._height, self._width) if channels_first else (self._height, self._width, 3)
        try:
            model.reshape([1, *sizes])
        except RuntimeError as error:
            raise InputError(
                f"{settings.path} does not take pictures one by one: {_last_line(error)}"
            ) from None
        outputs = [output.get_partial_shape() for output in model.outputs]
        if len(outputs) != 1 or len(outputs[0]) != 2 or outputs[0].is_dynamic:
            raise InputError(
                f"{settings.path} gives {[str(output) for output in outputs]}: it must give one "
                f"vector of fixed size per picture, [batch, size]"
            )
        model = _with_normalisation(ov, model, settings, channels_first)
        self._network = OpenVinoNetwork(model, engine)
        self.size = self._network.size

    def encode(self, pictures: Iterable[Image]) -> Iterator[np.ndarray]:
        """Yield a float32 vector of shape (size,) for each RGB picture, in their order."""
        return self._network.run(self._pixels(picture) for picture in pictures)

    def _pixels(self, picture: Image) -> tuple[np.ndarray]:
        if picture.size != (self._width, self._height):
            picture = picture.resize((self._width, self._height))
        return (np.asarray(picture)[None],)


def _with_normalisation(ov: Any, model: Any, settings: Settings, channels_first: bool) -> Any:
    """Make the network take uint8 pictures of layout NHWC, whatever it takes itself."""
    takes_bytes = model.input(0).element_type == ov.Type.u8
    given = [value is not None for value in (settings.mean, settings.std)]
    if any(given) if takes_bytes else not all(given):
        raise InputError(
            f"{settings.path} takes {model.input(0).element_type.to_string()}: "
            + (
                "leave `mean` and `std` out, its graph scales the bytes itself"
                if takes_bytes
                else "give the encoder `mean` and `std`, of colours from 0 to 1 as it was trained"
            )
        )
    steps = ov.preprocess.PrePostProcessor(model)
    picture = steps.input(0)
    picture.tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
    picture.model().set_layout(ov.Layout("NCHW" if channels_first else "NHWC"))
    if not takes_bytes:
        picture.preprocess().convert_element_type(ov.Type.f32)
        picture.preprocess().mean([255 * mean for mean in settings.mean])
        picture.preprocess().scale([255 * std for std in settings.std])
    return steps.build()


def _last_line(error: RuntimeError) -> str:
    """Return the line in which OpenVINO says what is wrong."""
    return str(error).strip().splitlines()[-1]
