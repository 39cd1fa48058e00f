"""The images of the demo catalogue: each is drawn from its reference.

A reference is, for example, `demo:phone?look=81&colour=Navy&shot=2`: what is drawn, the seed of its
shape, pose and background, its colour, and the seed of what differs between two images of the same
product. Painters draw in a square from -1 to 1, y pointing down. What they draw from their random
generator does not depend on the colour, so that the colours of a product have the same shape.
"""

import io
import math
from collections.abc import Callable, Sequence
from random import Random
from typing import cast
from urllib.parse import parse_qsl

from PIL import Image, ImageChops, ImageDraw, ImageOps

from stages.common.errors import InputError
from stages.common.image_ref import ImageRef

Colour = tuple[int, int, int]
Point = tuple[float, float]

SIZE = 224  # pixels, of the finished image
CANVAS = 2 * SIZE  # drawn larger and halved, for smooth edges

COLOURS: dict[str, Colour] = {
    "Black": (32, 32, 36),
    "White": (226, 227, 228),
    "Silver": (188, 192, 198),
    "Gray": (108, 112, 118),
    "Stainless Steel": (164, 170, 174),
    "Navy": (34, 48, 96),
    "Blue": (36, 104, 200),
    "Teal": (22, 148, 148),
    "Green": (62, 146, 72),
    "Olive": (100, 104, 62),
    "Red": (200, 40, 44),
    "Orange": (236, 126, 34),
    "Pink": (240, 130, 172),
    "Purple": (124, 68, 164),
    "Gold": (212, 182, 124),
    "Brown": (124, 80, 50),
}
DARK = (24, 24, 28)
PALE = (232, 234, 236)
METAL = (150, 154, 160)


class Pen:
    """Draws shapes, given in a product's own coordinates, at its position on a canvas."""

    def __init__(self, canvas: Image.Image, x_axis: Point, y_axis: Point, centre: Point) -> None:
        """Take the canvas, where (1, 0) and (0, 1) point to, and where (0, 0) lies, in pixels."""
        self._draw = ImageDraw.Draw(canvas)
        self._axes = (*x_axis, *y_axis)
        self._centre = centre
        self._unit = math.sqrt(abs(x_axis[0] * y_axis[1] - x_axis[1] * y_axis[0]))

    def _to_pixels(self, points: Sequence[Point]) -> list[Point]:
        a, b, c, d = self._axes
        left, top = self._centre
        return [(left + a * x + c * y, top + b * x + d * y) for x, y in points]

    def shape(self, points: Sequence[Point], fill: Colour) -> None:
        """Fill a polygon."""
        self._draw.polygon(self._to_pixels(points), fill=fill)

    def line(self, points: Sequence[Point], width: float, fill: Colour) -> None:
        """Draw a line through points."""
        pixels = max(1, round(width * self._unit))
        self._draw.line(self._to_pixels(points), fill=fill, width=pixels, joint="curve")

    def oval(self, x: float, y: float, width: float, height: float, fill: Colour) -> None:
        """Fill an ellipse around (x, y)."""
        self.shape(arc(x, y, width / 2, height / 2, 0, 360, 30), fill)

    def box(
        self, x: float, y: float, width: float, height: float, fill: Colour, radius: float = 0
    ) -> None:
        """Fill a rectangle around (x, y), its corners rounded by `radius`."""
        across, down = width / 2 - radius, height / 2 - radius
        points: list[Point] = []
        for index, (side, end) in enumerate(((1, 1), (-1, 1), (-1, -1), (1, -1))):
            corner = (x + side * across, y + end * down)
            turn = 90 * index
            points += arc(*corner, radius, radius, turn, turn + 90, 6) if radius else [corner]
        self.shape(points, fill)

    def fade(
        self, x: float, y: float, width: float, height: float, top: Colour, bottom: Colour
    ) -> None:
        """Fill a rectangle around (x, y) from one colour at its top to another at its bottom."""
        steps = 12
        for step in range(steps):
            upper = y - height / 2 + height * step / steps
            part = height / steps
            shade = mix(top, bottom, step / (steps - 1))
            self.box(x, upper + part / 2, width, part * 1.06, shade)


Painter = Callable[[Pen, Random, Colour], None]


