"""The user's own table: every format gives the same products, and each fault is named."""

import decimal
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.repository import TOP
from helpers.workbooks import xlsx
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.catalog.settings import TableColumns
from stages.catalog.sources import table
from stages.catalog.sources.product import RawProduct
from stages.common.errors import InputError
from stages.common.image_ref import ImageRef
from stages.params import load_params

SAMPLE = TOP.parent / "shared/bestbuy/processed_products_with_images.csv"
SETTINGS = load_params(TOP / "params.yaml").data.table

HEADER = "sku,name,description,manufacturer,label"
COLUMNS = HEADER.split(",")
ROWS = [
    {"sku": "00123", "name": 'TV, 40"', "description": "One\ntwo", "manufacturer": "Sonné"},
    {"sku": "7", "name": "Cable", "description": "", "manufacturer": "日本"},
]
ROWS = [row | {"label": "Audio"} for row in ROWS]
PRODUCTS = [RawProduct(**row, image=None) for row in ROWS]
CSV = (
    HEADER + '\r\n00123,"TV, 40""","One\ntwo",Sonné,Audio\r\n\r\n7,Cable,,日本,Audio\r\n'
).encode()


def read(folder, file="products.csv", content=None, **columns):
    """Return what the source yields for a file of `folder`, written first if content is given."""
    if content is not None:
        (folder / file).write_bytes(content)
    settings = SETTINGS.model_copy(update={"path": file} | columns)
    return list(table.read(settings, folder))


def refusal(folder, file="products.csv", content=None, **columns):
    """Return what the source says where it refuses."""
    with pytest.raises(InputError) as caught:
        read(folder, file, content, **columns)
    return str(caught.value)


def write_parquet(folder, columns):
    pq.write_table(pa.table(columns), folder / "products.parquet")


def json_lines(rows):
    return "\n".join(json.dumps(row, ensure_ascii=False) for row in rows).encode()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("products.csv", CSV),
        ("PRODUCTS.CSV", b"\xef\xbb\xbf" + CSV),
        ("products.csv", CSV.replace(b"\r\n", b"\n")),
        ("products.csv", CSV.replace(b"\r\n", b"\r")),
        ("products.tsv", CSV.replace(b",", b"\t").replace(b"TV\t", b"TV,")),
        ("products.json", json.dumps(ROWS).encode()),
        ("products.json", b"\xef\xbb\xbf" + json.dumps(ROWS, ensure_ascii=False).encode()),
        ("products.jsonl", json_lines(ROWS)),
        ("products.ndjson", b"\xef\xbb\xbf\n" + json_lines(ROWS) + b"\n\n"),
    ],
)
def test_each_file_format_gives_the_same_products(tmp_path, name, content):
    assert read(tmp_path, name, content) == PRODUCTS


def test_parquet_gives_the_same_products(tmp_path):
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "products.parquet")
    assert read(tmp_path, "products.parquet") == PRODUCTS


def test_parquet_categories_are_text(tmp_path):
    rows = pa.Table.from_pylist(ROWS)
    coded = rows.set_column(4, "label", rows["label"].dictionary_encode())
    pq.write_table(coded, tmp_path / "products.parquet")
    assert read(tmp_path, "products.parquet") == PRODUCTS


@pytest.mark.parametrize(
    ("skus", "texts"),
    [
        (pa.array([123, None, 10**15]), ["123", None, "1000000000000000"]),
        (pa.array([123.0, None, float("nan")]), ["123", None, None]),
        (pa.array([123.5, 1e15, 0.0]), ["123.5", "1000000000000000", "0"]),
        (pa.array([decimal.Decimal("123.00"), None, decimal.Decimal("100")]), ["123", None, "100"]),
        (pa.array(["00123", "", None]), ["00123", "", None]),
        (pa.array([True, False, None]), ["true", "false", None]),
    ],
)
def test_numbers_of_parquet_become_their_digits(tmp_path, skus, texts):
    others = {name: ["x"] * 3 for name in HEADER.split(",")}
    write_parquet(tmp_path, others | {"sku": skus})
    assert [product.sku for product in read(tmp_path, "products.parquet")] == texts


