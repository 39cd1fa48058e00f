import io
import re
from collections import Counter, defaultdict

import pytest
from PIL import Image, ImageChops, ImageStat

from stages.catalog.settings import DataSettings
from stages.catalog.sources.demo import read
from stages.common.errors import InputError
from stages.download.demo_images import COLOURS, PAINTERS, draw
from stages.params import load_params


def data(products: int) -> DataSettings:
    params = load_params().data.model_dump()
    return DataSettings.model_validate(params | {"demo": {"products": products}})


@pytest.fixture(scope="module")
def catalogue():
    return list(read(data(800), seed=42))


def classes(products):
    return Counter(product.label for product in products if product.label)


def test_it_has_as_many_products_as_asked(catalogue):
    assert len(catalogue) == 800
    assert sum(1 for _ in read(data(201), seed=1)) == 201


def test_the_same_seed_gives_the_same_products_and_another_seed_others(catalogue):
    assert list(read(data(800), seed=42)) == catalogue
    others = {product.name for product in read(data(800), seed=43)}
    assert len(others - {product.name for product in catalogue}) > 400


def test_classes_are_unequal_and_all_but_one_are_large_enough(catalogue):
    sizes = sorted(classes(catalogue).values())
    assert len(sizes) >= 13
    assert sizes[0] < 10
    assert 20 <= sizes[1] <= 27
    assert 110 <= sizes[-1] <= 130


def test_the_smallest_catalogue_still_has_every_class(catalogue):
    small = classes(read(data(200), seed=42))
    assert small.keys() == classes(catalogue).keys()
    assert sum(size < 10 for size in small.values()) == 1


def test_every_way_to_be_useless_is_there(catalogue):
    skus = Counter(product.sku for product in catalogue if product.sku)
    assert sum(not product.sku for product in catalogue) == 4
    assert sum(count - 1 for count in skus.values()) == 4
    assert sum(not (product.name or product.description.strip()) for product in catalogue) == 4
    assert sum(not product.label for product in catalogue) == 4
    assert all(re.fullmatch(r"\d+", sku) for sku in skus)


def test_some_products_have_no_picture(catalogue):
    assert 0.01 < sum(product.image is None for product in catalogue) / 800 < 0.06


def test_texts_are_untidy(catalogue):
    texts = [f"{product.name}|{product.description}" for product in catalogue]
    for mark in ("&quot;", "&amp;", "&#233;", "\n", "\r\n"):
        assert any(mark in text for text in texts), mark
    assert any(re.search(r"[a-z][A-Z][a-z]+ ", text) for text in texts)
    assert any(product.name and not product.description for product in catalogue)
    assert not any("{" in text or "\0" in text for text in texts)


def test_families_differ_in_a_colour_and_share_the_look_of_their_picture(catalogue):
    families = defaultdict(set)
    for product in catalogue:
        if product.image and "case" in product.image:
            families[re.search(r"look=\d+", product.image)[0]].add(product.name)
    family = max(families.values(), key=len)
    assert len(family) >= 3
    assert len({name.rpartition(" - ")[0].replace("&amp;", "&") for name in family}) <= 2


def test_a_large_catalogue_stays_varied():
    texts = [(product.name, product.description) for product in read(data(10_000), seed=42)]
    assert len(set(texts)) > 9_500


def test_every_picture_of_the_catalogue_can_be_drawn(catalogue):
    references = sorted({product.image for product in catalogue if product.image})
    assert {reference[5:].partition("?")[0] for reference in references} == set(PAINTERS)
    for reference in references[::3]:
        image = Image.open(io.BytesIO(draw(reference)))
        assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (224, 224))


@pytest.mark.parametrize("kind", PAINTERS)
def test_a_product_stands_out_from_its_background(kind):
    for look in range(8):
        image = Image.open(io.BytesIO(draw(f"demo:{kind}?look={look}&colour=Blue&shot=0")))
        assert max(ImageStat.Stat(image).stddev) > 12


def test_the_same_reference_gives_the_same_bytes_and_another_shot_nearly_the_same_picture():
    first, again, shot, other = (
        draw(f"demo:phone?look={look}&colour=Black&shot={shot}")
        for look, shot in ((5, 0), (5, 0), (5, 1), (6, 0))
    )
    assert first == again
    assert first != shot
    assert difference(first, shot) < difference(first, other) / 2


def test_the_colours_of_a_product_share_its_shape():
    pictures = [
        Image.open(io.BytesIO(draw(f"demo:case?look=2&colour={colour.replace(' ', '+')}&shot=0")))
        for colour in COLOURS
    ]
    corners = [picture.crop((0, 0, 224, 8)).tobytes() for picture in pictures]
    assert len({picture.tobytes() for picture in pictures}) == len(COLOURS)
    assert len(set(corners)) == 1


@pytest.mark.parametrize(
    "reference",
    [
        "demo:zeppelin?look=1&colour=Black&shot=0",
        "demo:phone?look=1&colour=Mauve&shot=0",
        "demo:phone?look=one&colour=Black&shot=0",
        "demo:phone?look=1&colour=Black",
        "phone?look=1&colour=Black&shot=0",
        "https://example.com/phone.jpg",
        "",
    ],
)
def test_a_reference_that_names_nothing_is_refused(reference):
    with pytest.raises(InputError, match="is no picture of the demo: one reads demo:"):
        draw(reference)


def difference(first: bytes, second: bytes) -> float:
    pictures = [Image.open(io.BytesIO(picture)) for picture in (first, second)]
    return sum(ImageStat.Stat(ImageChops.difference(*pictures)).mean)
