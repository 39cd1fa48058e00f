"""JSON in the forms that pandas and shops write."""

import json

import pandas as pd
import pytest

from stages.catalog.sources.table import columns_of

COLUMNS = ["sku", "name", "description", "manufacturer", "label"]
FRAME = pd.DataFrame([[f"{name} {i}" for name in COLUMNS] for i in range(12)], columns=COLUMNS)


@pytest.mark.parametrize("orient", ["records", "columns", "index", "split", "table"])
def test_each_form_that_pandas_writes_is_read(read, orient):
    products = read("products.json", FRAME.to_json(orient=orient).encode())
    assert [product.sku for product in products] == FRAME["sku"].to_list()
    assert products[11].label == "label 11"


@pytest.mark.parametrize("ending", ["json", "jsonl"])
def test_what_is_in_an_object_within_an_object_is_read(read, refusal, tmp_path, ending):
    rows = [
        {
            "sku": i,
            "texts": {"name": {"de": f"Lampe {i}", "fr": None}, "a.b": "not to be named"},
            "brand": {"name": "x"} if i else None,
            "group": {"path": ["Home", "Lamps"]},
            "c.d": {"e": "not to be named"},
        }
        for i in range(2)
    ]
    lines = map(json.dumps, rows)
    text = f"[{','.join(lines)}]" if ending == "json" else "\n".join(lines)
    names = {"name": "texts.name.de", "manufacturer": "brand.name", "label": "group.path"}
    products = read(f"a.{ending}", text.encode(), description=None, **names)
    assert [(product.name, product.manufacturer) for product in products] == [
        ("Lampe 0", None),
        ("Lampe 1", "x"),
    ]
    assert products[0].label == "Home > Lamps"
    found = set(columns_of(tmp_path / f"a.{ending}"))
    assert found >= {*names.values(), "c.d"} and not found & {"texts.a.b", "c.d.e"}
    said = refusal(f"a.{ending}", description=None, **names | {"name": "texts.title.de"})
    assert "no column 'texts.title.de'; it has 'sku', 'texts', 'brand'" in said
    assert "'texts.name.fr'" in said


@pytest.mark.parametrize("ending", ["json", "jsonl"])
def test_what_is_in_a_list_of_objects_is_read_as_woocommerce_writes_it(
    read, refusal, tmp_path, ending
):
    rows = [
        {
            "sku": "a",
            "categories": [{"id": 1, "name": "Home"}, {"id": 2, "name": "Lamps"}],
            "images": [{"id": 7, "src": "https://shop/1.jpg"}, {"id": 8, "src": None}],
            "variants": [{"options": [{"color": "red"}, {"color": "blue"}]}, {"options": []}],
        },
        {"sku": "b", "categories": [], "images": [], "variants": ["none"]},
    ]
    lines = map(json.dumps, rows)
    text = f"[{','.join(lines)}]" if ending == "json" else "\n".join(lines)
    names = {"label": "categories.name", "name": "variants.options.color", "manufacturer": None}
    names = {**names, "description": "categories.id", "image_url": "images.src"}
    first, second = read(f"a.{ending}", text.encode(), **names)
    assert (first.label, first.name, first.description) == ("Home > Lamps", "red blue", "1 2")
    assert first.image == "https://shop/1.jpg"
    assert (second.label, second.name, second.image) == (None, None, None)
    assert {"categories.name", "variants.options.color"} <= set(
        columns_of(tmp_path / f"a.{ending}")
    )
    said = refusal(f"a.{ending}", **names | {"label": "categories"})
    assert "is an object" in said and "such as categories.id" in said


def test_columns_of_lists_are_read(read):
    products = read("products.json", json.dumps(FRAME.to_dict("list")).encode())
    assert [product.name for product in products] == FRAME["name"].to_list()


def test_records_under_one_key_are_read(read):
    records = FRAME.to_dict("records")
    content = {"name": "Our shop", "total": 12, "tags": ["a"], "errors": [], "products": records}
    assert len(read("products.json", json.dumps(content).encode())) == 12


def test_a_catalogue_without_products_has_none(read):
    assert read("products.json", b'{"products": []}') == []


def test_several_arrays_of_objects_are_named(refusal):
    said = refusal("products.json", b'{"products": [{"sku": 1}], "sold": [{"sku": 2}]}')
    assert "'products', 'sold'" in said and "one array" in said


@pytest.mark.parametrize("content", [b'{"a": 1, "b": {"c": 2}}', b"{}", b'{"sku": "1"}'])
def test_an_object_without_a_table_is_refused_with_its_keys(refusal, content):
    assert "no array of objects" in refusal("products.json", content)


def test_a_column_that_is_missing_is_named(refusal):
    assert "label" in refusal("products.json", FRAME.drop(columns="label").to_json().encode())
    split = FRAME.drop(columns="label").to_json(orient="split").encode()
    assert "no column 'label'; it has 'sku'" in refusal("products.json", split)


def test_columns_with_different_rows_are_refused(refusal):
    content = FRAME.to_dict("list") | {"name": ["only one"]}
    assert "'name' have different rows" in refusal("products.json", json.dumps(content).encode())


def test_a_row_of_a_split_table_that_is_short_is_refused(refusal):
    content = {"columns": COLUMNS, "data": [list("abcde"), list("abc")]}
    assert "row 2" in refusal("products.json", json.dumps(content).encode())


def test_a_key_that_an_object_has_twice_is_refused(refusal):
    content = b'[{"sku": 1, "name": "a", "name": "b"}]'
    assert "the key 'name' twice" in refusal("products.json", content)


def test_bad_lines_are_named_at_once(refusal):
    good = json.dumps(FRAME.iloc[0].to_dict())
    said = refusal("products.jsonl", f'{good}\n{{"sku": \n\n[1]\n{good}\n'.encode())
    assert "2 rows cannot be read" in said
    assert "row 2 (line 2): is no JSON" in said
    assert "row 3 (line 4): is no object but a list" in said


def test_a_file_of_a_folder_may_lack_a_key_that_another_has(read, refusal, tmp_path):
    rows = [FRAME.iloc[number].to_dict() for number in range(2)]
    del rows[0]["description"]
    (tmp_path / "parts").mkdir()
    for name, row in zip("ab", rows, strict=True):
        (tmp_path / f"parts/{name}.jsonl").write_text(json.dumps(row))
    (tmp_path / "parts/c.jsonl").touch()
    assert [product.description for product in read("parts")] == [None, "description 1"]
    assert set(columns_of(tmp_path / "parts")) == set(FRAME.columns)
    assert "parts has no column 'long'; it has 'sku'" in refusal("parts", description="long")


def test_lines_in_a_file_named_json_are_refused_with_the_name_to_give(refusal):
    content = FRAME.to_json(orient="records", lines=True).encode()
    assert "name the file .jsonl" in refusal("products.json", content)


def test_a_file_without_rows_hides_no_columns_of_its_folder(read, tmp_path):
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts/a.json").write_text("[]")
    (tmp_path / "parts/b.json").write_text(FRAME.to_json(orient="records"))
    assert columns_of(tmp_path / "parts") == COLUMNS
    assert len(read("parts")) == len(FRAME)


def test_a_single_key_is_no_header_of_other_separators(refusal):
    said = refusal("products.json", b'[{"_source": {"sku": 1}}]')
    assert "has no column 'sku'; it has '_source'" in said and "commas" not in said
