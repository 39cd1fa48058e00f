"""Each product is kept or rejected, whatever its text."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.catalog.data_metrics import data_metrics, image_metrics, summary
from stages.catalog.image_cells import read_image_cell
from stages.catalog.labels import label_variants
from stages.catalog.sources.product import RawProduct
from stages.catalog.validation import (
    clean_product,
    contradicting_duplicates,
    merge_labels,
    reject_invalid,
)

TEXTS = st.sampled_from(
    [None, "", " ", "a", "A", "b", "<br>", "a ", "&nbsp;", "nan", "a, b", "http://a, //b", "s3://a"]
) | st.text(max_size=3)


@settings(deadline=None, derandomize=True)
@given(st.lists(st.builds(RawProduct, *[TEXTS] * 6), max_size=40), st.integers(3, 6))
def test_nothing_is_lost(raws, smallest):
    raws = [replace(raw, image=read_image_cell(raw.image, "url")) for raw in raws]
    products = [clean_product(raw) for raw in raws]
    variants = label_variants(product.label for product in products)
    products = merge_labels(products, variants)
    kept, rejected = reject_invalid(products, smallest)
    rejected_rows = [product.row for product in rejected]
    assert kept == [p for row, p in enumerate(products, start=1) if row not in rejected_rows]
    assert rejected_rows == sorted(set(rejected_rows))
    assert [products[p.row - 1].sku for p in rejected] == [p.sku for p in rejected]
    assert len({product.sku for product in kept}) == len(kept)
    assert all(p.sku and p.label and (p.name or p.description or p.image) for p in kept)
    assert label_variants(p.label for p in products) == {}
    assert min(Counter(product.label for product in kept).values(), default=9) >= smallest
    metrics = data_metrics("table", products, kept, rejected)
    assert metrics["products"]["read"] == len(raws)
    assert metrics["products"]["kept"] + metrics["rejected"]["all"] == len(raws)
    assert sum(metrics["rejected"].values()) == 2 * metrics["rejected"]["all"]
    assert sum(metrics["classes"]["sizes"].values()) == metrics["products"]["kept"]
    metrics["labels"]["merged"] = variants
    metrics["images"] = image_metrics(sum(raw.has_several_images for raw in raws), products)
    assert all(line.isprintable() for line in summary(metrics))


def product(sku="1", name="Lamp", label="Lamps", image=None):
    return clean_product(RawProduct(sku, name, None, None, label, image))


def test_a_product_with_an_image_and_no_text_is_kept():
    products = [product(str(n), name=None, image="http://x.example/1.jpg") for n in range(3)]
    assert reject_invalid(products, 3) == (products, [])


@pytest.mark.parametrize("cell", [None, "nan", "ftp://b/1.jpg", "1.jpg"])
def test_a_product_with_neither_text_nor_an_image_that_could_be_read_is_rejected(cell):
    products = [product(name="<br>", image=read_image_cell(cell, "url"))]
    assert [found.reason for found in reject_invalid(products, 3)[1]] == ["no text and no image"]


def test_a_duplicate_contradicts_only_the_product_that_is_kept():
    products = [
        product("1", name=None, label="Toys"),  # rejected: it counts for nothing
        product("1", label="Lamps"),
        product("1", label="Chairs"),
        product("1", label="Lamps"),
        product("2", label="Chairs"),
        product("2", label=None),
    ]
    assert contradicting_duplicates(products) == 1


@pytest.mark.parametrize("sku", ["nan", "N/A", "None", " null "])
def test_a_missing_value_is_no_sku(sku):
    products = [clean_product(RawProduct(sku, f"n{i}", "", "", "a", None)) for i in range(2)]
    kept, rejected = reject_invalid(products, 1)
    assert not kept and [one.reason for one in rejected] == ["no sku"] * 2


@pytest.mark.parametrize("text", ["NA", "nan", "N/A", "None", " null ", "<p>-</p>"])
def test_a_missing_value_is_no_text(text):
    raws = [RawProduct(str(n), text, text, text, "a", None) for n in range(3)]
    products = [clean_product(raw) for raw in raws]
    assert {(one.name, one.description, one.manufacturer) for one in products} == {("", "", "")}
    assert [one.reason for one in reject_invalid(products, 3)[1]] == ["no text and no image"] * 3


@pytest.mark.parametrize("text", ["Nan", " Null", "Nat", "NA-KD", "Nonesuch", "N"])
def test_a_name_that_is_much_like_a_missing_value_is_kept(text):
    product = clean_product(RawProduct("1", text, "", text, "a", None))
    assert product.name == product.manufacturer == text.strip()
    assert reject_invalid([product], 1)[0] == [product]
