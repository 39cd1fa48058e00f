"""The steps that stand for an image processor give its numbers to the bit, or are not used."""

import numpy as np
import openvino as ov
import pytest
from transformers import (
    BitImageProcessorPil,
    ConvNextImageProcessorPil,
    ViTImageProcessorPil,
)

from stages.encoders.image_steps import (
    pixel_values,
    read_steps,
    steps_of,
    taking_bytes,
)

PROCESSORS = {
    "convnext": ConvNextImageProcessorPil(size={"shortest_edge": 224}, crop_pct=0.875),
    "large convnext": ConvNextImageProcessorPil(size={"shortest_edge": 384}),
    "vit": ViTImageProcessorPil(size={"height": 64, "width": 48}, image_std=[0.1, 0.2, 0.3]),
    "dinov2": BitImageProcessorPil(
        size={"shortest_edge": 72}, crop_size={"height": 60, "width": 56}, do_center_crop=True
    ),
    "cut beyond the edge": BitImageProcessorPil(
        size={"shortest_edge": 40}, crop_size={"height": 60, "width": 60}, do_center_crop=True
    ),
    "no resizing": ViTImageProcessorPil(do_resize=False),
    "no normalisation": ViTImageProcessorPil(size={"height": 32, "width": 32}, do_normalize=False),
}
PADDED = ViTImageProcessorPil(size={"height": 32, "width": 32}, do_pad=True)
PADDED.pad_size = {"height": 40, "width": 40}


@pytest.mark.parametrize("name", PROCESSORS)
def test_steps_and_table_give_the_processor_s_numbers(name, images, tmp_path):
    processor = PROCESSORS[name]
    steps, table = steps_of(processor)
    steps.save(tmp_path)
    assert read_steps(tmp_path) == steps
    for image in [*images, images[0].resize((301, 257)), images[3].resize((80, 200))]:
        wanted = pixel_values(processor, image)
        rows = steps.pixels(image)[0]
        assert rows.dtype == np.uint8
        found = np.stack([table[i][rows[..., i]] for i in range(3)], axis=1)
        assert np.array_equal(found, wanted)


def test_a_network_that_takes_bytes_gets_the_same_numbers(images):
    processor = PROCESSORS["vit"]
    steps, table = steps_of(processor)
    pixels = ov.opset13.parameter([1, 3, 64, 48], np.float32)
    model = ov.Model([ov.opset13.reshape(pixels, np.array([1, -1]), False)], [pixels])
    compiled = ov.Core().compile_model(
        taking_bytes(model, table), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    assert [list(entry.shape) for entry in compiled.inputs] == [[1, 64, 48, 3]]
    for image in images:
        found = compiled(steps.pixels(image))[0]
        assert np.array_equal(found, pixel_values(processor, image).reshape(1, -1))


@pytest.mark.parametrize("processor", [PADDED, object()])
def test_a_processor_that_does_something_else_has_no_steps(processor):
    assert steps_of(processor) is None
