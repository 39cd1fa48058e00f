"""The demo catalogue: as large as asked, repeatable, and as untidy as a real one."""

import io
import re
from collections import Counter, defaultdict

import pytest
from PIL import Image

from stages.catalog.settings import DemoSettings
from stages.catalog.sources.demo import read
from stages.common.image_ref import ImageRef
from stages.download.demo_images import PAINTERS, draw


@pytest.fixture(scope="module")
def catalogue():
    return list(read(DemoSettings(products=800), seed=42))


def classes(products):
    return Counter(product.label for product in products if product.label)


def test_it_has_as_many_products_as_asked(catalogue):
    assert len(catalogue) == 800
    assert sum(1 for _ in read(DemoSettings(products=201), seed=1)) == 201


def test_the_same_seed_gives_the_same_products_and_another_seed_others(catalogue):
    assert list(read(DemoSettings(products=800), seed=42)) == catalogue
    others = {product.name for product in read(DemoSettings(products=800), seed=43)}
    assert len(others - {product.name for product in catalogue}) > 400


def test_classes_are_unequal_and_all_but_one_are_large_enough(catalogue):
    sizes = sorted(classes(catalogue).values())
    assert len(sizes) >= 13
    assert sizes[0] < 10
    assert 20 <= sizes[1] <= 27
    assert 110 <= sizes[-1] <= 130


def test_the_smallest_catalogue_still_has_every_class(catalogue):
    small = classes(read(DemoSettings(products=200), seed=42))
    assert small.keys() == classes(catalogue).keys()
    assert sum(size < 10 for size in small.values()) == 1


def test_every_way_to_be_useless_is_there(catalogue):
    skus = Counter(product.sku for product in catalogue if product.sku)
    assert sum(not product.sku for product in catalogue) == 4
    assert sum(count - 1 for count in skus.values()) == 4
    assert sum(not (product.name or product.description.strip()) for product in catalogue) == 4
    assert sum(not product.label for product in catalogue) == 4
    assert all(re.fullmatch(r"\d+", sku) for sku in skus)


def test_some_products_have_no_image(catalogue):
    assert 0.01 < sum(product.image is None for product in catalogue) / 800 < 0.06


def test_texts_are_untidy(catalogue):
    texts = [f"{product.name}|{product.description}" for product in catalogue]
    for mark in ("&quot;", "&amp;", "&#233;", "\n", "\r\n"):
        assert any(mark in text for text in texts), mark
    assert any(re.search(r"[a-z][A-Z][a-z]+ ", text) for text in texts)
    assert any(product.name and not product.description for product in catalogue)
    assert not any("{" in text or "\0" in text for text in texts)


def test_families_differ_in_a_colour_and_share_the_look_of_their_image(catalogue):
    families = defaultdict(set)
    for product in catalogue:
        if product.image and "case" in product.image:
            families[re.search(r"look=\d+", product.image)[0]].add(product.name)
    family = max(families.values(), key=len)
    assert len(family) >= 3
    assert len({name.rpartition(" - ")[0].replace("&amp;", "&") for name in family}) <= 2


def test_a_large_catalogue_stays_varied():
    texts = [
        (product.name, product.description)
        for product in read(DemoSettings(products=10_000), seed=42)
    ]
    assert len(set(texts)) > 9_500


def test_every_image_of_the_catalogue_can_be_drawn(catalogue):
    references = sorted({product.image for product in catalogue if product.image})
    assert {ImageRef.parse(text).location.partition("?")[0] for text in references} == set(PAINTERS)
    for reference in references[::3]:
        image = Image.open(io.BytesIO(draw(reference)))
        assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (224, 224))
