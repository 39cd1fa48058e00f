"""Which host is asked for a URL."""

from stages.download.urls import mirrored


def test_mirrored_keeps_path_and_query():
    url = "https://user:key@img.example:8443/a%20b/c.jpg?size=2&x=%2F#top"
    assert mirrored(url, None) == url
    assert (
        mirrored(url, "http://127.0.0.1:8765") == "http://127.0.0.1:8765/a%20b/c.jpg?size=2&x=%2F"
    )
