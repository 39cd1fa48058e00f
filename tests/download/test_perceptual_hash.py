"""Which images share a perceptual hash, or nearly."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from stages.download.perceptual_hash import perceptual_hash


def jpeg(image: Image.Image, quality: int = 90) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


def drawing(colour: str, shape: str = "phone") -> Image.Image:
    image = Image.new("RGB", (224, 224), "white")
    draw = ImageDraw.Draw(image)
    if shape == "phone":
        draw.rounded_rectangle((60, 20, 150, 200), 14, fill=colour)
        draw.rectangle((70, 40, 140, 170), fill="black")
        draw.ellipse((95, 178, 113, 196), fill="white")
    else:
        draw.polygon([(20, 200), (110, 30), (200, 160)], fill=colour)
    return image


def bits_between(one: int, other: int) -> int:
    return (one ^ other).bit_count()


def test_an_image_has_one_hash_whatever_its_colour_and_compression():
    red = perceptual_hash(jpeg(drawing("red")))
    assert red == perceptual_hash(jpeg(drawing("red"))) < 2**64
    assert bits_between(red, perceptual_hash(jpeg(drawing("red"), quality=60))) <= 2
    assert bits_between(red, perceptual_hash(jpeg(drawing("crimson")))) <= 2
    assert bits_between(red, perceptual_hash(jpeg(drawing("red", "sail")))) > 10


@pytest.mark.parametrize("shade", [0, 128, 255])
def test_a_blank_image_has_none(shade):
    noise = np.random.default_rng(0).integers(-2, 3, (224, 224, 3))
    blank = Image.fromarray((noise + shade).clip(0, 255).astype(np.uint8))
    assert perceptual_hash(jpeg(blank)) is None


def test_grey_images_are_hashed_as_coloured_ones_are():
    coloured = drawing("gray")
    assert (
        bits_between(perceptual_hash(jpeg(coloured)), perceptual_hash(jpeg(coloured.convert("L"))))
        < 3
    )
