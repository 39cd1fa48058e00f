"""Cells of JSON that are no plain text: lists, objects, images."""

import datetime
import json

import pytest

from stages.catalog.sources.readers.cell_text import to_text

URLS = ["http://x.example/1,2.jpg", "http://x.example/ü.jpg"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (["One.", "Two."], "One. Two."),
        ([["a", "b"], ["c"]], "a b c"),
        ([None, "", "a", 3, 4.0], "a 3 4"),
        (4006381333931000123.0, "4.0063813339310003E+18"),  # its last digits are not known
        (9007199254740994.0, "9.0071992547409940E+15"),
        (4503599627370497.0, "4503599627370497"),
        ([], None),
        ([None], None),
    ],
)
def test_a_list_of_texts_is_joined(read_cell, value, text):
    assert read_cell("description", value).description == text


def test_a_label_that_is_a_list_is_a_path_of_categories(read_cell):
    assert read_cell("label", ["Home", "Kettles"]).label == "Home > Kettles"


def test_a_list_of_images_is_read_in_its_order(read_cell):
    image = read_cell("image", [URLS[0], None, " ", URLS[1]], image_url="image").image
    assert image.split("\n") == URLS


@pytest.mark.parametrize("value", [[], [None, ""], None, ""])
def test_a_list_without_images_is_no_image(read_cell, value):
    assert read_cell("image", value, image_url="image").image is None


@pytest.mark.parametrize("key", ["src", "url", "path"])
def test_the_images_of_shops_are_objects_with_a_url(read_cell, key):
    image = {"id": 1, key: URLS[0], "alt": "x"}
    assert read_cell("image", image, image_url="image").image == URLS[0]
    several = [image, image | {key: URLS[1]}]
    assert read_cell("image", several, image_url="image").image.split("\n") == URLS


@pytest.mark.parametrize(
    "image",
    [
        {"url": "", "src": URLS[0]},
        {"url": [], "src": URLS[0]},
        {"path": None, "url": "nan", "src": URLS[0]},
        {"url": "", "large": URLS[0]},
        {"src": None, "original": URLS[0], "alt": "x"},
    ],
)
def test_an_empty_key_of_an_object_hides_no_image(read_cell, image):
    assert read_cell("image", image, image_url="image").image == URLS[0]
    several = [{"src": None}, image, {"src": URLS[1]}]
    assert read_cell("image", several, image_url="image").image.split("\n") == URLS


def test_of_an_object_with_a_url_and_a_path_the_column_says_which_is_meant(read_cell):
    images = [{"path": "full/aa.jpg", "url": URLS[0], "name": "Lamp", "status": "downloaded"}]
    for cell in (images, images[0], json.dumps(images)):
        assert read_cell("image", cell, image_url="image").image == URLS[0]
        assert read_cell("image", cell, image_path="image").image == "file:full/aa.jpg"
        archived = read_cell("image", cell, image_path="image", archive="images.zip")
        assert archived.image == "archive:full/aa.jpg"


def test_an_object_whose_keys_are_empty_is_no_image(read_cell):
    image = {"url": None, "src": "", "alt": "Lamp"}
    assert read_cell("image", image, image_url="image").image is None


@pytest.mark.parametrize("column", ["name", "image"])
def test_any_other_object_is_refused_with_its_keys(refusal, column):
    row = dict.fromkeys(("sku", "name", "description", "manufacturer", "label", "image"), "x")
    content = json.dumps([row | {column: {"en": "x", "de": "y"}}]).encode()
    said = refusal("products.json", content, image_url="image")
    assert f"row 1: {column} is an object with the keys 'en', 'de'" in said
    assert f"name the column with a key of it, such as {column}.en" in said
    lists = json.dumps([row | {column: [{"en": "x"}]}]).encode()
    assert f"such as {column}.en" in refusal("products.json", lists, image_url="image")
    empty = json.dumps([row | {column: {}}]).encode()
    assert "write its text into a column" in refusal("products.json", empty, image_url="image")


def test_a_date_of_pandas_is_a_date():
    assert to_text(datetime.datetime(2024, 2, 29)) == "2024-02-29"
    assert to_text(datetime.datetime(2024, 2, 29, 7)) == "2024-02-29T07:00:00"
