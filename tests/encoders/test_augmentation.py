"""A picture is the mean of its views."""

import numpy as np
import PIL.Image
import pytest

from stages.encoders.augmentation import Views, view_of


class LeftAndWhole:
    """An encoder that anyone can check: the mean colours of the left half and of the whole."""

    size = 6

    def encode(self, pictures):
        for picture in pictures:
            pixels = np.asarray(picture, dtype=np.float32)
            halves = (pixels[:, : pixels.shape[1] // 2], pixels)
            yield np.concatenate([half.mean(axis=(0, 1)) for half in halves])


def pictures(count: int) -> list[PIL.Image.Image]:
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, 256, size=(count, 20, 30, 3), dtype=np.uint8)
    return list(map(PIL.Image.fromarray, drawn))


def encoded(given, *views: str) -> np.ndarray:
    return np.array(list(Views(LeftAndWhole(), views).encode(iter(given))))


def test_the_whole_is_the_picture_itself():
    given = pictures(3)
    np.testing.assert_array_equal(encoded(given, "whole"), list(LeftAndWhole().encode(given)))


def test_a_picture_and_its_mirror_image_are_the_same():
    given = pictures(3)
    found = encoded(given, "whole", "mirrored")
    assert found.dtype == np.float32 and found.shape == (3, 6)
    np.testing.assert_allclose(found[:, :3], found[:, 3:], rtol=1e-4)
    turned = [picture.transpose(PIL.Image.Transpose.FLIP_LEFT_RIGHT) for picture in given]
    np.testing.assert_allclose(encoded(turned, "whole", "mirrored"), found, rtol=1e-5)


def test_a_shrunken_picture_has_white_around_it():
    (given,) = pictures(1)
    shrunk = view_of(given, "shrunk")
    assert shrunk.size == given.size
    pixels = np.asarray(shrunk)
    assert (pixels[:4] == 255).all() and (pixels[-4:] == 255).all()
    assert (pixels[:, :6] == 255).all() and (pixels[:, -6:] == 255).all()
    assert pixels[4:16, 6:24].mean() < 200


@pytest.mark.parametrize("at", [0, 2])
def test_a_vector_is_of_its_own_picture_alone(at):
    given = pictures(4)
    alone = encoded([given[at]], "whole", "mirrored", "shrunk")[0]
    np.testing.assert_array_equal(encoded(given, "whole", "mirrored", "shrunk")[at], alone)


def test_no_pictures_have_no_vectors():
    assert len(encoded([], "whole", "mirrored")) == 0
