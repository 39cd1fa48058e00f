"""Which products are taken for near-duplicates, and which are not."""

import io
import json

import numpy as np
import pytest
from helpers.repository import SHARED
from PIL import Image, ImageDraw

from stages.catalog.near_duplicates import (
    close_pairs,
    fold_description,
    fold_name,
    joined,
    picture_hash,
    relations,
    same_values,
)

SAMPLE = SHARED / "bestbuy"
TEXT = "Snap-on shell with raised edges and soft lining"


def jpeg(picture: Image.Image, quality: int = 90) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return file.getvalue()


def drawing(colour: str, shape: str = "phone") -> Image.Image:
    picture = Image.new("RGB", (224, 224), "white")
    draw = ImageDraw.Draw(picture)
    if shape == "phone":
        draw.rounded_rectangle((60, 20, 150, 200), 14, fill=colour)
        draw.rectangle((70, 40, 140, 170), fill="black")
        draw.ellipse((95, 178, 113, 196), fill="white")
    else:
        draw.polygon([(20, 200), (110, 30), (200, 160)], fill=colour)
    return picture


def bits_between(one: int, other: int) -> int:
    return (one ^ other).bit_count()


def pairs_of(relation) -> set[tuple[int, int]]:
    """Return the pairs of products that a relation joins."""
    return {
        (left, right)
        for right in range(len(relation))
        for left in range(right)
        if relation[left] == relation[right]
    }


def related(rows) -> dict[str, set[tuple[int, int]]]:
    """Return the pairs that each cause joins in (name, description, picture, label, maker) rows."""
    return {cause: pairs_of(found) for cause, found in relations(*zip(*rows, strict=True)).items()}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Incipio - feather Case - Red", "Incipio - feather Case - Blue"),
        ("Incipio - feather Case - Dazzling White", "Incipio - feather Case - Black/Silver"),
        ("SanDisk - Ultra 16GB Card", "SanDisk - Ultra 128 GB Card"),
        ('LG - 49" Class LED TV', 'LG - 55.5" Class LED TV'),
        ("Cable - 3' HDMI", "Cable - 10' HDMI"),
        ("Duracell - AA Batteries (4-Pack)", "Duracell - AA Batteries (20-Pack)"),
        ("Acme - Glasses (Set of 2)", "Acme - Glasses (Set of 12)"),
        ("Best Buy GC - $20 Birthday Gift Card", "Best Buy GC - $1,000 Birthday Gift Card"),
        ("La Cuisine - Small Deep Roaster - Ruby Red", "La Cuisine - Large Deep Roaster - Green"),
        ("GE - 24.8 Cu. Ft. Refrigerator - White", "GE - 28.5 Cu. Ft. Refrigerator - Black"),
    ],
)
def test_colours_sizes_packs_and_prices_are_folded_away(one, other):
    assert fold_name(one) is not None
    assert fold_name(one) == fold_name(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Case for iPhone 6", "Case for iPhone 7"),
        ("Galaxy S6", "Galaxy S7"),
        ("Epson - 159 Ink Cartridge - Black", "Epson - 220 Ink Cartridge - Black"),
        ("Acme - Infrared Sensor", "Acme - Inf Sensor"),
        ("LG - 1080p TV", "LG - 2160p TV"),
        ("Logitech - Red Mouse", "Logitech - Red Keyboard"),
    ],
)
def test_models_are_not_folded_away(one, other):
    assert fold_name(one) != fold_name(other)


@pytest.mark.parametrize("name", ["", "Black", '32" - 16GB - Red', "Insignia - Red", "Insignia"])
def test_a_name_of_which_no_more_than_the_maker_is_left_joins_nobody(name):
    assert fold_name(name, "Insignia") is None


def test_descriptions_are_alike_but_for_case_and_white_space_unless_they_are_short():
    assert fold_description("Soft  touch\nshell, 2 layers") == fold_description(
        "soft touch SHELL, 2 layers"
    )
    assert fold_description("See the box") is None
    assert fold_description("") is None


