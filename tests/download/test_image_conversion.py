"""Every format of image that shops serve, and what is not an image."""

import io
import struct
import zlib

import numpy as np
import pytest
from helpers import heic_files
from helpers.mutations import mutations
from PIL import Image

from stages.common.images import open_jpeg
from stages.download.image_conversion import ImageError
from stages.download.image_conversion import to_jpeg as to_jpeg_of_size

RED, WHITE, BLACK = (255, 0, 0), (255, 255, 255), (0, 0, 0)


def to_jpeg(data: bytes, size: int = 224) -> bytes:
    return to_jpeg_of_size(data, size)


def encoded(image: Image.Image, file_format: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (224, 224))
    return image


def near(image: Image.Image, pixel: tuple[int, int], colour: tuple[int, int, int]) -> bool:
    return all(abs(a - b) < 12 for a, b in zip(image.getpixel(pixel), colour, strict=True))


def drawn(image: Image.Image, file_format: str, heic: bytes) -> bytes:
    """Return an image in a format; `heic` is what it is as HEIC, which cannot be written here."""
    return heic if file_format == "HEIF" else encoded(image, file_format)


FORMATS = ["JPEG", "PNG", "GIF", "WEBP", "AVIF", "BMP", "TIFF", "JPEG2000", "HEIF"]


@pytest.mark.parametrize("file_format", FORMATS)
def test_images_of_every_format_become_224_rgb_jpegs(file_format):
    data = drawn(Image.new("RGB", (300, 300), RED), file_format, heic_files.RED)
    image = opened(to_jpeg(data))
    assert near(image, (112, 112), RED)
    assert near(image, (2, 2), RED)


def test_of_the_images_of_two_lenses_the_first_is_taken():
    other = Image.new("RGB", (300, 300), BLACK)
    image = Image.new("RGB", (300, 300), RED)
    data = encoded(image, "MPO", save_all=True, append_images=[other])
    assert near(opened(to_jpeg(data)), (112, 112), RED)


@pytest.mark.parametrize("brand", [b"heic", b"mif1"])
def test_an_image_of_a_telephone_is_read_upright_under_each_of_its_marks(brand):
    data = bytearray(heic_files.SIDEWAYS)
    data[8:12] = brand
    assert near(opened(to_jpeg(bytes(data))), (112, 30), RED)


def test_a_bare_stream_of_jpeg_2000_is_read():
    data = encoded(Image.new("RGB", (300, 300), RED), "JPEG2000", no_jp2=True)
    assert near(opened(to_jpeg(data)), (112, 112), RED)


def test_white_space_before_an_image_is_ignored():
    data = encoded(Image.effect_noise((224, 224), 80).convert("RGB"), "JPEG")
    assert to_jpeg(b"\r\n" + data) == data


@pytest.mark.parametrize("size", [(1000, 500), (100, 50), (2, 1)])
def test_the_whole_image_is_kept_on_white(size):
    image = opened(to_jpeg(encoded(Image.new("RGB", size, RED), "PNG")))
    assert near(image, (3, 112), RED)
    assert near(image, (220, 112), RED)
    assert near(image, (112, 40), WHITE)
    assert near(image, (112, 184), WHITE)


def test_an_image_of_one_pixel_s_height_is_kept():
    assert near(opened(to_jpeg(encoded(Image.new("RGB", (5000, 1), RED), "PNG"))), (9, 2), WHITE)


