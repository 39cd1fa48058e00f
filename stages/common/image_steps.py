"""What an image processor of Transformers does, in steps that need no Transformers.

Most resize an image, cut out its centre, and then map each byte of a colour to a number. The first
two are done here as Pillow and the processor do them; the third is a table in the network itself,
which thus takes bytes. The numbers are the processor's own, to the bit: what they are is asked of
it, and that the steps are all that it does is tried on images.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from PIL.Image import Resampling

from stages.common.files import write_json
from stages.common.images import DEFAULT_SIZE, Pixels, resize
from stages.common.openvino import import_openvino

FILE = "image.json"
_TRIED = ((224, 224), (320, 320), (61, 61), (150, 97))  # sizes of the images that are tried


@dataclass(frozen=True)
class ImageSteps:
    """Resize an image to `width` and `height`, or its shorter side to `shortest_edge`; then crop.

    `crop_width` and `crop_height` are of the part in the middle that is kept.
    """

    resample: int
    width: int | None = None
    height: int | None = None
    shortest_edge: int | None = None
    crop_width: int | None = None
    crop_height: int | None = None

    def pixels(self, image: Pixels) -> tuple[np.ndarray]:
        """Return what the network takes of an RGB image, uint8 of shape (1, height, width, 3)."""
        given = image.shape[1], image.shape[0]
        size = self.resized(given)
        part = self.crop(*size)
        if given == size and part == (0, 0, *size):
            return (image[None],)
        changed = PIL.Image.fromarray(image)
        if given != size:
            changed = changed.resize(size, Resampling(self.resample))
        return (np.asarray(changed.crop(part))[None],)

    def resized(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return the width and height to which an image of a size is resized."""
        if self.shortest_edge is None:
            return self.width or 0, self.height or 0
        width, height = (int(self.shortest_edge * side / min(size)) for side in size)
        return width, height

    def crop(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Return the left, top, right and bottom of the part of a resized image that is kept."""
        if self.crop_width is None or self.crop_height is None:
            return 0, 0, width, height
        left, top = (width - self.crop_width) // 2, (height - self.crop_height) // 2
        return left, top, left + self.crop_width, top + self.crop_height

    def save(self, folder: Path) -> None:
        """Write the steps into `folder`."""
        write_json(folder / FILE, asdict(self))


def read_steps(folder: Path) -> ImageSteps | None:
    """Read what `save` wrote; None where nothing was."""
    path = folder / FILE
    return ImageSteps(**json.loads(path.read_bytes())) if path.is_file() else None


def pixel_values(processor: Any, image: Pixels, **options: Any) -> np.ndarray:
    """Return what a processor makes of an image, float32 of shape (1, 3, height, width)."""
    if not getattr(processor, "do_resize", True):
        image = resize(image, DEFAULT_SIZE, DEFAULT_SIZE)
    tensors = "pt" if hasattr(processor, "val_transforms") else "np"  # timm's gives no other
    found = processor(PIL.Image.fromarray(image), return_tensors=tensors, **options)
    return np.asarray(found["pixel_values"])


def steps_of(processor: Any) -> tuple[ImageSteps, np.ndarray] | None:
    """Return a processor's steps and its table of bytes, float32 of shape (3, 256).

    None where these do not give what the processor does.
    """
    try:
        steps, table = _described(processor), _byte_table(processor)
        rng = np.random.default_rng(0)
        for width, height in _TRIED:
            image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
            planes = steps.pixels(image)[0].transpose(0, 3, 1, 2)
            found = np.stack([table[i][planes[:, i]] for i in range(3)], axis=1)
            if not np.array_equal(found, pixel_values(processor, image)):
                return None
    except (TypeError, ValueError, KeyError, AttributeError, IndexError):
        return None  # a processor of another make
    return steps, table


def taking_bytes(model: Any, table: np.ndarray) -> Any:
    """Return a network of numbers, [1, 3, height, width], made to take bytes by a table.

    It then takes uint8 [1, height, width, 3].
    """
    ov = import_openvino()
    ops = ov.opset13
    old = model.get_parameters()[0]
    _, _, height, width = old.get_output_shape(0)
    image = ops.parameter([1, height, width, 3], np.uint8, name="image")
    planes = ops.transpose(image, np.array([0, 3, 1, 2]))
    starts = np.arange(3, dtype=np.int32).reshape(1, 3, 1, 1) * 256
    places = ops.add(ops.convert(planes, "i32"), ops.constant(starts))
    values = ops.gather(ops.constant(table.ravel()), places, ops.constant(np.int32(0)))
    for user in old.output(0).get_target_inputs():
        user.replace_source_output(values.output(0))
    model.add_parameters([image])
    model.remove_parameter(old)
    model.validate_nodes_and_infer_types()
    return model


def _described(processor: Any) -> ImageSteps:
    """Return the steps that a processor's settings describe."""
    resample = int(processor.resample)
    if not processor.do_resize:
        return ImageSteps(int(Resampling.BICUBIC), DEFAULT_SIZE, DEFAULT_SIZE)
    size = dict(processor.size)
    edge = size.get("shortest_edge")
    crop = {}
    if getattr(processor, "do_center_crop", False):
        wanted = dict(processor.crop_size)
        crop = {"crop_width": wanted["width"], "crop_height": wanted["height"]}
    if edge is None:
        return ImageSteps(resample, size["width"], size["height"], None, **crop)
    if hasattr(processor, "crop_pct"):  # as ConvNeXt's
        if edge >= 384:
            return ImageSteps(resample, edge, edge, None, **crop)
        return ImageSteps(resample, None, None, int(edge / processor.crop_pct), edge, edge)
    return ImageSteps(resample, None, None, edge, **crop)


def _byte_table(processor: Any) -> np.ndarray:
    """Return what a processor makes of each byte of each colour, float32 of shape (3, 256)."""
    squares = np.repeat(np.arange(256, dtype=np.uint8), 3).reshape(16, 16, 3)
    options = {"do_resize": False, "do_center_crop": False}
    found = processor(PIL.Image.fromarray(squares), return_tensors="np", **options)
    values = np.asarray(found["pixel_values"])
    if values.dtype != np.float32:
        raise TypeError("the processor gives no float32")
    return values.reshape(3, 256)
