"""Requests as nobody should send them, the same for a seed; and what a server may say to them."""

import base64
import functools
import gzip
import io
import json
import random
import struct
import zlib
from collections.abc import Callable, Iterator

from helpers.models import LABELS, image_of, row_of
from helpers.mutations import mutations
from helpers.servers import in_json

PATHS = (
    *("/v1/predict", "/v1/labels", "/health", "/metrics", "/docs", "/openapi.json", "/"),
    *("/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/..%2f..%2fetc/passwd", "/static/../../x"),
    *("//etc/passwd", "/static/..%5c..%5cx", "/%00", "/v1/predict/", "/v1/predict%00", "/%ff%fe"),
    *("/static/%2e%2e/%2e%2e/%2e%2e/etc/passwd", "/" + "a/" * 500, "/?" + "a=b&" * 500),
    *("http://example.com/", "/v1/predict;a=b", "/V1/PREDICT", "/.env", "/proc/self/environ"),
)
POST = b"POST /v1/predict HTTP/1.1\r\nHost: a\r\n"
METHODS = ("GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE", "BREW")
KINDS = (
    *("application/json", "multipart/form-data; boundary=x", "multipart/form-data", "text/html"),
    *("application/json; charset=utf-7", "", "a" * 2000, "multipart/form-data; boundary=" * 20),
    *("application/x-www-form-urlencoded", "multipart/form-data; boundary=x; charset=rot13"),
)
VALUES = (
    *(None, True, 0, -1, 2**63, 10**400, 1e308, "", "a", "\0", "\ud800".encode("utf-8", "ignore")),
    *([], {}, [[]], {"a": {}}, [None] * 50, "9" * 5000, "../../etc/passwd", "${jndi:ldap://a}"),
)


def request(
    body: bytes,
    method: str = "POST",
    path: str = "/v1/predict",
    kind: str = KINDS[0],
    more: str = "",
) -> bytes:
    """Return a request that is well formed as far as its head goes."""
    head = f"{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Type: {kind}\r\n{more}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode("latin-1") + body


def framed(seed: int) -> Iterator[bytes]:
    """Yield requests for ever whose ends are where their heads say: each has an answer."""
    rng = random.Random(seed)
    makers: list[Callable[[random.Random], bytes]] = [
        *[_damaged_json] * 6,
        *[_wrong_types] * 6,
        *[_random_bytes] * 3,
        *[_paths] * 4,
        *[_damaged_form] * 4,
        *[_deep] * 1,
        *[_images] * 2,
        *[_urls] * 1,
        *[_packed] * 1,
    ]
    while True:
        yield rng.choice(makers)(rng)


def unframed(rng: random.Random) -> bytes:
    """Return bytes that are no request, or one that ends elsewhere than it says."""
    return rng.choice(
        (
            rng.randbytes(rng.randrange(1, 3000)),
            next(mutations(request(_json(rng)), 1, rng.randrange(1 << 30))),
            b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20_000,
            b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\n\r\n",
            POST + b"Content-Length: -5\r\n\r\nhallo",
            POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
            POST + b"Content-Length: " + b"9" * 400 + b"\r\n\r\n",
            POST + b"Transfer-Encoding: chunked\r\n\r\n-5\r\nabc\r\n",
            POST + b"Transfer-Encoding: chunked\r\n\r\nffffffffff\r\n",
            POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            POST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n"
            b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(40),
            b"GET / HTTP/0.9\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: AAAA\r\nSec-WebSocket-Version: 13\r\n\r\n",
            b"GET /health HTTP/1.1\r\nHost: a\r\nExpect: rubbish\r\nX: \x00\xff\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + rng.randbytes(200),
            request(b"")[:-9].replace(b"HTTP/1.1", b"HTTP/1.0"),
            request(_json(rng)) + rng.randbytes(100),
        )
    )


def slow(rng: random.Random) -> bytes:
    """Return the start of a request whose end never comes."""
    whole = request(_json(rng))
    return whole[: rng.randrange(1, len(whole))]


def _json(rng: random.Random) -> bytes:
    row = row_of(rng.choice(LABELS), rng.randrange(50))
    if rng.random() < 0.8:
        row["image"] = None
    return json.dumps({"products": [in_json(row)], "top": rng.randrange(1, 5)}).encode()


def _damaged_json(rng: random.Random) -> bytes:
    return request(next(mutations(_json(rng), 1, rng.randrange(1 << 30))))


def _wrong_types(rng: random.Random) -> bytes:
    whole = json.loads(_json(rng))
    for _ in range(rng.randrange(1, 4)):
        place = rng.choice((whole, whole["products"][0])) if _has_product(whole) else whole
        place[rng.choice([*place, "products", "accuracy", "top", "neighbors", "sku", "image"])] = (
            _value(rng)
        )
    return request(json.dumps(whole).encode())