def arc(
    x: float, y: float, across: float, down: float, start: float, stop: float, count: int
) -> list[Point]:
    """Return `count` points of an ellipse's edge between two angles in degrees."""
    angles = [math.radians(start + (stop - start) * i / (count - 1)) for i in range(count)]
    return [(x + across * math.cos(angle), y + down * math.sin(angle)) for angle in angles]


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """Return the colour that lies `share` of the way from the first to the second."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def darker(colour: Colour, share: float = 0.3) -> Colour:
    """Return a colour mixed with black."""
    return mix(colour, (0, 0, 0), share)


def lighter(colour: Colour, share: float = 0.3) -> Colour:
    """Return a colour mixed with white."""
    return mix(colour, (255, 255, 255), share)


def any_colour(rng: Random, low: int = 30, high: int = 235) -> Colour:
    """Draw a colour."""
    return rng.randint(low, high), rng.randint(low, high), rng.randint(low, high)


def screen(
    pen: Pen, rng: Random, shown: str, x: float, y: float, width: float, height: float
) -> None:
    """Draw a screen around (x, y); `shown` lists scenes: off, landscape, icons and windows."""
    scene = rng.choice(shown.split())
    if scene == "off":
        pen.fade(x, y, width, height, (52, 56, 64), (22, 24, 28))
        return
    sky, ground = {
        "landscape": (any_colour(rng, 70), any_colour(rng)),
        "icons": (any_colour(rng, 20, 110), any_colour(rng, 20, 60)),
        "windows": ((40, rng.randint(90, 150), rng.randint(170, 230)), (30, 60, 120)),
    }[scene]
    pen.fade(x, y, width, height, sky, mix(sky, ground, 0.5))
    left, right, bottom = x - width / 2, x + width / 2, y + height / 2
    if scene == "landscape":
        sun = min(width, height) * rng.uniform(0.15, 0.3)
        pen.oval(x + width * rng.uniform(-0.3, 0.3), y - height * 0.2, sun, sun, lighter(sky, 0.7))
        for layer in range(3):
            ridge = [
                (left + width * i / 6, bottom - height * rng.uniform(0.1, 0.5) * (1 - layer / 4))
                for i in range(7)
            ]
            pen.shape([*ridge, (right, bottom), (left, bottom)], darker(ground, 0.2 * layer))
    elif scene == "icons":
        columns = 4 if height > width else 7
        step = width / (columns + 1)
        for row in range(1, int(height / step)):
            for column in range(1, columns + 1):
                tile = any_colour(rng, 80)
                pen.box(
                    left + column * step,
                    y - height / 2 + row * step,
                    step * 0.62,
                    step * 0.62,
                    tile,
                    step * 0.12,
                )
    else:
        for _ in range(2):
            across, down = width * rng.uniform(0.3, 0.5), height * rng.uniform(0.3, 0.5)
            middle = x + (width - across) / 2 * rng.uniform(-0.9, 0.9)
            level = y + (height - down) / 2 * rng.uniform(-0.9, 0.7)
            pen.box(middle, level, across, down, PALE)
            pen.box(middle, level - down * 0.43, across, down * 0.14, darker(sky))
        pen.box(x, bottom - height * 0.03, width, height * 0.06, darker(ground))


def lenses(pen: Pen, rng: Random, x: float, y: float, size: float) -> None:
    """Draw the camera on the back of a phone."""
    count = rng.choice([1, 2, 3])
    pen.box(x, y + size * (count - 1) / 2, size * 1.25, size * (count + 0.25), DARK, size * 0.5)
    for index in range(count):
        pen.oval(x, y + size * index, size * 0.8, size * 0.8, (70, 74, 84))
        pen.oval(x, y + size * index, size * 0.4, size * 0.4, (20, 24, 44))


def front(
    pen: Pen, rng: Random, width: float, height: float, frame: Colour, edge: float, radius: float
) -> None:
    """Draw the front of a phone or tablet: frame, glass and what it shows."""
    pen.box(0, 0, width, height, frame, radius)
    glass = DARK if rng.random() < 0.75 else PALE
    pen.box(0, 0, width - 0.05, height - 0.05, glass, radius * 0.9)
    screen(pen, rng, "icons icons landscape off", 0, 0, width - 2 * edge, height - 2 * edge)


def phone(pen: Pen, rng: Random, colour: Colour) -> None:
    """Draw a phone: its front, now and then its back."""
    width = rng.uniform(0.86, 1.06)
    if rng.random() < 0.3:
        pen.box(0, 0, width, 1.86, darker(colour), 0.14)
        pen.box(-0.02, -0.01, width - 0.05, 1.82, colour, 0.13)
        lenses(pen, rng, rng.choice([0, width * 0.28]), -0.68, 0.16)
        pen.oval(0, -0.1, 0.18, 0.18, lighter(colour, 0.25))
        return
    front(pen, rng, width, 1.86, colour, rng.uniform(0.06, 0.1), 0.13)
    if rng.random() < 0.5:
        pen.oval(0, 0.8, 0.13, 0.13, METAL)
    pen.box(0, -0.86, 0.2, 0.03, METAL, 0.01)


def case(pen: Pen, rng: Random, colour: Colour) -> None:
    """Draw a phone case: its back with a pattern, or a phone in it."""
    width = rng.uniform(0.92, 1.06)
    pen.box(0, 0, width, 1.94, darker(colour, 0.35), 0.17)
    pen.box(-0.025, -0.015, width - 0.06, 1.88, colour, 0.16)
    if rng.random() < 0.45:
        rim = rng.uniform(0.06, 0.16)
        front(pen, rng, width - rim, 1.94 - rim, DARK, 0.09, 0.12)
        return
    pattern = rng.choice(["plain", "plain", "stripes", "dots", "flower", "ribs"])
    accent = lighter(colour, 0.55) if rng.random() < 0.6 else any_colour(rng)
    half = width / 2 - 0.1
    if pattern == "stripes":
        for index in range(rng.randint(3, 6)):
            pen.box(0, -0.3 + 0.2 * index, 2 * half + 0.1, 0.08, accent)
    elif pattern == "dots":
        for row in range(7):
            for column in range(4):
                pen.oval(half * (column - 1.5) / 1.6, -0.4 + row * 0.19, 0.1, 0.1, accent)
    elif pattern == "flower":
        for angle in range(0, 360, 60):
            x, y = math.cos(math.radians(angle)), math.sin(math.radians(angle))
            pen.oval(x * 0.2, 0.25 + y * 0.2, 0.22, 0.22, accent)
        pen.oval(0, 0.25, 0.2, 0.2, lighter(accent))
    elif pattern == "ribs":
        for side in (-1, 1):
            for row in range(8):
                pen.box(side * half, -0.3 + row * 0.13, 0.1, 0.05, darker(colour))
    pen.box(-half * 0.35, -0.7, half * 1.0, 0.24, (250, 250, 250), 0.12)


def tablet(pen: Pen, rng: Random, colour: Colour) -> None:
    """Draw a tablet, upright or lying on its side."""
    long, short = 1.84, rng.uniform(1.08, 1.42)
    upright = rng.random() < 0.55
    width, height = (short, long) if upright else (long, short)
    front(pen, rng, width, height, colour, rng.uniform(0.09, 0.16), 0.09)
    at = (0.0, height / 2 - 0.06) if upright else (width / 2 - 0.06, 0.0)
    pen.oval(*at, 0.07, 0.07, METAL)


def laptop(pen: Pen, rng: Random, colour: Colour) -> None:
    """Draw an open laptop from the front."""
    lean = rng.uniform(0.0, 0.2)
    pen.box(0, -0.3, 1.6, 1.06, darker(colour, 0.2), 0.05)
    pen.box(0, -0.3, 1.54, 1.0, DARK, 0.03)
    screen(pen, rng, "windows windows landscape off", 0, -0.32, 1.42, 0.86)
    pen.shape(
        [(-0.8, 0.24), (0.8, 0.24), (0.96 + lean / 3, 0.78), (-0.96 - lean / 3, 0.78)], colour
    )
    keys = DARK if rng.random() < 0.8 else PALE
    for row in range(4):
        half = 0.7 + row * 0.03
        y = 0.31 + row * 0.075
        for key in range(13):
            pen.box(-half + key * half / 6, y, 0.095, 0.055, keys)
    pen.box(0, 0.69, 0.42, 0.13, darker(colour, 0.15))
    pen.box(0, 0.8, 1.94 + lean / 2, 0.05, darker(colour, 0.35), 0.02)


def television(pen: Pen, rng: Random, colour: Colour) -> None:
    """Draw a television on two feet, sometimes on a pedestal."""
    width, height = rng.uniform(1.7, 1.92), rng.uniform(1.02, 1.14)
    edge = rng.uniform(0.02, 0.06)
    level = 0.5 * height - 0.1
    if rng.random() < 0.55:
        for side in (-1, 1):
            x = side * rng.uniform(0.5, 0.75)
            pen.shape(
                [(x - 0.03, level), (x + 0.03, level), (x + 0.14, 0.68), (x - 0.14, 0.68)], DARK
            )
    else:
        pen.box(0, level + 0.08, 0.2, 0.24, darker(colour))
        pen.box(0, 0.68, 0.9, 0.07, colour, 0.03)
    pen.box(0, -0.1, width, height, colour, 0.02)
    screen(
        pen, rng, "landscape landscape landscape off", 0, -0.1, width - 2 * edge, height - 2 * edge
    )


def monitor(pen: Pen, rng: Random, colour: Colour) -> None:
    """Draw a computer monitor on its stand."""
    width, height = rng.uniform(1.6, 1.86), rng.uniform(1.0, 1.14)
    edge = rng.uniform(0.03, 0.08)
    pen.box(0, 0.5, 0.24, 0.6, darker(colour, 0.2))
    if rng.random() < 0.6:
        pen.oval(0, 0.8, 0.86, 0.16, colour)
    else:
        pen.box(0, 0.8, 0.8, 0.08, colour, 0.03)
    pen.box(0, -0.2, width, height, colour, 0.03)
    screen(pen, rng, "windows windows landscape off", 0, -0.2, width - 2 * edge, height - 2 * edge)
    pen.box(0, -0.2 + height / 2 - edge / 2, 0.14, edge / 2, METAL)


def remote(pen: Pen, rng: Random, colour: Colour) -> None:
    """Draw a remote control."""
    width = rng.uniform(0.4, 0.56)
    pen.box(0.02, 0.02, width, 1.9, darker(colour, 0.45), 0.12)
    pen.box(0, 0, width, 1.88, colour, 0.12)
    pen.oval(-width * 0.3, -0.82, 0.1, 0.1, (200, 40, 40))
    key = lighter(colour, 0.45) if sum(colour) < 380 else darker(colour, 0.45)
    for row in range(rng.randint(4, 6)):
        for column in (-1, 0, 1):
            pen.box(column * width * 0.28, -0.62 + row * 0.13, width * 0.2, 0.08, key, 0.03)
    pen.oval(0, 0.28, width * 0.76, width * 0.76, key)
    pen.oval(0, 0.28, width * 0.36, width * 0.36, colour)
    for column in (-1, 0, 1):
        pen.box(column * width * 0.28, 0.66, width * 0.2, 0.1, any_colour(rng, 60), 0.03)


def mount(pen: Pen, rng: Random, colour: Colour) -> None:
    """Draw a bracket that holds a screen on a wall."""
    spread = rng.uniform(0.5, 0.75)
    pen.box(-0.72, 0, 0.3, 1.2, darker(colour, 0.2), 0.03)
    for y in (-0.4, 0.0, 0.4):
        pen.oval(-0.72, y, 0.1, 0.1, METAL)
    elbow = (rng.uniform(-0.2, 0.0), rng.uniform(-0.35, 0.35))
    pen.line([(-0.7, 0), elbow, (0.45, 0)], 0.15, colour)
    pen.oval(*elbow, 0.22, 0.22, METAL)
    pen.box(0.5, 0, 0.14, 1.3, darker(colour, 0.1), 0.03)
    for y in (-spread, spread):
        pen.box(0.5, y, 0.85, 0.12, colour, 0.03)
        for x in (0.2, 0.8):
            pen.oval(x, y, 0.07, 0.07, PALE)


def headphones(pen: Pen, rng: Random, colour: Colour) -> None:
    """Draw headphones over the ears, some with a microphone."""
    wide, thick = rng.uniform(0.62, 0.74), rng.uniform(0.1, 0.17)
    band = arc(0, 0.15, wide, rng.uniform(0.85, 1.0), 180, 360, 24)
    pen.line(band, thick, darker(colour, 0.15))
    pen.line(band[6:18], thick * 1.5, colour)
    round_cup = rng.random() < 0.5
    for side in (-1, 1):
        pen.box(side * (wide - 0.14), 0.3, 0.26, 0.7, DARK, 0.12)
        pen.box(side * (wide + 0.02), 0.3, 0.3, 0.72 if round_cup else 0.62, colour, 0.14)
        pen.oval(side * (wide + 0.04), 0.3, 0.14, 0.34, lighter(colour))
    if rng.random() < 0.35:
        boom = [(-wide, 0.55), (-wide * 0.8, 0.85), (-0.1, 0.92)]
        pen.line(boom, 0.05, DARK)
        pen.oval(-0.08, 0.92, 0.22, 0.13, DARK)


def earbuds(pen: Pen, rng: Random, colour: Colour) -> None:
    """Draw a pair of earbuds on their wires."""
    drop = rng.uniform(0.2, 0.5)
    for side in (-1, 1):
        bend = rng.uniform(0.3, 0.8)
        wire = [(side * 0.45, -0.5), (side * bend, 0.1), (side * 0.15, drop), (0, drop + 0.2)]
        pen.line(wire, 0.045, darker(colour, 0.15))
        pen.box(side * 0.45, -0.42, 0.13, 0.46, colour, 0.06)
        pen.oval(side * 0.4, -0.66, 0.4, 0.34, colour)
        pen.oval(side * 0.28, -0.68, 0.2, 0.26, PALE if sum(colour) < 400 else METAL)
    pen.line([(0, drop + 0.2), (0.05, 0.8), (0.25, 0.95)], 0.05, darker(colour, 0.15))


def speaker(pen: Pen, rng: Random, colour: Colour) -> None:
    """Draw a speaker: a cabinet with cones, a can with a grille, or a bar."""
    style = rng.choice(["cabinet", "cabinet", "can", "bar"])
    if style == "cabinet":
        width = rng.uniform(0.9, 1.2)
        pen.shape(
            [(width / 2, -0.9), (width / 2 + 0.2, -0.8), (width / 2 + 0.2, 0.8), (width / 2, 0.9)],
            darker(colour, 0.45),
        )
        pen.box(0, 0, width, 1.8, colour, 0.02)
        for y, size in ((-0.5, 0.45), (0.28, 0.8)):
            pen.oval(0, y, size * 1.12, size * 1.12, METAL)
            pen.oval(0, y, size, size, DARK)
            pen.oval(0, y, size * 0.62, size * 0.62, (62, 62, 68))
            pen.oval(0, y, size * 0.28, size * 0.28, (110, 110, 116))
        return
    width, height = (1.05, 1.5) if style == "can" else (1.9, 0.36)
    pen.box(0, 0, width, height, colour, min(width, height) * 0.3)
    pitch = 0.11 if style == "can" else 0.09
    rows, columns = int(height * 0.8 / pitch), int(width * 0.84 / pitch)
    for row in range(rows):
        for column in range(columns):
            x, y = (column - (columns - 1) / 2) * pitch, (row - (rows - 1) / 2) * pitch
            pen.box(x, y, pitch * 0.5, pitch * 0.5, darker(colour, 0.55))
    if style == "can":
        pen.oval(0, -height / 2 + 0.06, width * 0.86, 0.2, lighter(colour))


def camera(pen: Pen, rng: Random, colour: Colour) -> None:
    """Draw a camera with its lens."""
    size = rng.uniform(0.72, 0.95)
    x = rng.uniform(-0.1, 0.25)
    pen.box(-0.5, -0.52, 0.34, 0.16, DARK, 0.04)
    pen.shape(
        [(x - 0.38, -0.42), (x - 0.22, -0.74), (x + 0.22, -0.74), (x + 0.38, -0.42)], darker(colour)
    )
    pen.box(0, 0.05, 1.8, 1.06, colour, 0.12)
    pen.box(0, 0.12, 1.8, 0.6, darker(mix(colour, DARK, 0.6), 0.1))
    for ring, shade in ((1.0, METAL), (0.9, DARK), (0.66, (60, 62, 70)), (0.5, (28, 34, 70))):
        pen.oval(x, 0.1, size * ring, size * ring, shade)
    pen.oval(x - 0.08, 0.02, 0.12, 0.1, (180, 190, 230))
    pen.box(0.68, -0.32, 0.2, 0.12, PALE, 0.02)


def fridge(pen: Pen, rng: Random, colour: Colour) -> None:
    """Draw a refrigerator, its freezer above, below or beside."""
    width = rng.uniform(0.84, 1.06)
    side = 0.16
    pen.shape(
        [
            (width / 2, -0.95),
            (width / 2 + side, -0.88),
            (width / 2 + side, 0.86),
            (width / 2, 0.95),
        ],
        darker(colour, 0.35),
    )
    pen.fade(0, 0, width, 1.9, lighter(colour, 0.35), colour)
    seam, handle = darker(colour, 0.5), darker(colour, 0.25)
    style = rng.choice(["top", "bottom", "french"])
    split = {"top": -0.4, "bottom": 0.3, "french": 0.3}[style]
    pen.box(0, split, width, 0.03, seam)
    if style == "french":
        pen.box(0, (split - 0.95) / 2, 0.025, split + 0.95, seam)
        for x in (-0.07, 0.07):
            pen.box(x, -0.25, 0.05, 0.7, handle, 0.02)
        pen.box(0, split + 0.1, width * 0.7, 0.05, handle, 0.02)
        if rng.random() < 0.5:
            pen.box(-width * 0.27, -0.3, width * 0.24, 0.3, DARK, 0.02)
    else:
        for y in (split - 0.25, split + 0.28):
            pen.box(-width * 0.42, y, 0.05, 0.36, handle, 0.02)
    pen.box(0, 0.93, width, 0.06, seam)


def washer(pen: Pen, rng: Random, colour: Colour) -> None:
    """Draw a washing machine that loads at the front, sometimes at the top."""
    height = rng.uniform(1.5, 1.75)
    top = -height / 2
    pen.shape(
        [(0.66, top), (0.82, top + 0.08), (0.82, -top - 0.08), (0.66, -top)], darker(colour, 0.3)
    )
    pen.box(0, 0, 1.32, height, colour, 0.03)
    pen.box(0, top + 0.14, 1.32, 0.26, darker(colour, 0.16))
    pen.oval(0.25, top + 0.14, 0.18, 0.18, METAL)
    pen.box(-0.35, top + 0.14, 0.4, 0.12, DARK)
    if rng.random() < 0.2:
        pen.shape(
            [(-0.66, top), (-0.56, top - 0.14), (0.62, top - 0.14), (0.66, top)], lighter(colour)
        )
        pen.box(0, 0.2, 1.1, 0.015, darker(colour, 0.25))
    else:
        size = rng.uniform(0.85, 1.0)
        for ring, shade in ((1.0, METAL), (0.9, PALE), (0.76, (44, 50, 60)), (0.6, (84, 94, 108))):
            pen.oval(0, 0.16, size * ring, size * ring, shade)
        pen.oval(-0.1, 0.08, 0.16, 0.2, (150, 160, 174))
    pen.box(0, -top - 0.04, 1.32, 0.06, darker(colour, 0.35))


def bag(pen: Pen, rng: Random, colour: Colour) -> None:
    """Draw a laptop bag: a briefcase, a backpack or a sleeve, in woven cloth."""
    style = rng.choice(["briefcase", "briefcase", "backpack", "sleeve"])
    width, height, y = {
        "briefcase": (1.8, 1.15, 0.2),
        "backpack": (1.2, 1.55, 0.15),
        "sleeve": (1.75, 1.25, 0.0),
    }[style]
    trim = darker(colour, 0.45)
    if style == "briefcase":
        pen.line(arc(0, -0.36, 0.35, 0.36, 180, 360, 12), 0.09, trim)
        if rng.random() < 0.6:
            pen.line([(-0.85, -0.2), (-0.5, -0.95), (0.5, -0.95), (0.85, -0.2)], 0.07, trim)
    elif style == "backpack":
        pen.line(arc(0, -0.6, 0.2, 0.3, 180, 360, 10), 0.08, trim)
        for side in (-1, 1):
            pen.line([(side * 0.5, -0.4), (side * 0.78, 0.2), (side * 0.55, 0.85)], 0.12, trim)
    pen.box(0, y, width, height, colour, 0.3 if style == "backpack" else 0.1)
    for index in range(1, 16):
        row = y - height / 2 + height * index / 16
        pen.line([(-width / 2 + 0.1, row), (width / 2 - 0.1, row)], 0.018, darker(colour, 0.14))
    if style != "sleeve":
        pen.box(0, y + height * 0.2, width * 0.8, height * 0.45, darker(colour, 0.2), 0.08)
    pen.line([(-width * 0.4, y - height * 0.1), (width * 0.4, y - height * 0.1)], 0.03, METAL)
    pen.box(width * 0.36, y - height * 0.06, 0.05, 0.12, METAL)


def charger(pen: Pen, rng: Random, colour: Colour) -> None:
    """Draw a power adapter with its prongs, most with a cord."""
    width = rng.uniform(0.6, 0.85)
    if rng.random() < 0.7:
        cord = arc(0.15, 0.5, rng.uniform(0.4, 0.65), 0.36, -90, 250, 26)
        pen.line([(width / 2 - 0.3, -0.3), *cord], 0.06, darker(colour, 0.12))
        pen.box(cord[-1][0], cord[-1][1] - 0.02, 0.14, 0.28, METAL, 0.03)
    for x in (-0.14, 0.14):
        pen.box(-0.3 + x, -0.86, 0.08, 0.3, METAL)
    pen.box(-0.28, -0.26, width, 0.96, darker(colour, 0.3), 0.1)
    pen.box(-0.3, -0.28, width, 0.94, colour, 0.1)
    pen.box(-0.3, 0.05, width * 0.4, 0.08, DARK)
    if rng.random() < 0.5:
        pen.box(-0.3, -0.1, width * 0.4, 0.08, DARK)


def cable(pen: Pen, rng: Random, colour: Colour) -> None:
    """Draw a coiled cable and its two plugs."""
    loops, thick = rng.randint(2, 4), rng.uniform(0.05, 0.08)
    coil: list[Point] = []
    for loop in range(loops):
        coil += arc(0, -0.05, 0.75 - 0.09 * loop, 0.62 - 0.08 * loop, 100, 450, 28)
    ends = [(-0.35, 0.85), (rng.uniform(0.3, 0.6), 0.85)]
    pen.line([ends[0], *coil, ends[1]], thick, colour)
    for x, y in ends:
        pen.box(x, y - 0.02, 0.2, 0.3, darker(colour, 0.2), 0.04)
        pen.box(x, y + 0.17, 0.14, 0.12, METAL)


def cover(pen: Pen, rng: Random, top: Colour, bottom: Colour, figures: int) -> None:
    """Draw the art on the front of a case for discs: a scene, figures and a title."""
    pen.fade(0, 0.06, 1.24, 1.72, top, bottom)
    pen.oval(rng.uniform(-0.3, 0.3), rng.uniform(-0.3, 0.1), 0.6, 0.6, lighter(top, 0.35))
    shade = darker(bottom, 0.55)
    for _ in range(figures):
        x, head = rng.uniform(-0.35, 0.35), rng.uniform(-0.05, 0.25)
        pen.oval(x, head, 0.2, 0.24, shade)
        pen.shape(
            [(x - 0.24, 0.9), (x - 0.14, head + 0.14), (x + 0.14, head + 0.14), (x + 0.24, 0.9)],
            shade,
        )
    title = lighter(any_colour(rng), 0.55)
    y = rng.choice([-0.5, 0.6])
    for row in range(rng.randint(1, 2)):
        half = rng.uniform(0.3, 0.52)
        pen.box(0, y + row * 0.17, 2 * half, 0.11, title)


def game(pen: Pen, rng: Random, colour: Colour) -> None:
    """Draw a video game's case, its platform named on a band across the top."""
    pen.box(0.02, 0.0, 1.34, 1.88, darker(colour, 0.25), 0.04)
    cover(pen, rng, any_colour(rng, 50), any_colour(rng, 20, 170), rng.randint(0, 3))
    pen.box(0, -0.78, 1.24, 0.2, colour)
    pen.box(-0.3, -0.78, 0.46, 0.07, PALE)
    pen.box(-0.5, 0.82, 0.15, 0.16, PALE)


