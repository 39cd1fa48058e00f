"""Rows are read as the pipeline reads its tables; a faulty one says what is wrong with it."""

import datetime
import io

import numpy as np
import pandas as pd
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.products import Product
from serving.reading import read_product
from stages.download.image_conversion import to_jpeg

BOTH = {"image", "text"}


def png(colour="navy", size=(50, 80), mode="RGB", **options):
    file = io.BytesIO()
    PIL.Image.new("RGB", size, colour).convert(mode).save(file, "PNG", **options)
    return file.getvalue()


def test_texts_are_cleaned_as_the_pipeline_cleans_them():
    row = {
        "sku": " 7 ",
        "name": "<b>Radio</b>  &amp; clock",
        "description": None,
        "manufacturer": 3,
    }
    assert read_product(row, {"text"}, None) == Product("7", "Radio & clock", "", "3")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (12, "12"),
        (12.0, "12"),
        (np.int64(12), "12"),
        (np.float32(0.5), "0.5"),
        (np.str_("a"), "a"),
        (float("nan"), ""),
        (np.float64("nan"), ""),
        (pd.NA, ""),
        (pd.NaT, ""),
        (True, "true"),
        (["a", "b"], "a b"),
        (np.array(["a", None, "b"], dtype=object), "a b"),
        (datetime.date(2020, 1, 2), "2020-01-02"),
        (b"caf\xc3\xa9", "café"),
        ("Lamp \ud83d", "Lamp \ufffd"),  # an emoji that was cut
        ("NA", ""),
    ],
)
def test_a_text_may_be_of_any_plain_type(value, text):
    assert read_product({"name": value}, {"text"}, None) == Product(name=text)


@pytest.mark.parametrize(
    ("row", "error"),
    [
        ({"name": {"en": "Lamp"}}, "name is an object with the keys 'en': write its text"),
        ({"description": object()}, "description is a object: write it as text"),
        ({"manufacturer": b"\xff\xff"}, "manufacturer is binary and not UTF-8"),
        ({"name": "\udcff"}, "name is not UTF-8"),
        ({"sku": {}}, "sku is an object"),
        ({"sku": 1, "title": "Lamp"}, "the row has the keys 'sku', 'title' and none of name, desc"),
        ("name", "the row is a str, not a mapping of sku, name"),
        (None, "the row is a NoneType"),
    ],
)
def test_a_row_that_cannot_be_read_says_why(row, error):
    assert read_product(row, BOTH, 32).error.startswith(error)


def test_a_row_whose_keys_are_known_or_empty_is_a_product_without_an_input():
    for row in ({}, {"sku": "1"}, {"sku": "1", "manufacturer": "Brand"}):
        assert read_product(row, BOTH, 32, ["name"]).error is None


def test_an_image_is_converted_as_the_pipeline_converts_it(tmp_path):
    content = png()
    (tmp_path / "image.png").write_bytes(content)
    for image in (
        content,
        memoryview(content),
        tmp_path / "image.png",
        str(tmp_path / "image.png"),
    ):
        assert read_product({"image": image}, BOTH, 32).jpeg == to_jpeg(content, 32)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I", "F"])
def test_pillow_s_images_of_any_mode_are_read(mode):
    image = PIL.Image.new("RGB", (40, 30), "gray").convert(mode)
    found = read_product({"image": image}, BOTH, 32)
    assert found.image_error is None
    assert PIL.Image.open(io.BytesIO(found.jpeg)).size == (32, 32)


@pytest.mark.parametrize(("mode", "by_way_of"), [("HSV", "RGB"), ("La", "LA"), ("RGBa", "RGBA")])
def test_pillow_s_images_of_modes_that_no_file_has_are_read(mode, by_way_of):
    image = PIL.Image.new("RGB", (40, 30), "blue").convert(by_way_of)
    as_file = read_product({"image": image}, BOTH, 32)
    assert read_product({"image": image.convert(mode)}, BOTH, 32) == as_file
    assert as_file.jpeg is not None


def test_a_photograph_that_lies_on_its_side_is_turned():
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    upper = PIL.Image.new("RGB", (64, 64), "red")
    upper.paste("blue", (0, 32, 64, 64))
    file = io.BytesIO()
    upper.save(file, "PNG", exif=exif)
    opened = PIL.Image.open(io.BytesIO(file.getvalue()))
    as_file = read_product({"image": file.getvalue()}, BOTH, 32)
    assert read_product({"image": opened}, BOTH, 32).jpeg == as_file.jpeg
    left, right = (PIL.Image.open(io.BytesIO(as_file.jpeg)).getpixel((x, 16)) for x in (4, 28))
    assert left[2] > 200 > 60 > left[0] and right[0] > 200 > 60 > right[2]


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_pillow_s_image_with_damaged_exif_data_is_read_as_its_file_is(kind):
    file = io.BytesIO()
    PIL.Image.new("RGB", (50, 80), "navy").save(file, kind, exif=b"no exif data")
    as_file = read_product({"image": file.getvalue()}, BOTH, 32)
    assert as_file.jpeg is not None
    assert read_product({"image": PIL.Image.open(file)}, BOTH, 32) == as_file


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (b"<!doctype html><html></html>", "a web page"),
        ("", None),
        (None, None),
        (float("nan"), None),
        (pd.NA, None),
        (pd.NaT, None),
        (b"", "empty"),
        (b"  ", "empty"),
        (png()[:60], "a damaged image"),
        ("https://example.org/a.jpg", "a URL, which is not fetched here"),
        ("nowhere/a.jpg", "no such file"),
        ("a\0b", "no such file"),
        ("x" * 5000, "a file that cannot be read"),
        (".", "no such file"),
        (7, "a int: give bytes, a Pillow image or a path"),
        ([1, 2], "a list: give bytes, a Pillow image or a path"),
        (np.zeros((4, 4, 3)), "a ndarray: give bytes, a Pillow image or a path"),
    ],
)
def test_an_image_that_cannot_be_read_says_why(image, reason):
    found = read_product({"name": "Lamp", "image": image}, BOTH, 32)
    assert (found.name, found.jpeg, found.error) == ("Lamp", None, None)
    assert (found.image_error or "").startswith(reason or "")
    assert (found.image_error is None) == (reason is None)


def test_what_a_model_does_not_see_is_not_read():
    row = {"sku": "1", "name": object(), "image": png()}
    of_image = read_product(row, {"image"}, 32)
    assert of_image.error is None and of_image.jpeg and of_image.name == ""
    of_text = read_product({"name": "Lamp", "image": b"no image"}, {"text"}, None)
    assert of_text == Product(name="Lamp")


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner),
    max_leaves=5,
)


@settings(deadline=None, derandomize=True)
@given(
    st.dictionaries(st.sampled_from(["sku", "name", "description", "image", "other"]), ANY) | ANY
)
def test_no_row_raises(row):
    found = read_product(row, BOTH, 32)
    assert isinstance(found, Product)
    assert found.jpeg is None or found.image_error is None
