"""References to images come back as they were written."""

import pytest

from stages.common.image_ref import ImageRef


@pytest.mark.parametrize(
    ("text", "scheme", "location"),
    [
        ("http://x.example/a.jpg?b=file:c", "url", "http://x.example/a.jpg?b=file:c"),
        ("HTTPS://x.example/", "url", "HTTPS://x.example/"),
        ("file:a/b.jpg", "file", "a/b.jpg"),
        ("file:http://a", "file", "http://a"),
        ("file:", "file", ""),
        ("archive:a:b.jpg", "archive", "a:b.jpg"),
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
    with pytest.raises(ValueError, match="neither a URL nor file:, archive: or demo:"):
        ImageRef.parse(text)


def test_an_unusable_reference_keeps_its_reason_and_what_the_catalogue_has():
    text = "unusable:s3 is not read: use https\ts3://b/a\tb"
    reference = ImageRef.parse(text)
    assert reference == ImageRef("unusable", "s3://b/a\tb", "s3 is not read: use https")
    assert str(reference) == text
