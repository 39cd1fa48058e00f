"""The steps that stand for an image processor give its numbers to the bit, or are not used."""

import numpy as np
import pytest
from helpers.example_images import example_images

from stages.common.image_steps import (
    pixel_values,
    read_steps,
    steps_of,
    taking_bytes,
)
from stages.common.images import resize
from stages.common.openvino import import_openvino


@pytest.fixture(scope="module")
def images():
    return example_images()


def cut(height, width):
    return {"crop_size": {"height": height, "width": width}, "do_center_crop": True}


BIT, CONVNEXT, VIT = "BitImageProcessorPil", "ConvNextImageProcessorPil", "ViTImageProcessorPil"
PROCESSORS = {
    "convnext": (CONVNEXT, {"size": {"shortest_edge": 224}, "crop_pct": 0.875}),
    "large convnext": (CONVNEXT, {"size": {"shortest_edge": 384}}),
    "vit": (VIT, {"size": {"height": 64, "width": 48}, "image_std": [0.1, 0.2, 0.3]}),
    "dinov2": (BIT, {"size": {"shortest_edge": 72}, **cut(60, 56)}),
    "cut beyond the edge": (BIT, {"size": {"shortest_edge": 40}, **cut(60, 60)}),
    "no resizing": (VIT, {"do_resize": False}),
    "no normalisation": (VIT, {"size": {"height": 32, "width": 32}, "do_normalize": False}),
}


def make(name, settings):
    """Make an image processor of Transformers, which takes seconds to import."""
    import transformers

    return getattr(transformers, name)(**settings)


@pytest.mark.parametrize("name", PROCESSORS)
def test_steps_and_table_give_the_processor_s_numbers(name, images, tmp_path):
    processor = make(*PROCESSORS[name])
    steps, table = steps_of(processor)
    steps.save(tmp_path)
    assert read_steps(tmp_path) == steps
    for image in [*images, resize(images[0], 301, 257), resize(images[3], 80, 200)]:
        wanted = pixel_values(processor, image)
        rows = steps.pixels(image)[0]
        assert rows.dtype == np.uint8
        found = np.stack([table[i][rows[..., i]] for i in range(3)], axis=1)
        assert np.array_equal(found, wanted)


def test_a_network_that_takes_bytes_gets_the_same_numbers(images):
    processor = make(*PROCESSORS["vit"])
    steps, table = steps_of(processor)
    ov = import_openvino()
    pixels = ov.opset13.parameter([1, 3, 64, 48], np.float32)
    model = ov.Model([ov.opset13.reshape(pixels, np.array([1, -1]), False)], [pixels])
    compiled = ov.Core().compile_model(
        taking_bytes(model, table), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    assert [list(entry.shape) for entry in compiled.inputs] == [[1, 64, 48, 3]]
    for image in images:
        found = compiled(steps.pixels(image))[0]
        assert np.array_equal(found, pixel_values(processor, image).reshape(1, -1))


def test_a_processor_that_does_something_else_has_no_steps():
    padded = make(VIT, {"size": {"height": 32, "width": 32}, "do_pad": True})
    padded.pad_size = {"height": 40, "width": 40}
    assert steps_of(padded) is None
    assert steps_of(object()) is None