def _has_product(whole: dict) -> bool:
    products = whole.get("products")
    return isinstance(products, list) and bool(products) and isinstance(products[0], dict)


def _value(rng: random.Random) -> object:
    value = rng.choice(VALUES)
    return value.decode() if isinstance(value, bytes) else value


def _random_bytes(rng: random.Random) -> bytes:
    return request(rng.randbytes(rng.randrange(2000)), kind=rng.choice(KINDS))


def _paths(rng: random.Random) -> bytes:
    path = rng.choice(PATHS)
    if rng.random() < 0.3:
        path += "".join(rng.choice("/.%?#&=;:@~\\aF20") for _ in range(rng.randrange(60)))
    return request(b"", rng.choice(METHODS[:5]), path.replace("#", ""), rng.choice(KINDS))


def _damaged_form(rng: random.Random) -> bytes:
    parts = [
        f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode("latin-1")
        for name, value in (("name", "Lamp"), ("top", "2"), ("nam\xff", "é"), ("accuracy", "0.9"))
        if rng.random() < 0.7
    ]
    file = b'--x\r\nContent-Disposition: form-data; name="image"; filename="../../a"\r\n\r\n'
    whole = b"".join(parts) + file + image_of("Lamps") + b"\r\n--x--\r\n"
    if rng.random() < 0.05:
        whole = parts[0] * 300 if parts else b"--x\r\n" * 300
    kind = rng.choice(KINDS[1:3]) if rng.random() < 0.1 else KINDS[1]
    return request(next(mutations(whole, 1, rng.randrange(1 << 30))), kind=kind)


def _deep(rng: random.Random) -> bytes:
    depth = rng.choice((100, 10_000, 200_000))
    return request(
        rng.choice(
            (
                b"[" * depth,
                b'{"products":' * (depth // 12),
                b'{"products": [{"name": ' + b"[" * depth + b"]" * depth + b"}]}",
                b'{"products": [' + b"{}," * (depth // 3) + b"{}]}",
                b'{"products": [{}], "top": ' + b"9" * depth + b"}",
                b'{"products": [{}], "accuracy": 1e' + b"9" * (depth // 10) + b"}",
                b'{"products": [{"name": "' + b"&amp;<b>\\u0301" * (depth // 15) + b'"}]}',
                b'{"products": [{' + b'"name": "a",' * (depth // 12) + b'"name": "b"}]}',
            )
        )
    )


def _images(rng: random.Random) -> bytes:
    good = image_of(rng.choice(LABELS), rng.randrange(50))
    image = rng.choice(
        (
            next(mutations(good, 1, rng.randrange(1 << 30))),
            png_bomb(rng.choice((3000, 60_000)), 1000),
            b"GIF89a" + struct.pack("<HH", 65_535, 65_535) + rng.randbytes(200),
            b"\xff\xd8\xff\xc0\x00\x11\x08" + struct.pack(">HH", 65_535, 65_535) + bytes(40),
            b"BM" + rng.randbytes(300),
            b"II*\0" + rng.randbytes(300),
            b"RIFF\0\0\0\0WEBPVP8 " + rng.randbytes(300),
            b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
            b"%!PS\n(/etc/passwd) (r) file",
            gzip.compress(bytes(1_000_000)),
        )
    )
    text = base64.b64encode(image).decode()
    if rng.random() < 0.3:
        text = (
            rng.choice(("data:", "data:image/png;base64,", "", "=", "\0"))
            + text[rng.randrange(9) :]
        )
    return request(json.dumps({"products": [{"name": "Lamp", "image": text}]}).encode())


def _urls(rng: random.Random) -> bytes:
    hosts = ("127.0.0.1", "localhost:22", "169.254.169.254", "[::1]", "0x7f.1", "a@127.0.0.1", "")
    schemes = ("http", "https", "file", "gopher", "ftp", "javascript", "")
    url = f"{rng.choice(schemes)}://{rng.choice(hosts)}/{rng.choice(PATHS)}"
    return request(json.dumps({"products": [{"image_url": url, "name": "Lamp"}]}).encode())


def _packed(rng: random.Random) -> bytes:
    body = gzip.compress(bytes(1 << 20), 1) if rng.random() < 0.2 else gzip.compress(_json(rng))
    return request(
        body, more=rng.choice(("Content-Encoding: gzip\r\n", "Content-Encoding: br\r\n"))
    )


@functools.cache
def png_bomb(side: int, rows: int) -> bytes:
    """Return a PNG that says that it is `side` pixels wide and high and packs zeros for it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    file = io.BytesIO(b"\x89PNG\r\n\x1a\n")
    file.seek(0, io.SEEK_END)
    file.write(chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)))
    file.write(chunk(b"IDAT", zlib.compress(bytes((side + 1) * rows), 9)))
    file.write(chunk(b"IEND", b""))
    return file.getvalue()
