"""Workbooks: the sheet that is read, its cells as text, and what is refused."""

import datetime

import pytest
from helpers.mutations import mutations
from helpers.workbooks import ods, xls, xlsx

from stages.catalog.sources.product import RawProduct
from stages.catalog.sources.table import columns_of
from stages.common.errors import InputError

HEADER = ["sku", "name", "description", "manufacturer", "label"]
ROWS = [HEADER, [4006381333931, 'TV, 40"', "1.50", None, 7], ["00123", "日本", 1.5, "x", "y"]]
PRODUCTS = [
    RawProduct("4006381333931", 'TV, 40"', "1.50", "", "7", image=None),
    RawProduct("00123", "日本", "1.5", "x", "y", image=None),
]
WRITERS = {"xlsx": xlsx, "ods": ods, "xls": xls}


@pytest.mark.parametrize("ending", WRITERS)
def test_each_format_gives_the_same_products(read, ending):
    content = WRITERS[ending]({"Products": ROWS, "Empty": []})
    assert read(f"products.{ending}", content) == PRODUCTS
    assert read(f"PRODUCTS.{ending.upper()}", content) == PRODUCTS


@pytest.mark.parametrize("writer", [xlsx, ods])
def test_dates_are_iso_and_bools_are_words(read, writer):
    rows = [HEADER, ["1", datetime.date(2024, 2, 29), True, False, "x"]]
    product = read("products.xlsx", writer({"P": rows}))[0]
    assert (product.name, product.description, product.manufacturer) == (
        "2024-02-29",
        "true",
        "false",
    )


def test_empty_rows_and_columns_around_the_table_are_skipped(read):
    rows = [[], [None, *HEADER], [], [], [None, 1, "a", "b", "c", "d", "a note"], [None] * 6]
    assert read("products.xlsx", xlsx({"P": rows})) == [
        RawProduct("1", "a", "b", "c", "d", image=None)
    ]


@pytest.mark.parametrize("ending", WRITERS)
def test_titles_above_the_header_are_left_out(read, refusal, tmp_path, ending):
    titles = [["Products of our shop"], ["name", "2026-12-01"], []]
    path = f"products.{ending}"
    assert read(path, WRITERS[ending]({"P": [*titles, *ROWS]})) == PRODUCTS
    assert columns_of(tmp_path / path, HEADER[1:]) == HEADER
    assert "it has 'sku', 'name', 'description'" in refusal(path, label="category")


def test_several_sheets_with_rows_are_named(refusal):
    content = xlsx({"Lamps": ROWS, "Notes": [["x"]], "Empty": [], "Blank": [[None]]})
    said = refusal("products.xlsx", content)
    assert "'Lamps', 'Notes'" in said and "data.table.sheet" in said
    assert "Empty" not in said and "Blank" not in said


def test_the_sheet_that_is_named_is_read(read, refusal):
    content = ods({"Notes": [["x"]], "Lamps": ROWS})
    assert read("products.ods", content, sheet="Lamps") == PRODUCTS
    said = refusal("products.ods", content, sheet="lamps")
    assert "no sheet 'lamps' but 'Notes', 'Lamps'" in said and "data.table.sheet" in said


def test_a_sheet_of_a_file_without_sheets_is_refused(refusal):
    said = refusal("products.csv", b"sku\n", sheet="Lamps")
    assert "data.table.sheet is 'Lamps'" in said and "null" in said


def test_a_missing_column_is_named(refusal):
    said = refusal("products.xlsx", xlsx({"P": [["sku", "title"], [1, 2]]}))
    assert "no column 'name'; it has 'sku', 'title'" in said
    assert "it has none" in refusal("products.xlsx", xlsx({"P": []}))


@pytest.mark.parametrize(
    "content", [b"", b"sku,name", b"PK\x03\x04" + b"0" * 100, bytes.fromhex("d0cf11e0a1b11ae1")]
)
def test_what_is_no_workbook_is_refused(refusal, content):
    assert "products.xlsx cannot be read as a workbook" in refusal("products.xlsx", content)


@pytest.mark.parametrize("ending", WRITERS)
def test_damaged_workbooks_are_read_or_refused(read, ending, capfd):
    content = WRITERS[ending]({"Products": ROWS})
    ends = set()
    for damaged in mutations(content, 12, seed=3):
        try:
            ends.add(len(read(f"products.{ending}", damaged)))
        except InputError as error:
            assert f"products.{ending}" in str(error)
            ends.add("refused")
    assert "refused" in ends
    assert capfd.readouterr().err == ""


def test_a_workbook_that_asks_for_too_much_memory_is_refused(refusal):
    content = xls({"Products": [*ROWS, [1.5]]})
    number = b"\x03\x02\x0e\x00"  # the record of a cell, before its row and column
    assert number + b"\3\0\0\0" in content
    said = refusal("products.xls", content.replace(number + b"\3\0\0\0", number + b"\xff" * 4))
    assert "products.xls cannot be read as a workbook" in said and "memory" in said


def test_a_merged_cell_counts_in_each_row_that_it_reaches(read):
    rows = [HEADER, *([str(i), f"n{i}", "b", "c", "d" if i == 0 else None] for i in range(3)), []]
    merged = xlsx({"P": rows}, merged=["A1:B1", "E2:E5"])
    assert [product.label for product in read("products.xlsx", merged)] == ["d"] * 3


def test_merged_cells_without_a_value_beside_the_table_change_nothing(read):
    rows = [HEADER, *([str(i), f"n{i}", "b", "c", "d"] for i in range(3))]
    merged = xlsx({"P": rows}, merged=["H2:I3", "E4:F9", "A20:C24"])
    assert read("products.xlsx", merged) == read("plain.xlsx", xlsx({"P": rows}))


def test_the_lock_file_of_an_open_workbook_is_no_part_of_a_folder(read, tmp_path):
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables/~$products.xlsx").write_bytes(b"\x05owner")
    read("tables/products.xlsx", xlsx({"Sheet": ROWS}))
    assert read("tables") == read("tables/products.xlsx") != []
