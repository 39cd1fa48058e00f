"""Images that PyTorch resizes have the bytes of those that Pillow resizes."""

import numpy as np
import pytest
from PIL.Image import Resampling

from stages.common.image_steps import ImageSteps
from stages.common.images import resize
from stages.encoders.torch_steps import TorchSteps

STEPS = {
    "as ConvNeXt and DINOv2": ImageSteps(Resampling.BICUBIC, None, None, 256, 224, 224),
    "a fixed size": ImageSteps(Resampling.BILINEAR, 48, 64),
    "the whole image": ImageSteps(Resampling.BICUBIC, 224, 224),
    "cut beyond the edge": ImageSteps(Resampling.BICUBIC, None, None, 40, 60, 60),
    "another filter": ImageSteps(Resampling.LANCZOS, 96, 96),
}


@pytest.mark.parametrize("name", STEPS)
def test_the_bytes_are_pillow_s_for_images_of_any_size(name, images):
    steps = STEPS[name]
    fast = TorchSteps(steps)
    sizes = [(224, 224), (320, 320), (301, 257), (61, 90)]
    for image in [resize(image, *size) for image in images for size in sizes]:
        found = fast.pixels(image)[0]
        assert found.dtype == np.uint8
        assert np.array_equal(found, steps.pixels(image)[0])


def test_a_large_image_is_resized_too(images):
    steps = STEPS["as ConvNeXt and DINOv2"]
    large = resize(images[0], 2048, 2048)
    assert np.array_equal(TorchSteps(steps).pixels(large)[0], steps.pixels(large)[0])
