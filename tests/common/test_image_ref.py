"""References to images come back as they were written."""

import pytest

from stages.common.image_ref import EmbeddedImage, ImageRef


@pytest.mark.parametrize(
    ("text", "scheme", "location"),
    [
        ("http://x.example/a.jpg?b=file:c", "url", "http://x.example/a.jpg?b=file:c"),
        ("HTTPS://x.example/", "url", "HTTPS://x.example/"),
        ("s3://bucket/a b#1.jpg", "url", "s3://bucket/a b#1.jpg"),
        ("GS://bucket/a.jpg", "url", "GS://bucket/a.jpg"),
        ("file:a/b.jpg", "file", "a/b.jpg"),
        ("file:http://a", "file", "http://a"),
        ("file:", "file", ""),
        ("archive:a:b.jpg", "archive", "a:b.jpg"),
        ("embedded:a/b.parquet#image#3", "embedded", "a/b.parquet#image#3"),
        ("demo:phone?look=1&colour=Navy&shot=0", "demo", "phone?look=1&colour=Navy&shot=0"),
    ],
)
def test_a_reference_says_what_it_refers_to_and_comes_back_as_text(text, scheme, location):
    reference = ImageRef.parse(text)
    assert reference == ImageRef(scheme, location)
    assert str(reference) == text


@pytest.mark.parametrize(
    "text", ["", "a.jpg", "file", "File:a", "ftp://x/a", "x:1", "http:/x", ":"]
)
def test_a_text_without_a_known_scheme_is_refused(text):
    with pytest.raises(ValueError, match="neither a URL nor file:, archive:, embedded: or demo:"):
        ImageRef.parse(text)


def test_an_unusable_reference_keeps_its_reason_and_what_the_catalogue_has():
    text = "unusable:ftp is not read: use https\tftp://b/a\tb"
    reference = ImageRef.parse(text)
    assert reference == ImageRef("unusable", "ftp://b/a\tb", "ftp is not read: use https")
    assert str(reference) == text


@pytest.mark.parametrize(
    ("cell", "location"),
    [
        (EmbeddedImage("a/b.parquet", "图 片", 12), "a/b.parquet#图 片#12"),
        (EmbeddedImage("p.parquet", "images", 1, 2), "p.parquet#images#1.2"),
        (EmbeddedImage("#1.parquet", "100%23\n\t", 7), "%231.parquet#100%2523%0A%09#7"),
    ],
)
def test_a_cell_of_a_table_is_named_in_one_line_and_comes_back(cell, location):
    assert cell.location == location
    assert EmbeddedImage.parse(location) == cell
    assert ImageRef.parse(str(ImageRef("embedded", location))).location == location
