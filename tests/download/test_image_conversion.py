"""Every kind of picture that shops serve, and what is none."""

import io
import struct
import zlib

import numpy as np
import pytest
from helpers.mutations import mutations
from PIL import Image

from stages.download.image_conversion import PictureError, to_jpeg

RED, WHITE, BLACK = (255, 0, 0), (255, 255, 255), (0, 0, 0)


def encoded(picture: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def opened(data: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(data))
    picture.load()
    assert (picture.format, picture.mode, picture.size) == ("JPEG", "RGB", (224, 224))
    return picture


def near(picture: Image.Image, place: tuple[int, int], colour: tuple[int, int, int]) -> bool:
    return all(abs(a - b) < 12 for a, b in zip(picture.getpixel(place), colour, strict=True))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "AVIF", "BMP", "TIFF"])
def test_pictures_of_every_kind_become_224_rgb_jpegs(kind):
    picture = opened(to_jpeg(encoded(Image.new("RGB", (300, 300), RED), kind)))
    assert near(picture, (112, 112), RED)
    assert near(picture, (2, 2), RED)


@pytest.mark.parametrize("size", [(1000, 500), (100, 50), (2, 1)])
def test_the_whole_picture_is_kept_on_white(size):
    picture = opened(to_jpeg(encoded(Image.new("RGB", size, RED), "PNG")))
    assert near(picture, (3, 112), RED)
    assert near(picture, (220, 112), RED)
    assert near(picture, (112, 40), WHITE)
    assert near(picture, (112, 184), WHITE)


def test_a_picture_of_one_pixel_s_height_is_kept():
    assert near(opened(to_jpeg(encoded(Image.new("RGB", (5000, 1), RED), "PNG"))), (9, 2), WHITE)


def test_a_large_jpeg_looks_as_if_it_were_scaled_from_all_of_its_pixels():
    ramp = np.linspace(0, 255, 1600).astype(np.uint8)
    source = Image.fromarray(np.broadcast_to(ramp[None, :, None], (1600, 1600, 3)).copy())
    picture = np.asarray(opened(to_jpeg(encoded(source, "JPEG", quality=95))), dtype=float)
    wanted = np.asarray(source.resize((224, 224), Image.Resampling.LANCZOS), dtype=float)
    assert np.abs(picture - wanted).max() < 6


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_becomes_white(mode):
    picture = Image.new("RGBA", (224, 224), (0, 0, 0, 0))
    picture.paste((0, 0, 0, 255), (0, 0, 112, 224))
    result = opened(to_jpeg(encoded(picture.convert(mode), "PNG")))
    assert near(result, (50, 112), BLACK)
    assert near(result, (180, 112), WHITE)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation):
    # What a viewer shows is red at the top; the file has it where the orientation says.
    stored = {
        1: (0, 0, 300, 100),
        2: (0, 0, 300, 100),
        3: (0, 200, 300, 300),
        4: (0, 200, 300, 300),
        5: (0, 0, 100, 300),
        6: (0, 0, 100, 300),
        7: (200, 0, 300, 300),
        8: (200, 0, 300, 300),
    }
    picture = Image.new("RGB", (300, 300), BLACK)
    picture.paste(RED, stored[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    result = opened(to_jpeg(encoded(picture, "JPEG", exif=exif)))
    assert near(result, (112, 30), RED)
    assert near(result, (112, 180), BLACK)
    assert near(result, (20, 180), BLACK)
    assert near(result, (200, 180), BLACK)


def test_damaged_exif_data_is_no_failure():
    data = encoded(Image.new("RGB", (300, 300), RED), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert near(opened(to_jpeg(data)), (112, 112), RED)


def test_cmyk_keeps_its_colours():
    cmyk = Image.new("RGB", (300, 300), RED).convert("CMYK")
    assert near(opened(to_jpeg(encoded(cmyk, "JPEG", quality=95))), (112, 112), RED)


@pytest.mark.parametrize(("kind", "value"), [("PNG", 128 << 8), ("TIFF", 128 << 8)])
def test_grey_of_16_bits_is_not_clipped(kind, value):
    picture = Image.fromarray(np.full((224, 224), value, dtype=np.uint16))
    assert near(opened(to_jpeg(encoded(picture, kind))), (112, 112), (128, 128, 128))


def test_floating_point_grey_is_spread_over_its_range():
    values = np.zeros((224, 224), dtype=np.float32)
    values[:, 112:] = 0.5
    result = opened(to_jpeg(encoded(Image.fromarray(values), "TIFF")))
    assert near(result, (20, 112), BLACK)
    assert near(result, (200, 112), WHITE)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_an_animation_s_first_frame_is_taken(kind):
    frames = [Image.new("RGB", (224, 224), colour) for colour in (RED, BLACK)]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    assert near(opened(to_jpeg(data)), (112, 112), RED)


def test_a_jpeg_that_has_the_form_stays_byte_for_byte():
    data = encoded(Image.effect_noise((224, 224), 80).convert("RGB"), "JPEG", quality=70)
    assert to_jpeg(data) == data


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_jpeg_that_has_the_form_and_is_cut_short_is_refused(share):
    data = encoded(Image.effect_noise((224, 224), 80).convert("RGB"), "JPEG")
    with pytest.raises(PictureError):
        to_jpeg(data[: int(len(data) * share)])


def test_a_grey_jpeg_of_224_becomes_rgb():
    assert near(opened(to_jpeg(encoded(Image.new("L", (224, 224), 255), "JPEG"))), (9, 9), WHITE)


def test_the_same_bytes_give_the_same_bytes():
    data = encoded(Image.effect_noise((640, 480), 80), "PNG")
    assert to_jpeg(data) == to_jpeg(data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"<html><body>Access denied</body></html>", "no picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no picture"),
        (b"\xff\xd8\xff" + bytes(100), "no picture"),
    ],
)
def test_what_is_no_picture_is_refused_with_a_reason(data, reason):
    with pytest.raises(PictureError, match=reason):
        to_jpeg(data)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP"])
def test_a_damaged_picture_is_a_picture_or_refused(kind):
    picture = Image.effect_noise((200, 160), 80).convert("RGB")
    ends = []
    for data in mutations(encoded(picture, kind), 50, seed=3):
        try:
            ends.append(opened(to_jpeg(data)) is not None)
        except PictureError:
            ends.append(False)
    assert len(ends) == 50 and False in ends


def test_a_pixel_is_a_picture():
    assert near(opened(to_jpeg(encoded(Image.new("RGB", (1, 1), RED), "PNG"))), (9, 9), RED)


def test_a_damaged_png_is_refused():
    data = bytearray(encoded(Image.effect_noise((100, 100), 80), "PNG"))
    data[len(data) // 2] ^= 0xFF
    with pytest.raises(PictureError):
        to_jpeg(bytes(data))


@pytest.mark.parametrize("side", [10_001, 40_000])
def test_a_bomb_is_refused_before_it_is_decoded(side):
    def chunk(kind: bytes, content: bytes) -> bytes:
        crc = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc)

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    # Its pixels are no zlib stream: decoding would end in another reason.
    bomb = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"x") + chunk(b"IEND", b"")
    )
    with pytest.raises(PictureError, match="100 megapixels"):
        to_jpeg(bomb)
