"""Products side by side on one picture: what each looks like, its name, and what is said of it."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

COLUMNS = 5
SIDE = 120  # pixels, of a product's picture
WIDTH, HEIGHT = 208, 250  # of a product's cell
MARGIN = 8
NAME_LINES = 3
BLACK, GREY, GREEN, RED = "black", "#777777", "#1a7f37", "#b42318"


@dataclass(frozen=True)
class Case:
    """A product to be shown: `jpeg` is None where it has no picture."""

    name: str
    jpeg: bytes | None
    label: str
    prediction: str
    probability: float


def contact_sheet(cases: Sequence[Case], title: str) -> bytes:
    """Return a PNG of the cases in rows under a title; the same cases give the same bytes.

    It has 256 colours, so that a sheet of 20 stays below 300 kB.
    """
    large, small = ImageFont.load_default(16), ImageFont.load_default(13)
    rows = -(-len(cases) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * WIDTH + MARGIN, 40 + rows * HEIGHT), "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, 10), fitted(title, large, sheet.width - 2 * MARGIN), BLACK, large)
    for at, case in enumerate(cases):
        left = MARGIN + at % COLUMNS * WIDTH
        top = 40 + at // COLUMNS * HEIGHT
        sheet.paste(picture(case.jpeg), (left, top))
        if case.jpeg is None:
            draw.text((left + 32, top + 52), "no picture", GREY, small)
        said = [(line, BLACK) for line in wrapped(case.name, small, WIDTH - 2 * MARGIN)]
        said += [(f"is {case.label}", GREEN)]
        said += [(f"{case.probability:.1%} sure: {case.prediction}", RED)]
        for line, (text, colour) in enumerate(said):
            text = fitted(text, small, WIDTH - 2 * MARGIN)
            draw.text((left, top + SIDE + 6 + 18 * line), text, colour, small)
    file = io.BytesIO()
    sheet.quantize(256, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
    return file.getvalue()


def picture(jpeg: bytes | None) -> Image.Image:
    """Return a product's picture as RGB of SIDE by SIDE pixels: grey where there is none."""
    if jpeg is None:
        return Image.new("RGB", (SIDE, SIDE), "#eeeeee")
    with Image.open(io.BytesIO(jpeg)) as opened:
        return opened.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def wrapped(text: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """Break a text at spaces into at most NAME_LINES lines of `width` pixels; cut what is over."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and (len(lines) == NAME_LINES or font.getlength(longer) <= width):
            lines[-1] = longer
        else:
            lines.append(word)
    return [fitted(line, font, width) for line in lines]


def fitted(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """Cut a text that is wider than `width` pixels, and say so with dots."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}...") > width:
        text = text[:-1]
    return f"{text.rstrip()}..."
