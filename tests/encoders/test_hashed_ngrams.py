"""Counts of a text's words and pieces of words, of that text alone."""

from pathlib import Path

import numpy as np
import pytest

from stages.encoders.backends.base import Backend
from stages.encoders.hashed_ngrams import Settings as NgramSettings
from stages.encoders.hashed_ngrams import fetch, load

SETTINGS = NgramSettings(kind="hashed_ngrams", n_features=1024)


def encode(texts, settings=SETTINGS):
    encoder = load(settings, Path("none"), Backend("scikit-learn", "float32"))
    assert encoder.n_features == settings.n_features
    return encoder.encode(texts)


def encoded(*texts: str) -> np.ndarray:
    return encode(texts).toarray()


def words(rows: np.ndarray) -> np.ndarray:
    return rows[..., :512]


def letters(rows: np.ndarray) -> np.ndarray:
    return rows[..., 512:]


def test_each_half_is_of_unit_length():
    rows = encoded("USB-C cable, 2 m", "Über-Kopfhörer", "電池 四本", "cable cable cable adapter")
    for half in (words(rows), letters(rows)):
        np.testing.assert_allclose(np.linalg.norm(half, axis=1), 1, atol=1e-6)
    assert rows.min() == 0


def test_nothing_to_count_gives_zeros():
    assert not encoded("", "  ").any()
    dashes = encoded("---")[0]
    assert not words(dashes).any() and letters(dashes).any()


def test_the_order_of_words_counts_but_not_in_their_letters():
    one, other = encoded("charger for phone", "phone for charger")
    assert (words(one) != words(other)).any()
    np.testing.assert_array_equal(letters(one), letters(other))


def test_the_order_of_letters_counts():
    one, other = encoded("cable", "elbac")
    assert not np.array_equal(letters(one), letters(other))


def test_case_does_not_count():
    np.testing.assert_array_equal(*encoded("HDMI Cable", "hdmi cable"))


def test_texts_with_words_in_common_are_closer_than_those_without():
    cable, longer, other = encoded("hdmi cable 2 m", "hdmi cables 10 m", "washing machine")
    assert cable @ longer > cable @ other + 0.3


def test_a_word_said_often_does_not_drown_the_others():
    often = words(encoded("cable " * 100 + "red")[0])
    assert often.min() >= 0
    # Of a hundred to one, a logarithm leaves less than seven to one.
    assert sorted(often[often > 0])[0] > often.max() / 7


def test_there_are_no_weights_to_fetch(tmp_path):
    manifest = fetch(SETTINGS, tmp_path)
    assert manifest.kind == "none" and manifest.origin.startswith("scikit-learn ")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("size", [64, 4096])
def test_the_halves_share_the_features(size):
    settings = NgramSettings(kind="hashed_ngrams", n_features=size)
    (row,) = encode(["a cable"], settings).toarray()
    assert row.shape == (size,)
    assert np.linalg.norm(row[: size // 2]) == pytest.approx(1)
    assert np.linalg.norm(row[size // 2 :]) == pytest.approx(1)