def test_numbers_of_json_become_their_digits(tmp_path):
    content = json_lines([ROWS[0] | {"sku": sku} for sku in (123, 123.0, "00123", None)])
    skus = [product.sku for product in read(tmp_path, "products.jsonl", content)]
    assert skus == ["123", "123", "00123", None]


def test_text_that_looks_like_nothing_stays_text(tmp_path):
    content = (HEADER + "\nNA,null,None,nan,1e3\n").encode()
    assert read(tmp_path, content=content) == [
        RawProduct("NA", "null", "None", "nan", "1e3", image=None)
    ]


def test_columns_have_the_names_in_params_and_some_may_be_none(tmp_path):
    content = b"id,class,title,more\n1,Audio,Radio,x\n"
    products = read(
        tmp_path,
        content=content,
        sku="id",
        name="title",
        label="class",
        description=None,
        manufacturer=None,
    )
    assert products == [RawProduct("1", "Radio", None, None, "Audio", image=None)]


@pytest.mark.parametrize(
    ("columns", "images"),
    [
        ({"image_url": "pic"}, ["http://x.example/1.jpg", None, "file name"]),
        ({"image_path": "pic"}, ["a URL", None, "file:y.jpg"]),
        ({"image_path": "pic", "archive": "pics.zip"}, ["a URL", None, "archive:y.jpg"]),
        ({}, [None, None, None]),
    ],
)
def test_where_the_images_are(tmp_path, columns, images):
    content = HEADER + ",pic\n1,a,b,c,d, http://x.example/1.jpg\n2,a,b,c,d, \n3,a,b,c,d,y.jpg\n"
    products = read(tmp_path, content=content.encode(), **columns)
    found = [product.image and ImageRef.parse(product.image) for product in products]
    for reference, wanted in zip(found, images, strict=True):
        if reference and reference.scheme == "unusable":
            assert wanted in reference.reason
        else:
            assert wanted == (reference and str(reference))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("products.csv", CSV),
        ("products.json", json.dumps(ROWS).encode()),
        ("products.jsonl", json_lines(ROWS)),
    ],
)
def test_a_missing_column_is_named_with_those_there_are(tmp_path, name, content):
    said = refusal(tmp_path, name, content, label="category")
    assert "'category'" in said
    assert all(repr(column) in said for column in HEADER.split(","))
    assert "data.table" in said


def test_a_missing_column_of_parquet_is_named(tmp_path):
    write_parquet(tmp_path, {"sku": ["1"], "title": ["x"]})
    said = refusal(tmp_path, "products.parquet")
    assert "'name'" in said
    assert "'sku', 'title'" in said


def test_an_empty_csv_has_no_columns(tmp_path):
    assert "no column 'sku'; it has none" in refusal(tmp_path, content=b"")


def test_one_column_may_serve_twice(tmp_path):
    products = read(tmp_path, content=CSV, description="name")
    assert [product.description for product in products] == [row["name"] for row in ROWS]
    write_parquet(tmp_path, {name: ["x"] for name in HEADER.split(",")})
    assert read(tmp_path, "products.parquet", description="name")[0].description == "x"


def test_two_columns_of_one_name_are_refused(tmp_path):
    content = (HEADER + ",name\n1,a,b,c,d,e\n").encode()
    assert "2 columns 'name'" in refusal(tmp_path, content=content)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('2,"Bad" quotes,b,c,d', "row 2 (line 3)"),
        ('2,"Open quotes,b,c,d', "row 2 (line 3)"),
        ("2,a,b,c", "row 2 (line 3): short, 4 cells for 5 columns"),
        ("2,a,b,c,d,e", "row 2 (line 3): 6 cells for 5 columns"),
    ],
)
def test_broken_csv_is_refused_with_its_row(tmp_path, line, said):
    content = f"{HEADER}\n1,a,b,c,d\n{line}\n3,a,b,c,d\n".encode()
    assert said in refusal(tmp_path, content=content)