def test_a_picture_has_one_hash_whatever_its_colour_and_compression():
    red = picture_hash(jpeg(drawing("red")))
    assert red == picture_hash(jpeg(drawing("red"))) < 2**64
    assert bits_between(red, picture_hash(jpeg(drawing("red"), quality=60))) <= 2
    assert bits_between(red, picture_hash(jpeg(drawing("crimson")))) <= 2
    assert bits_between(red, picture_hash(jpeg(drawing("red", "sail")))) > 10


@pytest.mark.parametrize("shade", [0, 128, 255])
def test_a_blank_picture_has_none(shade):
    noise = np.random.default_rng(0).integers(-2, 3, (224, 224, 3))
    blank = Image.fromarray((noise + shade).clip(0, 255).astype(np.uint8))
    assert picture_hash(jpeg(blank)) is None


def test_grey_pictures_are_hashed_as_coloured_ones_are():
    coloured = drawing("gray")
    assert bits_between(picture_hash(jpeg(coloured)), picture_hash(jpeg(coloured.convert("L")))) < 3


def test_close_pairs_are_those_of_a_slow_count():
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**64, 600, dtype=np.uint64)
    hashes[300:] = hashes[:300] ^ np.array([1 << 63, 3, 7], dtype=np.uint64)[np.arange(300) % 3]
    found = set(map(tuple, close_pairs(hashes).T.tolist()))
    values = hashes.tolist()
    assert found == {
        (i, j) for j in range(600) for i in range(j) if bits_between(values[i], values[j]) <= 2
    }
    assert len(found) >= 200


def test_chains_of_relations_join():
    one = same_values(["a", "a", None, "b", None, "b"])
    other = same_values([None, "x", "x", None, None, "y"])
    assert pairs_of(one) == {(0, 1), (3, 5)}
    assert pairs_of(joined([one, other])) == {(0, 1), (0, 2), (1, 2), (3, 5)}


def test_each_cause_joins_by_itself():
    rows = [
        ("Acme - Case - Red", TEXT, 0, "Cases", "Acme"),
        ("Acme - Case - Blue", "", 2**63, "Cases", "Acme"),
        ("Acme - Sleeve", TEXT.upper(), None, "Cases", "Acme"),
        ("Acme - Bumper", "Bumper", 0b11, "Cases", "Acme"),
    ]
    assert related(rows) == {
        "picture": {(0, 1), (0, 3), (1, 3)},  # the last two by way of the first
        "name": {(0, 1)},
        "description": {(0, 2)},
    }


def test_what_is_missing_joins_nobody():
    rows = [("", "", None, label, "") for label in "AABB"]
    assert related(rows) == {"picture": set(), "name": set(), "description": set()}


@pytest.mark.parametrize(
    ("labels", "makers"), [("ABC", ["", "", ""]), ("AAA", ["Acme", "Bolt", "Cog"])]
)
def test_what_strangers_share_joins_nobody(labels, makers):
    rows = [("No name", TEXT, 5, *of) for of in zip(labels, makers, strict=True)]
    assert related(rows) == {"picture": set(), "name": set(), "description": set()}
    two = {(0, 1)}
    assert related(rows[:2]) == {"picture": two, "name": two, "description": two}


def test_a_placeholder_does_not_join_by_way_of_a_picture_that_is_close_to_it():
    rows = [
        *((f"Thing {label}", "", 0, label, "") for label in "ABC"),
        ("Thing D", "", 1, "A", ""),
        ("Thing E", "", 3, "A", ""),
    ]
    assert related(rows)["picture"] == {(3, 4)}


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="the sample is not beside the repository")
def test_of_real_products_colours_join_and_classes_do_not():
    products = json.loads((SAMPLE / "products.json").read_text(encoding="utf-8"))
    labels = [product["category"][0]["name"] for product in products]
    pictures = [
        picture_hash(path.read_bytes()) if path.is_file() else None
        for path in (SAMPLE / f"images/{product['sku']}.jpg" for product in products)
    ]
    found = relations(
        [product["name"] for product in products],
        [product["description"] or "" for product in products],
        pictures,
        labels,
        [product["manufacturer"] or "" for product in products],
    )
    groups = joined(list(found.values()))
    assert groups.max() + 1 < 0.8 * len(products)
    assert np.bincount(groups).max() < 0.02 * len(products)
    for relation in found.values():
        crossing = sum(labels[left] != labels[right] for left, right in pairs_of(relation))
        assert crossing <= 2