def movie(pen: Pen, rng: Random, colour: Colour) -> None:
    """Draw a film's case with a dark cover, some with a band like a game's."""
    pen.box(0.02, 0.0, 1.32, 1.88, darker(colour, 0.35), 0.03)
    dark = any_colour(rng, 10, 90)
    top = mix(dark, any_colour(rng), rng.choice([0.1, 0.4, 0.9]))
    cover(pen, rng, top, dark, rng.randint(1, 4))
    if rng.random() < 0.6:
        pen.box(0, -0.8, 1.24, rng.uniform(0.1, 0.2), colour)
    for row in range(3):
        pen.box(0, 0.76 + row * 0.05, 0.8, 0.02, lighter(dark, 0.5))


def telescope(pen: Pen, rng: Random, colour: Colour) -> None:
    """Draw a telescope on its tripod."""
    for x in (-0.55, 0.05, 0.5):
        pen.line([(0, 0.05), (x, 0.95)], 0.07, METAL)
    rise = rng.uniform(0.3, 0.55)
    pen.line([(-0.85, rise), (0.75, -rise)], 0.26, colour)
    pen.line([(0.6, -rise * 0.8), (0.85, -rise * 1.13)], 0.34, DARK)
    pen.line([(-0.95, rise * 1.12), (-0.8, rise * 0.94)], 0.12, DARK)