def test_text_of_another_encoding_is_refused_with_its_row_unless_it_is_named(tmp_path):
    content = f"{HEADER}\n1,a,b,c,d\n2,Café,b,c,d\n".encode("cp1252")
    said = refusal(tmp_path, content=content)
    assert "row 2 (line 3): name is not UTF-8" in said and "data.table.encoding" in said
    assert read(tmp_path, content=content, encoding="cp1252")[1].name == "Café"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("products.json", b'[{"sku": "1",\n"x"}]', "line 2"),
        ("products.json", b'{"sku": ["1"]}', "no array of objects"),
        ("products.json", json.dumps([ROWS[0], 5]).encode(), "row 2: is no object"),
        ("products.jsonl", json_lines(ROWS[:1]) + b'\n{"sku": \n', "(line 2): is no JSON"),
        ("products.jsonl", json_lines(ROWS[:1]) + b'\n["sku"]\n', "(line 2): is no object"),
        (
            "products.json",
            json.dumps([ROWS[0], ROWS[1] | {"name": {"x": 1}}]).encode(),
            "row 2: name",
        ),
        ("products.json", json.dumps([ROWS[0]]).encode().replace(b"TV", b"\xff"), "row 1: name"),
        ("products.parquet", b"PAR1 but not really", "cannot be read as Parquet"),
        ("products.parquet", b"", "cannot be read as Parquet"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, name, content, said):
    assert said in refusal(tmp_path, name, content)


@pytest.mark.parametrize("half", ["\ud83d", "\ude00"])
def test_a_text_that_was_cut_within_an_emoji_is_read(tmp_path, half):
    content = json.dumps([ROWS[0] | {"name": f"Lamp {half}"}]).encode()
    assert read(tmp_path, "products.json", content)[0].name == "Lamp \ufffd"


def test_a_path_out_of_the_folder_is_refused(tmp_path):
    folder = tmp_path / "catalogue"
    folder.mkdir()
    (tmp_path / "products.csv").write_bytes(CSV)
    for name in ("../products.csv", "sub/../../products.csv", str(tmp_path / "products.csv")):
        assert "data.folder" in refusal(folder, name)


def test_an_absolute_path_of_a_table_in_the_folder_says_how_to_write_it(tmp_path):
    (tmp_path / "products.csv").write_bytes(CSV)
    said = refusal(tmp_path, str(tmp_path / "products.csv"))
    assert "not in data.folder" not in said
    assert said.endswith("write its path from there, such as products.csv")


def test_a_path_below_the_folder_is_read(tmp_path):
    (tmp_path / "new").mkdir()
    assert read(tmp_path, "new/products.csv", CSV) == PRODUCTS


def test_a_file_that_is_not_there_or_has_an_unknown_ending_is_refused(tmp_path):
    assert "is not there" in refusal(tmp_path)
    assert ".parquet" in refusal(tmp_path, "products.txt", b"x")


def test_a_description_of_a_megabyte_is_read(tmp_path):
    text = "long " * 200_000
    assert read(tmp_path, content=f"{HEADER}\n1,a,{text},c,d\n".encode())[0].description == text


@pytest.mark.parametrize("name", ["products.json", "products.jsonl"])
@pytest.mark.parametrize("content", [b"[" * 100_000, b'[{"sku": ' + b"1" * 5000 + b"}]"])
def test_json_that_no_reader_takes_is_refused(tmp_path, name, content):
    assert "is no JSON" in refusal(tmp_path, name, content)


def not_utf8():
    """Return two texts, the second of which is not UTF-8."""
    buffers = [None, pa.array([0, 1, 2], pa.int32()).buffers()[1], pa.py_buffer(b"a\xff")]
    return pa.Array.from_buffers(pa.string(), 2, buffers)