def test_a_large_jpeg_looks_as_if_it_were_scaled_from_all_of_its_pixels():
    ramp = np.linspace(0, 255, 1600).astype(np.uint8)
    source = Image.fromarray(np.broadcast_to(ramp[None, :, None], (1600, 1600, 3)).copy())
    image = np.asarray(opened(to_jpeg(encoded(source, "JPEG", quality=95))), dtype=float)
    wanted = np.asarray(source.resize((224, 224), Image.Resampling.LANCZOS), dtype=float)
    assert np.abs(image - wanted).max() < 6


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_becomes_white(mode):
    image = Image.new("RGBA", (224, 224), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (0, 0, 112, 224))
    result = opened(to_jpeg(encoded(image.convert(mode), "PNG")))
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
    image = Image.new("RGB", (300, 300), BLACK)
    image.paste(RED, stored[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    result = opened(to_jpeg(encoded(image, "JPEG", exif=exif)))
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


@pytest.mark.parametrize(("file_format", "value"), [("PNG", 128 << 8), ("TIFF", 128 << 8)])
def test_grey_of_16_bits_is_not_clipped(file_format, value):
    image = Image.fromarray(np.full((224, 224), value, dtype=np.uint16))
    assert near(opened(to_jpeg(encoded(image, file_format))), (112, 112), (128, 128, 128))


def test_a_pixel_that_is_no_number_leaves_the_others_as_they_are():
    values = np.zeros((224, 224), dtype=np.float32)
    values[:, 112:] = 3.5
    wanted = to_jpeg(encoded(Image.fromarray(values), "TIFF"))
    values[0, 0] = np.nan
    np.testing.assert_array_equal(
        opened(to_jpeg(encoded(Image.fromarray(values), "TIFF"))), opened(wanted)
    )


def test_floating_point_grey_is_spread_over_its_range():
    values = np.zeros((224, 224), dtype=np.float32)
    values[:, 112:] = 0.5
    result = opened(to_jpeg(encoded(Image.fromarray(values), "TIFF")))
    assert near(result, (20, 112), BLACK)
    assert near(result, (200, 112), WHITE)


@pytest.mark.parametrize("file_format", ["GIF", "PNG", "WEBP"])
def test_an_animation_s_first_frame_is_taken(file_format):
    frames = [Image.new("RGB", (224, 224), colour) for colour in (RED, BLACK)]
    data = encoded(frames[0], file_format, save_all=True, append_images=frames[1:])
    assert near(opened(to_jpeg(data)), (112, 112), RED)


def test_a_jpeg_that_has_the_form_stays_byte_for_byte():
    data = encoded(Image.effect_noise((224, 224), 80).convert("RGB"), "JPEG", quality=70)
    assert to_jpeg(data) == data


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_jpeg_that_has_the_form_and_is_cut_short_is_refused(share):
    data = encoded(Image.effect_noise((224, 224), 80).convert("RGB"), "JPEG")
    with pytest.raises(ImageError):
        to_jpeg(data[: int(len(data) * share)])


def drawing(size: tuple[int, int], seed: int = 0) -> Image.Image:
    """Return noise on white, as products are shown: the same each time."""
    image = Image.new("RGB", size, WHITE)
    corner = (size[0] // 8, size[1] // 8)
    noise = np.random.default_rng(seed).normal(128, 80, (size[1] // 2, size[0] // 2))
    image.paste(Image.fromarray(noise.clip(0, 255).astype(np.uint8)), corner)
    return image


@pytest.mark.parametrize("size", [(224, 224), (900, 700)])
@pytest.mark.parametrize("options", [{}, {"optimize": True}, {"progressive": True}])
@pytest.mark.parametrize("missing", [1, 2, 3])
def test_a_jpeg_that_lacks_its_end_is_read_as_if_it_were_whole(size, options, missing):
    data = encoded(drawing(size), "JPEG", **options)
    read = np.asarray(opened(to_jpeg(data[:-missing])), dtype=float)
    assert np.abs(read - np.asarray(opened(to_jpeg(data)), dtype=float)).max() < 30


@pytest.mark.parametrize("seed", range(12))
def test_a_jpeg_that_lacks_a_byte_of_short_codes_is_read(seed):
    data = encoded(drawing((900, 700), seed), "JPEG", optimize=True)
    assert opened(to_jpeg(data[:-3])).size == (224, 224)


@pytest.mark.parametrize("size", [(224, 224), (900, 700)])
@pytest.mark.parametrize("options", [{}, {"optimize": True}, {"restart_marker_blocks": 4}])
@pytest.mark.parametrize("share", [0.3, 0.5, 0.8, 0.95, 0.99])
def test_a_jpeg_that_lacks_a_part_is_damaged(size, options, share):
    data = encoded(Image.effect_noise(size, 80).convert("RGB"), "JPEG", **options)
    with pytest.raises(ImageError, match="a damaged image"):
        to_jpeg(data[: int(len(data) * share)])


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_a_progressive_jpeg_that_lacks_more_than_the_last_bit_is_damaged(share):
    data = encoded(drawing((900, 700)), "JPEG", progressive=True)
    with pytest.raises(ImageError, match="a damaged image"):
        to_jpeg(data[: int(len(data) * share)])


def test_a_jpeg_that_lacks_its_end_is_stored_with_one():
    data = encoded(drawing((224, 224)), "JPEG")
    assert to_jpeg(data[:-2]).endswith(b"\xff\xd9")


@pytest.mark.parametrize("at", [2, 40, 200])
def test_a_jpeg_that_is_cut_off_in_its_header_is_refused(at):
    with pytest.raises(ImageError, match="a damaged image"):
        to_jpeg(encoded(drawing((300, 300)), "JPEG", progressive=True)[:at] + b"\xff")


def test_a_grey_jpeg_of_224_becomes_rgb():
    assert near(opened(to_jpeg(encoded(Image.new("L", (224, 224), 255), "JPEG"))), (9, 9), WHITE)


@pytest.mark.parametrize("size", [64, 225, 384])
def test_another_size_gives_squares_of_that_size(size):
    image = Image.open(io.BytesIO(to_jpeg(encoded(Image.new("RGB", (300, 100), RED), "PNG"), size)))
    assert image.size == (size, size)
    assert near(image, (size // 2, size // 2), RED)
    assert near(image, (size // 2, 2), WHITE)


def test_the_same_bytes_give_the_same_bytes():
    data = encoded(Image.effect_noise((640, 480), 80), "PNG")
    assert to_jpeg(data) == to_jpeg(data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b" \r\n", "empty"),
        (b"<html><body>Access denied</body></html>", "a web page"),
        (b"\xef\xbb\xbf\n<!DOCTYPE HTML PUBLIC 'x'><svg></svg>", "a web page"),
        (b"<?xml version='1.0'?><!DOCTYPE html><html><svg ", "a web page"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><title>x</title></svg>", "an SVG"),
        (b"<?xml version='1.0'?>\n<!-- drawn -->\n<SVG\n width='3'/>", "an SVG"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "XML"),
        (b"%PDF-1.7\n%\xe2\xe3", "a PDF"),
        (b"\n\n%PDF-1.4", "a PDF"),
        (b'{"error": "not found"}', "JSON"),
        (b' [{"url": "\xc3\xa9"}]', "JSON"),
        (b'{"error": ', "text"),
        (b"[" * 99_999, "text"),
        (b"/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAgG", "text"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "PostScript"),
        (b"\xff\x0a\xfa\x1f", "a JPEG XL image"),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(50), "a JPEG XL image"),
        (b"\0\0\1\0\1\0" + bytes(50), "an icon (ICO)"),
        (b"\0\0\0\x20ftypisom\0\0\2\0" + bytes(50), "a video"),
        (b"\0\0\0\x14ftypqt  " + bytes(50), "a video"),
        (b"\x1a\x45\xdf\xa3" + bytes(50), "a video"),
        (b"RIFF\0\0\0\0AVI LIST" + bytes(50), "a video"),
        (b"RIFF\0\0\0\0????" + bytes(50), "not an image"),
        (b"\0\0\0\x20ftyp????" + bytes(50), "not an image"),
        (b"PK\x03\x04" + bytes(50), "a zip file"),
        (b"\x1f\x8b\x08" + bytes(50), "a gzip file"),
        (b"\0\0\0\x18ftypheic" + bytes(200), "a damaged image"),
        (b"\0\0\0\x18ftypavif" + bytes(200), "a damaged image"),
        (b"RIFF\0\0\0\0WEBP" + bytes(50), "a damaged image"),
        (b"\xff\xd8\xff" + bytes(100), "a damaged image"),
        (b"\x01\x02\x03" + bytes(100), "not an image"),
    ],
)
def test_what_is_not_an_image_is_named_as_what_it_is(data, reason):
    with pytest.raises(ImageError) as raised:
        to_jpeg(data)
    assert str(raised.value) == reason


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "GIF", "WEBP", "JPEG2000", "HEIF"])
def test_a_damaged_image_is_an_image_or_refused(file_format):
    image = Image.effect_noise((200, 160), 80).convert("RGB")
    ends = []
    for data in mutations(drawn(image, file_format, heic_files.NOISE), 50, seed=3):
        try:
            ends.append(opened(to_jpeg(data)) is not None)
        except ImageError:
            ends.append(False)
    assert len(ends) == 50 and False in ends


def test_a_pixel_is_an_image():
    assert near(opened(to_jpeg(encoded(Image.new("RGB", (1, 1), RED), "PNG"))), (9, 9), RED)


def test_a_damaged_png_is_refused():
    data = bytearray(encoded(Image.effect_noise((100, 100), 80), "PNG"))
    data[len(data) // 2] ^= 0xFF
    with pytest.raises(ImageError):
        to_jpeg(bytes(data))


@pytest.mark.parametrize("side", [10_001, 40_000])
def test_a_bomb_is_refused_before_it_is_decoded(side):
    def chunk(name: bytes, content: bytes) -> bytes:
        crc = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", crc)

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    # Its pixels are no zlib stream: decoding would end in another reason.
    bomb = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"x") + chunk(b"IEND", b"")
    )
    with pytest.raises(ImageError, match="100 megapixels"):
        to_jpeg(bomb)


def test_a_heic_file_that_says_it_is_small_is_refused_before_it_is_decoded():
    data = heic_files.RED
    size = struct.pack(">II", 300, 300)
    assert data.count(size) == 1
    with pytest.raises(ImageError, match="a damaged image"):
        to_jpeg(data.replace(size, struct.pack(">II", 100, 100)))
    with pytest.raises(ImageError, match="100 megapixels"):
        to_jpeg(data.replace(size, struct.pack(">II", 20_000, 20_000)))


def test_encoders_read_a_jpeg_with_superfluous_bytes_as_it_is_shown():
    pixels = np.random.default_rng(0).integers(0, 255, (28, 28, 3), dtype=np.uint8)
    jpeg = encoded(Image.fromarray(pixels).resize((224, 224)), "JPEG")
    damaged = jpeg[:-2] + bytes(80) + jpeg[-2:]
    stored = to_jpeg(damaged)
    np.testing.assert_array_equal(open_jpeg(stored), np.asarray(opened(jpeg)))


def test_encoders_read_whatever_damaged_jpeg_is_taken():
    pixels = np.random.default_rng(0).integers(0, 255, (28, 28, 3), dtype=np.uint8)
    jpeg = encoded(Image.fromarray(pixels).resize((224, 224)), "JPEG")
    taken = 0
    for damaged in mutations(jpeg, 500, seed=0):
        try:
            stored = to_jpeg(damaged)
        except ImageError:
            continue
        assert open_jpeg(stored).shape == (224, 224, 3)
        taken += 1
    assert taken > 50
