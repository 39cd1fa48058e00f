"""The drawings of the demo: products that stand out, in each colour, the same for one reference."""

import io

import pytest
from PIL import Image, ImageChops, ImageStat

from stages.common.errors import InputError
from stages.download.demo_images import COLOURS, PAINTERS, draw


@pytest.mark.parametrize("name", PAINTERS)
def test_a_product_stands_out_from_its_background(name):
    for look in range(8):
        image = Image.open(io.BytesIO(draw(f"demo:{name}?look={look}&colour=Blue&shot=0")))
        assert max(ImageStat.Stat(image).stddev) > 12


def test_the_same_reference_gives_the_same_bytes_and_another_shot_nearly_the_same_image():
    first, again, shot, other = (
        draw(f"demo:phone?look={look}&colour=Black&shot={shot}")
        for look, shot in ((5, 0), (5, 0), (5, 1), (6, 0))
    )
    assert first == again
    assert first != shot
    assert difference(first, shot) < difference(first, other) / 2


def test_the_colours_of_a_product_share_its_shape():
    images = [
        Image.open(io.BytesIO(draw(f"demo:case?look=2&colour={colour.replace(' ', '+')}&shot=0")))
        for colour in COLOURS
    ]
    corners = [image.crop((0, 0, 224, 8)).tobytes() for image in images]
    assert len({image.tobytes() for image in images}) == len(COLOURS)
    assert len(set(corners)) == 1


@pytest.mark.parametrize(
    "reference",
    [
        "demo:zeppelin?look=1&colour=Black&shot=0",
        "demo:phone?look=1&colour=Mauve&shot=0",
        "demo:phone?look=one&colour=Black&shot=0",
        "demo:phone?look=1&colour=Black",
        "phone?look=1&colour=Black&shot=0",
        "https://example.com/phone.jpg",
        "",
    ],
)
def test_a_reference_that_names_nothing_is_refused(reference):
    with pytest.raises(InputError, match="is no image of the demo: write demo:"):
        draw(reference)


def difference(first: bytes, second: bytes) -> float:
    images = [Image.open(io.BytesIO(image)) for image in (first, second)]
    return sum(ImageStat.Stat(ImageChops.difference(*images)).mean)
