"""The most confident mistakes side by side: each product's image, name, label and prediction."""

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageChops

from stages.common.product_images import read_images
from stages.evaluation.plot_data import confident_mistakes
from stages.evaluation.predictions import Model
from stages.evaluation.typesetting import Text, draw_texts, uncovered_scripts

MAX_CASES = 20
COLUMNS = 5
SIDE = 120  # pixels, of a product's image
WIDTH, HEIGHT = 208, 250  # of a product's cell
MARGIN = 8
TOP = 40  # pixels above the first row, for the title
NAME_LINES = 3
LINE = 18  # pixels
GREY, PALE_GREY, GREEN, RED = "#777777", "#eeeeee", "#1a7f37", "#b42318"


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

    `names` has product names by sku; `shards` are the tables of images. A product without a name is
    shown with its sku. Scripts that no font has are printed.
    """
    test = model.test.calibrated
    mistakes = confident_mistakes(model.test)
    shown = mistakes[:MAX_CASES]
    skus = model.test.skus[shown].tolist()
    jpegs = read_images(shards, skus)
    classes, y_true, y_pred, confidence = test.classes, test.y_true, test.y_pred, test.confidence
    cases = [
        Case(
            names[sku] or sku, jpegs.get(sku), classes[y_true[i]], classes[y_pred[i]], confidence[i]
        )
        for sku, i in zip(skus, shown, strict=True)
    ]
    counts = f"{len(mistakes)} mistakes on {len(model.test)} test products"
    title = f"{model.name}: {counts}; shown: {len(cases)}, the most confident first"
    for script, signs in uncovered_scripts(words(cases)).items():
        print(f"errors.png: no font has {len(signs)} signs of {script} ({signs[:5]}): install one")
    return draw_gallery(cases, title)


def draw_gallery(cases: Sequence[Case], title: str) -> bytes:
    """Return a PNG of the cases in rows under a title; the same cases give the same bytes.

    It has 256 colours, so that 20 cases stay below 300 kB.
    """
    width, height = COLUMNS * WIDTH + MARGIN, TOP + -(-len(cases) // COLUMNS) * HEIGHT
    corners = [
        (MARGIN + i % COLUMNS * WIDTH, TOP + i // COLUMNS * HEIGHT) for i in range(len(cases))
    ]
    texts = [Text(title, MARGIN, 10, width - 2 * MARGIN, size=16)]
    for case, corner in zip(cases, corners, strict=True):
        texts += case_texts(case, *corner)
    gallery = draw_texts(width, height, texts)
    for case, (left, top) in zip(cases, corners, strict=True):
        if case.jpeg is None:
            behind = gallery.crop((left, top, left + SIDE, top + SIDE))
            grey = Image.new("RGB", behind.size, PALE_GREY)
            gallery.paste(ImageChops.darker(behind, grey), (left, top))
        else:
            gallery.paste(thumbnail(case.jpeg), (left, top))
    file = io.BytesIO()
    gallery.quantize(256, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
    return file.getvalue()


def case_texts(case: Case, left: int, top: int) -> list[Text]:
    """Return the texts of a case whose cell has its corner at `left` and `top`."""
    width, below = WIDTH - 2 * MARGIN, top + SIDE + 6
    label, prediction = (below + LINE * line for line in (NAME_LINES, NAME_LINES + 1))
    texts = [
        Text(case.name, left, below, width, NAME_LINES),
        Text(f"label: {case.label}", left, label, width, colour=GREEN),
        Text(
            f"{case.probability:.1%} sure: {case.prediction}", left, prediction, width, colour=RED
        ),
    ]
    if case.jpeg is None:
        texts.append(Text("no image", left + 36, top + 52, SIDE - 36, colour=GREY))
    return texts


def words(cases: Iterable[Case]) -> list[str]:
    """Return what users wrote of the cases' products."""
    return [text for case in cases for text in (case.name, case.label, case.prediction)]


def thumbnail(jpeg: bytes) -> Image.Image:
    """Return a product's image as RGB of SIDE by SIDE pixels."""
    with Image.open(io.BytesIO(jpeg)) as opened:
        return opened.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
