"""The products that the page shows, with a small image of each."""

import base64
from collections.abc import Iterable
from itertools import zip_longest
from pathlib import Path
from typing import Any

from stages.common.product_images import read_images, thumbnail
from stages.reporting.names import shortened
from stages.reporting.results import Results

MAX_CARDS = 2000  # each takes up to 4 kB of the page
SIDE, QUALITY = 96, 60  # pixels; WebP
NAME_LENGTH = 160  # columns


class Cards:
    """A card per product, at most MAX_CARDS, and lists of the numbers of cards that are shown."""

    def __init__(self, results: Results) -> None:
        self._results = results
        self._numbers: dict[str, int] = {}  # by sku
        self.lists: dict[str, list[int]] = {}  # by the key under which the page asks for them
        self.notes: dict[str, list[str]] = {}  # a line on each card of a list

    def add(self, sku: str, limit: int = MAX_CARDS) -> int | None:
        """Return the number of a product's card; None for a new one when there are `limit`."""
        if sku not in self._numbers:
            if len(self._numbers) >= min(limit, MAX_CARDS):
                return None
            self._numbers[sku] = len(self._numbers)
        return self._numbers[sku]

    def show(self, key: str, skus: Iterable[str], notes: Iterable[str] = ()) -> None:
        """Make a list of products, as far as there is room; `notes` has a line on each, or none."""
        numbers = [(self.add(sku), note) for sku, note in zip_longest(skus, notes, fillvalue="")]
        shown = [(number, note) for number, note in numbers if number is not None]
        self.lists[key] = [number for number, _ in shown]
        self.notes[key] = [note for _, note in shown]

    def to_json(self, shards: Iterable[Path]) -> dict[str, Any]:
        """Return the cards, and the images that they refer to by their number, for the page.

        `shards` are the tables of images. What a modality says is the number of a class and a
        probability.
        """
        results = self._results
        jpegs = read_images(shards, self._numbers)
        images: list[str] = []
        classes: dict[str, int] = {}
        cards = []
        for sku in self._numbers:
            product = results.products[sku]
            card: dict[str, Any] = {
                "sku": sku,
                "name": shortened(product.name, NAME_LENGTH),
                "label": classes.setdefault(product.label, len(classes)),
            }
            said = {
                modality: found[sku]
                for modality, found in results.predictions.items()
                if sku in found
            }
            card["said"] = {
                modality: [
                    classes.setdefault(one.prediction, len(classes)),
                    round(one.probability, 3),
                ]
                for modality, one in said.items()
            }
            if sku in jpegs:
                card["image"] = len(images)
                webp = thumbnail(jpegs[sku], SIDE, QUALITY, "WEBP")
                images.append(base64.b64encode(webp).decode())
            cards.append(card)
        return {
            "cards": cards,
            "images": images,
            "classes": list(classes),
            "lists": self.lists,
            "notes": self.notes,
        }