def carton(pen: Pen, rng: Random, colour: Colour) -> None:
    """Draw the closed carton that something is sold in."""
    width, height = rng.uniform(1.0, 1.5), rng.uniform(0.9, 1.5)
    half, top = width / 2, -height / 2 + 0.1
    face = rng.choice([(236, 236, 234), (178, 138, 96), any_colour(rng)])
    pen.shape(
        [(-half, top), (-half + 0.2, top - 0.2), (half + 0.2, top - 0.2), (half, top)],
        lighter(face),
    )
    pen.shape(
        [(half, top), (half + 0.2, top - 0.2), (half + 0.2, -top - 0.1), (half, -top + 0.1)],
        darker(face),
    )
    pen.box(0, 0.1, width, height, face)
    pen.box(-width * 0.2, 0.1 - height * 0.25, width * 0.45, 0.1, darker(face, 0.6))
    pen.box(0, 0.1 + height * 0.2, width, height * 0.18, colour)


PAINTERS: dict[str, Painter] = {
    "bag": bag,
    "cable": cable,
    "camera": camera,
    "carton": carton,
    "case": case,
    "charger": charger,
    "earbuds": earbuds,
    "fridge": fridge,
    "game": game,
    "headphones": headphones,
    "laptop": laptop,
    "monitor": monitor,
    "mount": mount,
    "movie": movie,
    "phone": phone,
    "remote": remote,
    "speaker": speaker,
    "tablet": tablet,
    "telescope": telescope,
    "television": television,
    "washer": washer,
}

