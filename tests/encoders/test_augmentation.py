"""A image is the mean of its views."""

import numpy as np
import pytest

from stages.encoders.augmentation import AugmentedEncoder, view_of


class LeftAndWhole:
    """An encoder that anyone can check: the mean colours of the left half and of the whole."""

    n_features = 6

    def encode(self, batch):
        vectors = [self.vector(np.asarray(image, dtype=np.float32)) for image in batch]
        return np.array(vectors, dtype=np.float32).reshape(-1, 6)

    def vector(self, pixels):
        halves = (pixels[:, : pixels.shape[1] // 2], pixels)
        return np.concatenate([half.mean(axis=(0, 1)) for half in halves])


def images(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return list(rng.integers(0, 256, size=(count, 20, 30, 3), dtype=np.uint8))


def encoded(given, *views: str) -> np.ndarray:
    return AugmentedEncoder(LeftAndWhole(), views).encode(given)


def test_the_identity_is_the_image_itself():
    given = images(3)
    np.testing.assert_array_equal(encoded(given, "identity"), LeftAndWhole().encode(given))


def test_an_image_and_its_mirror_image_are_the_same():
    given = images(3)
    found = encoded(given, "identity", "hflip")
    assert found.dtype == np.float32 and found.shape == (3, 6)
    np.testing.assert_allclose(found[:, :3], found[:, 3:], rtol=1e-4)
    turned = [image[:, ::-1] for image in given]
    np.testing.assert_allclose(encoded(turned, "identity", "hflip"), found, rtol=1e-5)


def test_a_zoomed_out_image_has_white_around_it():
    (given,) = images(1)
    pixels = view_of(given, "zoom_out")
    assert pixels.shape == given.shape
    assert (pixels[:4] == 255).all() and (pixels[-4:] == 255).all()
    assert (pixels[:, :6] == 255).all() and (pixels[:, -6:] == 255).all()
    assert pixels[4:16, 6:24].mean() < 200


@pytest.mark.parametrize("i", [0, 2])
def test_a_vector_is_of_its_own_image_alone(i):
    given = images(4)
    alone = encoded([given[i]], "identity", "hflip", "zoom_out")[0]
    np.testing.assert_array_equal(encoded(given, "identity", "hflip", "zoom_out")[i], alone)


def test_no_images_have_no_vectors():
    assert len(encoded([], "identity", "hflip")) == 0