def test_text_of_parquet_that_is_no_utf8_is_refused_with_its_row(tmp_path):
    write_parquet(tmp_path, {name: ["x", "x"] for name in COLUMNS} | {"name": not_utf8()})
    said = refusal(tmp_path, "products.parquet")
    assert "products.parquet, row 2: name is binary and not UTF-8" in said


def test_a_list_of_parquet_with_text_that_is_no_utf8_is_refused_with_its_column(tmp_path):
    lists = pa.ListArray.from_arrays([0, 1, 2], not_utf8())
    write_parquet(tmp_path, {name: ["x", "x"] for name in COLUMNS} | {"name": lists})
    assert "rows from 1, name: List child array invalid" in refusal(tmp_path, "products.parquet")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("products.csv", CSV),
        ("products.tsv", CSV.replace(b",", b"\t").replace(b"TV\t", b"TV,")),
        ("products.json", json.dumps(ROWS).encode()),
        ("products.json", json.dumps({"products": ROWS}).encode()),
        ("products.json", json.dumps({name: {"0": "x"} for name in COLUMNS}).encode()),
        ("products.json", json.dumps({"columns": COLUMNS, "data": [["x"] * 5]}).encode()),
        ("products.jsonl", json_lines([{"sku": 1}, *ROWS])),
        ("products.xlsx", xlsx({"Sheet": [COLUMNS, ["x"] * 5]})),
    ],
)
def test_the_columns_of_each_format_are_found_before_its_rows_are_read(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    assert set(table.columns_of(tmp_path / name)) >= set(COLUMNS)


def test_the_columns_of_a_folder_and_of_a_sheet_are_found(tmp_path):
    (tmp_path / "new").mkdir()
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "new/1.parquet")
    assert table.columns_of(tmp_path / "new") == [*ROWS[0]]
    workbook = {"One": [["a"], ["x"]], "Two": [["b"], ["x"]]}
    (tmp_path / "new.xlsx").write_bytes(xlsx(workbook))
    assert table.columns_of(tmp_path / "new.xlsx", sheet="Two") == ["b"]


def test_rows_that_cannot_be_read_come_among_the_others(tmp_path):
    (tmp_path / "new.csv").write_bytes(b"sku,name\n1,a\n2\n3,c\n")
    columns = dict.fromkeys(TableColumns.model_fields) | {"sku": "sku", "name": "name"}
    rows = list(
        table.read_rows(
            tmp_path / "new.csv", TableColumns(**columns), tables=tmp_path, images=tmp_path
        )
    )
    assert [place for place, _ in rows] == [f"row {i} (line {i + 1})" for i in (1, 2, 3)]
    assert [rows[0][1].name, rows[2][1].name] == ["a", "c"]
    assert "short, 1 cells" in rows[1][1].reason


@settings(deadline=None, derandomize=True)
@given(st.lists(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), max_size=5))
def test_cells_of_mixed_types_become_texts(tmp_path_factory, skus):
    rows = [dict.fromkeys(COLUMNS, "x") | {"sku": sku} for sku in skus]
    products = read(tmp_path_factory.getbasetemp(), "mixed.json", json.dumps(rows).encode())
    for sku, product in zip(skus, products, strict=True):
        match sku:
            case None:
                assert product.sku is None
            case bool():
                assert product.sku in ("true", "false")
            case int():
                assert int(product.sku) == sku
            case float():
                assert product.sku is None if sku != sku else float(product.sku) == sku
            case _:
                assert product.sku == sku


@pytest.mark.skipif(not SAMPLE.exists(), reason="the sample of the open data set is not here")
def test_the_sample_is_read_whole():
    products = read(
        SAMPLE.parent, SAMPLE.name, label="class_id", image_path="image_path", archive=None
    )
    assert len(products) == 1846
    assert sum(product.image is None for product in products) == 28
    assert len({product.label for product in products}) == 15