STANDING = (carton, fridge, monitor, speaker, television, washer)  # these are seen upright


def draw(reference: str) -> bytes:
    """Draw the image of a demo product. Return the bytes of a JPEG of 224×224 pixels, RGB.

    The same reference always gives the same bytes. Raises InputError for an unknown reference.
    """
    paint, look, colour, shot = _parse(reference)
    rng, shot_rng = Random(look), Random(f"{look}/{shot}")
    canvas = _background(rng)
    pen = _pose(canvas, paint, rng, shot_rng)
    floor = cast(Colour, canvas.getpixel((CANVAS // 2, CANVAS - 1)))
    pen.oval(0, 0.97, 1.5, 0.12, mix(floor, DARK, 0.12))
    paint(pen, rng, colour)
    image = _grain(canvas.reduce(2), rng.randint(2, 8), shot_rng)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=88)
    return file.getvalue()


def _parse(reference: str) -> tuple[Painter, int, Colour, int]:
    """Return what to draw, the seed of its look, its colour and the seed of the shot."""
    try:
        parsed = ImageRef.parse(reference)
        name, _, query = parsed.location.partition("?")
        fields = dict(parse_qsl(query))
        if parsed.scheme != "demo" or fields.keys() != {"look", "colour", "shot"}:
            raise ValueError
        return PAINTERS[name], int(fields["look"]), COLOURS[fields["colour"]], int(fields["shot"])
    except (KeyError, ValueError):
        raise InputError(
            f"{reference!r} is no image of the demo: write demo:<what>?look=<number>&"
            f"colour=<colour>&shot=<number>, where <what> is one of {', '.join(PAINTERS)} and "
            f"<colour> one of {', '.join(COLOURS)}"
        ) from None


def _background(rng: Random) -> Image.Image:
    """Return a canvas: mostly white as in shops, else tinted or a plain room."""
    background = rng.choices(["white", "tinted", "room"], [84, 10, 6])[0]
    if background == "white":
        return Image.new("RGB", (CANVAS, CANVAS), (255, 255, 255))
    tint = any_colour(rng, 150, 245)
    if background == "tinted":
        ramp = Image.linear_gradient("L").resize((CANVAS, CANVAS))
        return ImageOps.colorize(ramp, lighter(tint, 0.7), tint)
    canvas = Image.new("RGB", (CANVAS, CANVAS), lighter(tint, 0.3))
    floor = CANVAS * rng.uniform(0.6, 0.8)
    pencil = ImageDraw.Draw(canvas)
    pencil.rectangle((0, floor, CANVAS, CANVAS), fill=mix(tint, COLOURS["Brown"], 0.5))
    pencil.rectangle((0, floor - 8, CANVAS, floor), fill=lighter(tint, 0.7))
    if rng.random() < 0.6:
        left = rng.choice([20, CANVAS - 140])
        pencil.rectangle((left, 40, left + 120, 190), fill=PALE)
        pencil.rectangle((left + 8, 48, left + 112, 182), fill=(186, 214, 238))
    return canvas


def _pose(canvas: Image.Image, paint: Painter, rng: Random, shot_rng: Random) -> Pen:
    """Return a pen that draws the product at its size, angle and position on the canvas."""
    tilt = 3 if paint in STANDING else 28  # degrees
    scale = CANVAS / 2 * rng.uniform(0.74, 0.94) * shot_rng.uniform(0.98, 1.02)
    angle = math.radians(rng.choice([0, 0, 0, rng.uniform(-tilt, tilt)]) + shot_rng.uniform(-1, 1))
    squeeze = rng.choice([1, rng.uniform(0.8, 1)]) * rng.choice([-1, 1])
    lean = rng.choice([0, rng.uniform(-0.14, 0.14)])
    x_axis = (scale * squeeze * math.cos(angle), scale * squeeze * (math.sin(angle) + lean))
    y_axis = (-scale * math.sin(angle), scale * math.cos(angle))
    slack = (CANVAS / 2 - scale) * 0.6
    centre = [CANVAS / 2 + slack * rng.uniform(-1, 1) + shot_rng.uniform(-3, 3) for _ in range(2)]
    return Pen(canvas, x_axis, y_axis, (centre[0], centre[1]))


def _grain(image: Image.Image, amount: int, rng: Random) -> Image.Image:
    """Add the grain of a camera: `amount` grey levels from the darkest to the lightest."""
    noise = Image.frombytes("L", image.size, rng.randbytes(SIZE * SIZE))
    levels = noise.point([value * amount // 255 for value in range(256)])
    return ImageChops.add(image, Image.merge("RGB", [levels] * 3), offset=-(amount // 2))
