"""Which products are taken for near-duplicates, and which are not."""

import json

import numpy as np
import pytest
from helpers.repository import SHARED

from stages.catalog.near_duplicates import (
    close_pairs,
    description_key,
    duplicate_signals,
    group_equal,
    union_groups,
)
from stages.download.perceptual_hash import perceptual_hash

SAMPLE = SHARED / "bestbuy"
TEXT = "Snap-on shell with raised edges and soft lining"


def bits_between(one: int, other: int) -> int:
    return (one ^ other).bit_count()


def pairs_of(grouping) -> set[tuple[int, int]]:
    """Return the pairs of products that a grouping puts together."""
    return {
        (left, right)
        for right in range(len(grouping))
        for left in range(right)
        if grouping[left] == grouping[right]
    }


def pairs_by_signal(rows) -> dict[str, set[tuple[int, int]]]:
    """Return the pairs by signal in (name, description, image hash, label, manufacturer) rows."""
    return {
        signal: pairs_of(found.groups)
        for signal, found in duplicate_signals(*zip(*rows, strict=True)).items()
    }


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Soft  touch\nshell, 2 layers", "soft touch SHELL 2 layers."),
        ("这款水壶采用食品级不锈钢，自动断电", "这款水壶采用食品级不锈钢 自动断电"),
        ("กาต้มน้ำไฟฟ้าสแตนเลส", "กาต้มน้ำไฟฟ้า สแตนเลส"),
        ("ＥＣＫ２２０ トースター ２ 枚 焼き 幅広 ステンレス", "eck220 ﾄｰｽﾀｰ 2 枚 焼き 幅広 ｽﾃﾝﾚｽ"),
        ("لامپ رومیزی می‌شود برای خانه و دفتر", "لامپ رومیزی میشود برای خانه و دفتر"),
        ("Desk lamp ❤️ with a ﬁne shade", "Desk lamp ❤ with a fine shade"),
    ],
)
def test_descriptions_are_alike_but_for_case_width_punctuation_and_white_space(one, other):
    assert description_key(one) == description_key(other) is not None


@pytest.mark.parametrize("text", ["", "See the box", "见包装盒", "..."])
def test_a_short_description_has_no_duplicates(text):
    assert description_key(text) is None


def test_close_pairs_are_those_of_a_slow_count():
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**64, 600, dtype=np.uint64)
    flips = 1 << rng.integers(0, 64, (3, 300)).astype(np.uint64)  # of one, two or three bits
    flips[1:, ::3] = flips[2, 1::3] = 0
    hashes[300:] = hashes[:300] ^ np.bitwise_or.reduce(flips)
    found = set(map(tuple, close_pairs(hashes).T.tolist()))
    values = hashes.tolist()
    assert found == {
        (i, j) for j in range(600) for i in range(j) if bits_between(values[i], values[j]) <= 2
    }
    assert len(found) >= 200
    assert close_pairs(hashes[:0]).shape == (2, 0)


def test_close_pairs_among_many_hashes_that_are_alike():
    hashes = np.arange(2**11, dtype=np.uint64) << np.uint64(20)  # in one band
    assert close_pairs(hashes).shape == (2, 2**11 * (11 + 55) // 2)


def test_chains_of_groupings_are_one_group():
    one = group_equal(["a", "a", None, "b", None, "b"])
    other = group_equal([None, "x", "x", None, None, "y"])
    assert pairs_of(one) == {(0, 1), (3, 5)}
    assert pairs_of(union_groups([one, other])) == {(0, 1), (0, 2), (1, 2), (3, 5)}


def test_each_signal_finds_duplicates_by_itself():
    rows = [
        ("Acme - Case 16GB", TEXT, 0, "Cases", "Acme"),
        ("Acme - Case 32GB", "", 2**63, "Cases", "Acme"),
        ("Acme - Sleeve", TEXT.upper(), None, "Cases", "Acme"),
        ("Acme - Bumper", "Bumper", 0b11, "Cases", "Acme"),
    ]
    assert pairs_by_signal(rows) == {
        "image": {(0, 1), (0, 3), (1, 3)},  # the last two by way of the first
        "name": {(0, 1)},
        "description": {(0, 2)},
    }


def test_names_in_another_width_are_duplicates_and_so_are_their_measures():
    rows = [
        ("ECK220 トースター 16GB", "", None, "A", ""),
        ("ＥＣＫ２２０ ﾄｰｽﾀｰ ３２ＧＢ", "", None, "A", ""),
        ("ECK221 トースター 16GB", "", None, "A", ""),
    ]
    assert pairs_by_signal(rows)["name"] == {(0, 1)}


def test_what_is_missing_makes_no_duplicates():
    rows = [("", "", None, label, "") for label in "AABB"]
    assert pairs_by_signal(rows) == {"image": set(), "name": set(), "description": set()}


def test_it_is_counted_how_many_products_each_signal_could_be_computed_for():
    rows = [
        *(("No name", TEXT, 5, label, "") for label in "ABC"),  # which many classes share
        ("Thing one", "short", 7, "A", ""),
        ("", TEXT + " of its own", None, "A", ""),
    ]
    signals = duplicate_signals(*zip(*rows, strict=True))
    counts = {name: signal.n_usable for name, signal in signals.items()}
    assert counts == {"image": 1, "name": 1, "description": 1}


@pytest.mark.parametrize(
    ("labels", "manufacturers"), [("ABC", ["", "", ""]), ("AAA", ["Acme", "Bolt", "Cog"])]
)
def test_what_many_classes_or_manufacturers_share_makes_no_duplicates(labels, manufacturers):
    rows = [("No name", TEXT, 5, *of) for of in zip(labels, manufacturers, strict=True)]
    assert pairs_by_signal(rows) == {"image": set(), "name": set(), "description": set()}
    two = {(0, 1)}
    assert pairs_by_signal(rows[:2]) == {"image": two, "name": two, "description": two}


def test_a_placeholder_connects_nothing_by_an_image_that_is_close_to_it():
    rows = [
        *((f"Thing {label}", "", 0, label, "") for label in "ABC"),
        ("Thing D", "", 1, "A", ""),
        ("Thing E", "", 3, "A", ""),
    ]
    assert pairs_by_signal(rows)["image"] == {(3, 4)}


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="the sample is not beside the repository")
def test_real_products_are_duplicates_across_colours_and_not_across_classes():
    products = json.loads((SAMPLE / "products.json").read_text(encoding="utf-8"))
    labels = [product["category"][0]["name"] for product in products]
    hashes = [
        perceptual_hash(path.read_bytes()) if path.is_file() else None
        for path in (SAMPLE / f"images/{product['sku']}.jpg" for product in products)
    ]
    found = duplicate_signals(
        [product["name"] for product in products],
        [product["description"] or "" for product in products],
        hashes,
        labels,
        [product["manufacturer"] or "" for product in products],
    )
    groupings = [signal.groups for signal in found.values()]
    groups = union_groups(groupings)
    assert groups.max() + 1 < 0.8 * len(products)
    assert np.bincount(groups).max() < 0.02 * len(products)
    for grouping in groupings:
        crossing = sum(labels[left] != labels[right] for left, right in pairs_of(grouping))
        assert crossing <= 2
