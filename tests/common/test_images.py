"""JPEGs are decoded to the bytes that Pillow gives, by several threads at once."""

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import PIL.Image
import pytest
from helpers.example_images import example_images

from stages.common.images import open_jpeg, resize


@pytest.fixture(scope="module")
def images():
    return example_images()


def stored(image, mode="RGB", **options):
    file = io.BytesIO()
    PIL.Image.fromarray(image).convert(mode).save(file, "JPEG", **options)
    return file.getvalue()


@pytest.mark.parametrize(
    "options", [{}, {"quality": 95}, {"subsampling": 0}, {"progressive": True}, {"mode": "L"}]
)
def test_the_pixels_are_pillow_s(images, options):
    jpegs = [stored(image, **options) for image in [*images, resize(images[0], 97, 61)]]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(open_jpeg, jpegs * 5))
    for pixels, jpeg in zip(found, jpegs * 5, strict=True):
        wanted = np.asarray(PIL.Image.open(io.BytesIO(jpeg)).convert("RGB"))
        assert pixels.dtype == np.uint8 and pixels.shape == wanted.shape
        assert np.abs(pixels.astype(int) - wanted).max() <= 1  # another release may round otherwise
    assert found[0].flags.writeable  # PyTorch warns of what is not


def test_a_damaged_jpeg_is_refused():
    with pytest.raises(ValueError):
        open_jpeg(b"\xff\xd8\xff\xe0 no image")
