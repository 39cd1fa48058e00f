"""Images by URL: from the hosts that the settings name, and from nowhere else."""

import asyncio

import pytest
from helpers.http_host import endless, hang_up, serving, trickle
from helpers.models import image_of

from serving.server.image_hosts import ImageHosts
from stages.download.image_conversion import ImageError

IMAGE = image_of("Radios")
NOT_NAMED = "its host is not among those that the server may ask"


@pytest.fixture(scope="module")
def host():
    with serving() as host:
        host.answers = {
            "/a.jpg": [IMAGE],
            "/moved": [(302, b"", {"Location": "/a.jpg"})],
            "/round": [(302, b"", {"Location": "/round"})],
            "/out": [(302, b"", {"Location": "http://example.com/a.jpg"})],
            "/in": [(302, b"", {"Location": "http://127.0.0.1:1/a.jpg"})],
            "/file": [(302, b"", {"Location": "file:///etc/passwd"})],
            "/large": [bytes(20_001)],
            "/endless": [endless],
            "/hang_up": [hang_up],
            "/trickle": [trickle],
        }
        yield host


def name_of(host):
    return host.url.removeprefix("http://")


def fetch(url, *hosts, allow_private=False, timeout_s=10.0):
    async def main():
        images = ImageHosts(
            hosts, max_bytes=20_000, timeout_s=timeout_s, allow_private=allow_private
        )
        try:
            return await images.fetch(url)
        finally:
            await images.close()

    return asyncio.run(main())


def test_an_image_of_a_named_host_is_fetched_also_where_it_moved_there(host):
    for path in ("/a.jpg", "/moved"):
        assert fetch(host.url + path, name_of(host)) == IMAGE


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/nothing", "HTTP 404"),
        ("/large", "more than 20,000 bytes"),
        ("/endless", "more than 20,000 bytes"),
        ("/hang_up", "its host did not send it"),
        ("/round", "more than 3 redirects"),
        ("/out", NOT_NAMED),
        ("/in", NOT_NAMED),
        ("/file", "redirected to no http URL"),
    ],
)
def test_what_is_no_image_has_a_reason(host, path, reason):
    with pytest.raises(ImageError, match=reason):
        fetch(host.url + path, name_of(host))


def test_a_slow_host_is_given_up(host):
    with pytest.raises(ImageError, match="in time"):
        fetch(host.url + "/trickle", name_of(host), timeout_s=0.2)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1/a.jpg",
        "http://127.0.0.1/a.jpg",
        "http://localhost:{port}/a.jpg",
        "http://2130706433:{port}/a.jpg",
        "http://0x7f.1:{port}/a.jpg",
        "http://[::ffff:127.0.0.1]:{port}/a.jpg",
        "http://127.0.0.1:{port}@example.com/a.jpg",
        "http://user:password@127.0.0.1:{port}/a.jpg",
        "http://example.com/127.0.0.1:{port}",
        "https://127.0.0.1/a.jpg",
        "ftp://127.0.0.1:{port}/a.jpg",
        "file:///etc/passwd",
        "//127.0.0.1:{port}/a.jpg",
        "",
        "http://[",
    ],
)
def test_any_other_url_is_refused_before_it_is_asked_for(host, url):
    before = len(host.seen)
    with pytest.raises(ImageError):
        fetch(url.format(port=name_of(host).partition(":")[2]), name_of(host))
    assert len(host.seen) == before


def test_a_name_must_not_stand_for_a_private_address_unless_that_is_allowed(host):
    url = host.url.replace("127.0.0.1", "localhost")
    name = name_of(host).replace("127.0.0.1", "localhost")
    with pytest.raises(ImageError, match="private network"):
        fetch(url + "/a.jpg", name)
    assert fetch(url + "/a.jpg", name, allow_private=True) == IMAGE


def test_a_host_without_a_port_is_one_at_the_usual_port(host):
    with pytest.raises(ImageError, match=NOT_NAMED):
        fetch(host.url + "/a.jpg", "127.0.0.1")


def test_the_server_predicts_what_it_fetches(client_with, host):
    client = client_with(image_hosts=(name_of(host),))
    products = [{"image_url": host.url + path} for path in ("/a.jpg", "/nothing", "/out")]
    answer = client.post("/v1/predict", json={"products": products})
    found = answer.json()["predictions"]
    assert found[0]["label"] == "Radios"
    assert [one["image_error"] for one in found] == [None, "HTTP 404", NOT_NAMED]
