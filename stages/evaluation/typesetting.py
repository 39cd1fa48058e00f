"""Texts in any script, drawn by Typst: it shapes and orders them and finds a font for each sign."""

import io
import json
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from PIL import Image, ImageChops

FONT_PACKAGES = ("manimgx_fonts", "manimgx_fonts_cjk")
FIRST_FAMILIES = ("Noto Sans", "Noto Sans CJK SC")  # others draw Latin or Chinese differently
PIXELS_PER_INCH = 72  # a point is a pixel
MAX_SIGNS = 400  # of a text: more cannot be seen, and would take long to cut
CELL = 20  # pixels of the side of a sign that is tried
TRIED_PER_ROW = 40
NO_SIGN = "\U0010fffd"  # for private use: no font has it

# A text is cut at the last sign with which it still fits, and ends with dots.
TEMPLATE = """
#let page-of = json(bytes(sys.inputs.page))
#set page(width: page-of.width * 1pt, height: page-of.height * 1pt, margin: 0pt, fill: white)
#set text(font: page-of.fonts, top-edge: 0.9em, bottom-edge: -0.3em)
#set par(leading: 0.2em)
#let height(one, lines) = lines * one.size * 1.4pt
#let fits(value, one) = {
  let width = one.width * 1pt
  let sticks-out(word) = {
    let breaks = measure(word, width: width).height > height(one, 1)
    measure(word).width > width and not breaks
  }
  let is-low = measure(value, width: width).height <= height(one, one.lines)
  is-low and not value.split().any(sticks-out)
}
#let cut(one) = {
  if fits(one.text, one) { return one.text }
  let signs = one.text.clusters()
  let (low, high) = (0, signs.len())
  while high - low > 1 {
    let middle = calc.quo(low + high, 2)
    if fits(signs.slice(0, middle).join() + "...", one) { low = middle } else { high = middle }
  }
  if low == 0 { "..." } else { signs.slice(0, low).join().trim(at: end) + "..." }
}
#for one in page-of.texts {
  place(dx: one.x * 1pt, dy: one.y * 1pt, {
    set text(size: one.size * 1pt, fill: rgb(one.colour), dir: if one.rtl { rtl } else { ltr })
    context block(width: one.width * 1pt, height: height(one, one.lines), clip: true, cut(one))
  })
}
"""


@dataclass(frozen=True)
class Text:
    """A text to draw: where, in which size and colour, and in how much space, in pixels."""

    text: str
    x: int
    y: int
    width: int
    lines: int = 1
    size: int = 13
    colour: str = "#000000"


def draw_texts(width: int, height: int, texts: Sequence[Text]) -> Image.Image:
    """Return an RGB image of texts on white; what does not fit its space ends with dots.

    Signs that the fonts of FONT_PACKAGES lack are drawn in fonts of the system.
    """
    import typst

    page = {
        "width": width,
        "height": height,
        "fonts": _families(),
        "texts": [
            asdict(one) | {"text": one.text[:MAX_SIGNS], "rtl": _is_right_to_left(one.text)}
            for one in texts
        ],
    }
    png: Any = typst.compile(
        TEMPLATE.encode(),
        format="png",
        ppi=PIXELS_PER_INCH,
        font_paths=_fonts(with_system=True),
        sys_inputs={"page": json.dumps(page)},
    )
    with Image.open(io.BytesIO(png)) as drawn:
        return drawn.convert("RGB")


def uncovered_scripts(texts: Iterable[str]) -> dict[str, str]:
    """Return the signs that no font has, by the name of their script."""
    signs = sorted({sign for text in texts for sign in text if _is_drawn(sign)})
    columns = min(len(signs) + 1, TRIED_PER_ROW)
    rows = -(-(len(signs) + 1) // columns)
    places = [
        Text(sign, CELL * (i % columns), CELL * (i // columns), CELL)
        for i, sign in enumerate([NO_SIGN, *signs])
    ]
    drawn = draw_texts(CELL * columns, CELL * rows, places)
    cells = [drawn.crop((one.x, one.y, one.x + CELL, one.y + CELL)) for one in places]
    found: dict[str, str] = {}
    for sign, cell in zip(signs, cells[1:], strict=True):
        if ImageChops.difference(cell, cells[0]).getbbox() is None:
            found[script_of(sign)] = found.get(script_of(sign), "") + sign
    return found


def script_of(sign: str) -> str:
    """Return the first word of a sign's name, which is its script's; symbols are symbols."""
    if unicodedata.category(sign)[0] in "SP":
        return "symbols"
    return unicodedata.name(sign, "unknown").split()[0].lower()


@cache
def _fonts(with_system: bool) -> Any:
    """Return the fonts of FONT_PACKAGES, and those of the system and of Typst if wanted."""
    import typst

    folders = [str(files(package)) for package in FONT_PACKAGES]
    return typst.Fonts(with_system, with_system, folders)


def _families() -> list[str]:
    """Return the families of the packages' fonts, those that most texts need first."""
    families = _fonts(with_system=False).families()
    return sorted(families, key=lambda name: (name not in FIRST_FAMILIES, name))


def _is_right_to_left(text: str) -> bool:
    """Return whether the first letter of a text belongs to a script that runs to the left."""
    directions = (unicodedata.bidirectional(sign) for sign in text)
    return next((one for one in directions if one in ("L", "R", "AL")), "L") != "L"


def _is_drawn(sign: str) -> bool:
    """Return whether a sign is a letter, a digit, a symbol or a mark of punctuation."""
    return sign.isprintable() and unicodedata.category(sign)[0] in "LNSP"
