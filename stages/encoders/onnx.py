"""A network in an ONNX file of the user's: an image in, a vector out."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from stages.common.errors import InputError
from stages.common.images import DEFAULT_SIZE, Pixels, resize
from stages.common.openvino import import_openvino
from stages.common.settings import Sha256
from stages.encoders.backends.base import Backend, Row
from stages.encoders.backends.openvino import MODEL_FILE, OpenVinoNetwork, exported_network
from stages.encoders.network_encoder import NetworkEncoder
from stages.encoders.onnx_file import last_line, read_onnx
from stages.encoders.settings import ImageEncoderSettings
from stages.encoders.weights.manifest import Manifest
from stages.encoders.weights.onnx import WEIGHTS_FILE, fetch_file

Mean = Annotated[float, Field(ge=0, le=1)]  # of a colour from 0 to 1, not to 255
Std = Annotated[float, Field(gt=0, le=1)]


class Settings(ImageEncoderSettings):
    """A network in a file of the user's.

    `mean` and `std` are those of the colours, from 0 to 1, that it was trained with; a network that
    takes bytes has neither.
    """

    kind: Literal["onnx"]
    path: Path = Field(strict=False)
    sha256: Sha256 | None = None
    mean: tuple[Mean, Mean, Mean] | None = Field(default=None, strict=False)
    std: tuple[Std, Std, Std] | None = Field(default=None, strict=False)


def fetch(settings: Settings, folder: Path) -> Manifest:
    """Copy the file into `folder` and check that it is a network that fits.

    Raises InputError where it does not, or where its sha256 is not the encoder's.
    """
    manifest = fetch_file(settings.path, settings.sha256, folder)
    load(settings, folder, Backend("openvino", "float32"))
    return manifest


def load(settings: Settings, folder: Path, backend: Backend) -> "OnnxEncoder":
    """Make an encoder of the file that `fetch` put into `folder`."""
    model, _ = convert(settings, folder)
    return OnnxEncoder(model, backend)


def convert(settings: Settings, folder: Path) -> tuple[Any, Path]:
    """Return OpenVINO's network of the file that `fetch` put into `folder`, and `folder`.

    The file is read as fast as a converted network, so none is kept. Raises InputError where it is
    no network from images to vectors.
    """
    if (folder / MODEL_FILE).is_file():
        return exported_network(folder), folder
    return _network(settings, folder / WEIGHTS_FILE), folder


class OnnxEncoder(NetworkEncoder):
    """A network that turns images into vectors, its normalisation put into the graph."""

    def __init__(self, model: Any, backend: Backend) -> None:
        super().__init__(OpenVinoNetwork(model, backend))
        _, self._height, self._width, _ = model.input(0).shape

    def prepare(self, one: Pixels) -> Row:
        """Return an RGB image in the network's size, uint8 of shape (1, height, width, 3)."""
        return (resize(one, self._width, self._height)[None],)


def _network(settings: Settings, path: Path) -> Any:
    """Read an ONNX file as a network that takes a uint8 image, [1, height, width, 3]."""
    model = read_onnx(path, settings.path)
    ranks = [entry.get_partial_shape().rank for entry in model.inputs]
    if len(ranks) != 1 or ranks[0].is_dynamic or ranks[0].get_length() != 4:
        shapes = [str(entry.get_partial_shape()) for entry in model.inputs]
        raise InputError(
            f"{settings.path} takes {shapes}: it must take one batch of images, "
            f"[batch, height, width, 3] or [batch, 3, height, width]"
        )
    shape = model.input(0).get_partial_shape()
    channels_first = shape[3] != 3
    if channels_first and shape[1] != 3:
        raise InputError(f"{settings.path} takes {shape}: neither axis 1 nor 3 is of 3 colours")
    height, width = (
        DEFAULT_SIZE if shape[axis].is_dynamic else shape[axis].get_length()
        for axis in ((2, 3) if channels_first else (1, 2))
    )
    try:
        model.reshape([1, 3, height, width] if channels_first else [1, height, width, 3])
    except RuntimeError as error:
        raise InputError(
            f"{settings.path} does not take images one by one: {last_line(error)}"
        ) from None
    outputs = [output.get_partial_shape() for output in model.outputs]
    if len(outputs) != 1 or outputs[0].is_dynamic or len(outputs[0]) != 2:
        raise InputError(
            f"{settings.path} gives {[str(output) for output in outputs]}: it must give one "
            f"vector of fixed size per image, [batch, size]"
        )
    return _with_normalisation(model, settings, channels_first)


def _with_normalisation(model: Any, settings: Settings, channels_first: bool) -> Any:
    """Make the network take uint8 images of layout NHWC, whatever it takes itself."""
    ov = import_openvino()
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
    image = steps.input(0)
    image.tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
    image.model().set_layout(ov.Layout("NCHW" if channels_first else "NHWC"))
    if settings.mean is not None and settings.std is not None:
        image.preprocess().convert_element_type(ov.Type.f32)
        image.preprocess().mean([255 * mean for mean in settings.mean])
        image.preprocess().scale([255 * std for std in settings.std])
    return steps.build()
