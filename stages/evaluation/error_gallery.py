"""The most confident mistakes side by side: each product's image, name, label and prediction."""

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image, ImageDraw, ImageFont

from stages.common.tables import IMAGES, read_table
from stages.evaluation.plot_data import confident_mistakes
from stages.evaluation.predictions import Model

MAX_CASES = 20
COLUMNS = 5
SIDE = 120  # pixels, of a product's image
WIDTH, HEIGHT = 208, 250  # of a product's cell
MARGIN = 8
NAME_LINES = 3
BLACK, GREY, GREEN, RED = "black", "#777777", "#1a7f37", "#b42318"

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class Case:
    """A product to show: `jpeg` is None where it has no image."""

    name: str
    jpeg: bytes | None
    label: str
    prediction: str
    probability: float


def error_gallery(model: Model, names: Mapping[str, str], shards: Iterable[Path]) -> bytes:
    """Return a PNG of the test products that a model is most confident and wrong about.

    `names` has product names by sku; `shards` are the tables of images.
    """
    test = model.test.calibrated
    mistakes = confident_mistakes(model.test)
    shown = mistakes[:MAX_CASES]
    skus = model.test.skus[shown].tolist()
    jpegs = read_images(shards, skus)
    classes, y_true, y_pred, confidence = test.classes, test.y_true, test.y_pred, test.confidence
    cases = [
        Case(names[sku], jpegs.get(sku), classes[y_true[i]], classes[y_pred[i]], confidence[i])
        for sku, i in zip(skus, shown, strict=True)
    ]
    counts = f"{len(mistakes)} mistakes on {len(model.test)} test products"
    title = f"{model.name}: {counts}; shown: {len(cases)}, the most confident first"
    return draw_gallery(cases, title)


def read_images(shards: Iterable[Path], skus: Sequence[str]) -> dict[str, bytes]:
    """Return the images of those products that have one, as JPEG by sku."""
    found: dict[str, bytes] = {}
    for shard in shards:
        table = read_table(shard, IMAGES)
        wanted = pc.is_in(table["sku"], pa.array(skus, pa.string()))
        rows = table.filter(pc.and_(wanted, pc.is_valid(table["jpeg"])))
        found |= dict(zip(rows["sku"].to_pylist(), rows["jpeg"].to_pylist(), strict=True))
    return found


def draw_gallery(cases: Sequence[Case], title: str) -> bytes:
    """Return a PNG of the cases in rows under a title; the same cases give the same bytes.

    It has 256 colours, so that 20 cases stay below 300 kB.
    """
    large, small = ImageFont.load_default(16), ImageFont.load_default(13)
    rows = -(-len(cases) // COLUMNS)
    gallery = Image.new("RGB", (COLUMNS * WIDTH + MARGIN, 40 + rows * HEIGHT), "white")
    draw = ImageDraw.Draw(gallery)
    draw.text((MARGIN, 10), shortened(title, large, gallery.width - 2 * MARGIN), BLACK, large)
    for i, case in enumerate(cases):
        left = MARGIN + i % COLUMNS * WIDTH
        top = 40 + i // COLUMNS * HEIGHT
        gallery.paste(thumbnail(case.jpeg), (left, top))
        if case.jpeg is None:
            draw.text((left + 36, top + 52), "no image", GREY, small)
        lines = [(line, BLACK) for line in wrapped(case.name, small, WIDTH - 2 * MARGIN)]
        lines += [(f"label: {case.label}", GREEN)]
        lines += [(f"{case.probability:.1%} sure: {case.prediction}", RED)]
        for number, (text, colour) in enumerate(lines):
            text = shortened(text, small, WIDTH - 2 * MARGIN)
            draw.text((left, top + SIDE + 6 + 18 * number), text, colour, small)
    file = io.BytesIO()
    gallery.quantize(256, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
    return file.getvalue()


def thumbnail(jpeg: bytes | None) -> Image.Image:
    """Return a product's image as RGB of SIDE by SIDE pixels: grey where there is none."""
    if jpeg is None:
        return Image.new("RGB", (SIDE, SIDE), "#eeeeee")
    with Image.open(io.BytesIO(jpeg)) as opened:
        return opened.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def wrapped(text: str, font: Font, width: int) -> list[str]:
    """Break a text at spaces into at most NAME_LINES lines of `width` pixels; cut the rest."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and (len(lines) == NAME_LINES or font.getlength(longer) <= width):
            lines[-1] = longer
        else:
            lines.append(word)
    return [shortened(line, font, width) for line in lines]


def shortened(text: str, font: Font, width: int) -> str:
    """Cut a text that is wider than `width` pixels, and end it with dots."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}...") > width:
        text = text[:-1]
    return f"{text.rstrip()}..."
