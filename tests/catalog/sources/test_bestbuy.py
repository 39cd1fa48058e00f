"""The open data set: its fields, its faults, and the sample of it where there is one."""

import json
from collections import Counter

import pytest
from helpers.repository import TOP

from stages.catalog.sources import bestbuy
from stages.catalog.sources.product import RawProduct
from stages.common.errors import InputError
from stages.params import load_params

SAMPLE = TOP.parent / "shared/bestbuy/products.json"

RECORD = {
    "sku": 43900,
    "name": "Duracell - AAA Batteries (4-Pack)",
    "type": "HardGood",
    "price": 5.49,
    "upc": "041333424019",
    "category": [
        {"id": "pcmcat312300050015", "name": "Connected Home & Housewares"},
        {"id": "pcmcat248700050021", "name": "Housewares"},
    ],
    "shipping": "",
    "description": "Compatible with select electronic devices",
    "manufacturer": "Duracell",
    "image": "http://img.example/4390/43900_sa.jpg",
}
SETTINGS = load_params(TOP / "params.yaml").data.bestbuy


@pytest.fixture
def read_bytes(tmp_path):
    """Return a function that reads a file with these bytes."""

    def read(content):
        file = tmp_path / "products.json"
        file.write_bytes(content)
        return list(bestbuy.read(SETTINGS, file))

    return read


def test_a_record_becomes_a_product_of_its_top_category(read_bytes):
    assert read_bytes(json.dumps([RECORD]).encode()) == [
        RawProduct(
            sku="43900",
            name=RECORD["name"],
            description=RECORD["description"],
            manufacturer="Duracell",
            label="Connected Home & Housewares",
            image=RECORD["image"],
        )
    ]


def test_what_a_record_lacks_is_none(read_bytes):
    bare = {"sku": 1, "name": None, "category": [], "manufacturer": None}
    assert read_bytes(json.dumps([bare]).encode()) == [RawProduct("1", *[None] * 5)]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sku": "43900"}, "product 2, sku: "),
        ({"sku": None}, "product 2, sku: "),
        ({"name": 5}, "product 2, name: "),
        ({"category": {"name": "Audio"}}, "product 2, category: "),
        ({"category": [{"id": "abc"}]}, "product 2, category.0.name: Field required"),
        ({"image": ["http://x"]}, "product 2, image: "),
    ],
)
def test_a_record_of_another_schema_is_named_with_its_field(read_bytes, change, said):
    with pytest.raises(InputError) as caught:
        read_bytes(json.dumps([RECORD, RECORD | change, RECORD | {"sku": "x"}]).encode())
    assert said in str(caught.value)
    assert "data.bestbuy.products" in str(caught.value)


def test_a_missing_field_is_named(read_bytes):
    with pytest.raises(InputError, match="product 1, category: Field required"):
        read_bytes(json.dumps([{"sku": 1, "name": "x"}]).encode())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<html>Access denied</html>", "Invalid JSON"),
        (b'[{"sku": 1, "na', "Invalid JSON"),
        (b'[{"sku": 1, "name": "\xff", "category": []}]', "Invalid JSON"),
        (b'{"products": []}', "valid array"),
        (b'["x"]', "product 1: "),
        (b"", "Invalid JSON"),
    ],
)
def test_a_file_that_is_no_list_of_records_is_refused(read_bytes, content, said):
    with pytest.raises(InputError, match=r"products\.json") as caught:
        read_bytes(content)
    assert said in str(caught.value)
    says_copy = "products.json, may be cut: remove it" in str(caught.value)
    assert says_copy == (said == "Invalid JSON")


@pytest.mark.skipif(not SAMPLE.exists(), reason="the sample of the open data set is not here")
def test_the_sample_is_read_whole(read_bytes):
    products = read_bytes(SAMPLE.read_bytes())
    classes = Counter(product.label for product in products)
    assert len(products) == 1846
    assert len({product.sku for product in products}) == 1846
    assert len(classes) == 15
    assert classes["Appliances"] == 331
    assert classes["Wearable Technology"] == 7
