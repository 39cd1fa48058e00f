"""Which host is asked for a URL."""

import pytest

from stages.download.urls import mirrored


def test_mirrored_keeps_path_and_query():
    url = "https://user:key@img.example:8443/a%20b/c.jpg?size=2&x=%2F#top"
    assert mirrored(url, None) == url
    assert (
        mirrored(url, "http://127.0.0.1:8765") == "http://127.0.0.1:8765/a%20b/c.jpg?size=2&x=%2F"
    )


@pytest.mark.parametrize("mirror", ["http://proxy.example/images", "http://proxy.example/images/"])
def test_a_mirror_may_have_a_path(mirror):
    assert mirrored("https://a.example/b/c.jpg?x=1", mirror) == (
        "http://proxy.example/images/b/c.jpg?x=1"
    )
    assert mirrored("s3://bucket/c.jpg", mirror) == "http://proxy.example/images/c.jpg"


def test_a_key_of_a_store_is_escaped_for_a_mirror():
    mirror = "http://proxy.example"
    assert mirrored("s3://shop/a#1.jpg", mirror) == "http://proxy.example/a%231.jpg"
    assert mirrored("gs://shop/a b/50%.jpg?v=1", mirror) == (
        "http://proxy.example/a%20b/50%25.jpg%3Fv%3D1"
    )
