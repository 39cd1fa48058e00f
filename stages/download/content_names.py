"""Say what content is that was to be an image and is none."""

import json
import re

HEAD = 4096  # bytes in which a PDF or markup has to say what it is

# How content begins, and what it is then called.
STARTS = (
    (b"%PDF-", "a PDF"),
    (b"%!PS", "PostScript"),
    (b"8BPS", "a Photoshop file"),
    (b"\0\0\1\0", "an icon (ICO)"),
    (b"\xff\x0a", "a JPEG XL image"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL image"),
    (b"PK\x03\x04", "a zip file"),
    (b"PK\x05\x06", "a zip file"),
    (b"\x1f\x8b", "a gzip file"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"\x1a\x45\xdf\xa3", "a video"),  # Matroska and WebM
    (b"FLV\x01", "a video"),
    (b"\0\0\1\xba", "a video"),  # MPEG
    (b"\0\0\1\xb3", "a video"),
    (b"OggS", "audio or a video"),
    (b"ID3", "audio"),
)
CONTAINERS = ((b"AVI ", "a video"), (b"WAVE", "audio"))  # in RIFF, from byte 8
# What starts as a format that is read, and still could not be opened.
IMAGE_STARTS = (
    *(b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*"),
    *(b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"),
)
# Of a file in boxes, from byte 8.
IMAGE_BRANDS = (b"avi", b"hei", b"hev", b"mif", b"msf")
VIDEO_BRANDS = (b"iso", b"mp4", b"avc", b"M4V", b"MSN", b"dash", b"3g", b"qt", b"f4v")
TAG = re.compile(rb"<(?:(svg)[\s>]|(?:!doctype\s+html|html|head|body|title|meta|script)\b)", re.I)
UTF8_MARK = b"\xef\xbb\xbf"


def name_content(data: bytes) -> str:
    """Return what content is, in words for a user: "a web page", or "not an image" if unknown."""
    for start, name in STARTS:
        if data.startswith(start):
            return name
    if data.startswith(b"RIFF"):
        names = [name for kind, name in CONTAINERS if data[8:12] == kind]
        return names[0] if names else "a damaged image" if data[8:12] == b"WEBP" else "not an image"
    if data[4:8] == b"ftyp":
        return _name_brand(data[8:12])
    if data.startswith(IMAGE_STARTS):
        return "a damaged image"
    return _name_text(data.removeprefix(UTF8_MARK).lstrip()) or "not an image"


def _name_brand(brand: bytes) -> str:
    if brand.startswith(IMAGE_BRANDS):
        return "a damaged image"
    return "a video" if brand.startswith(VIDEO_BRANDS) else "not an image"


def _name_text(data: bytes) -> str | None:
    """Return what a text is, None where the content is none."""
    head = data[:HEAD]
    if b"%PDF-" in head:
        return "a PDF"
    if head.startswith(b"<"):
        if tag := TAG.search(head):
            return "an SVG" if tag[1] else "a web page"
        return "XML" if head.startswith(b"<?xml") else None
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    if text.startswith(("{", "[")):
        try:
            json.loads(text)
        except (ValueError, RecursionError):
            return "text"
        return "JSON"
    return "text" if all(char.isprintable() or char.isspace() for char in text[:HEAD]) else None
