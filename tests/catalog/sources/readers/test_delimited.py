"""Bad rows of CSV and TSV are named at once, each with its line and in plain words."""

import gzip
import json
import re

import pytest

from stages.catalog.sources.readers.delimited import read_csv
from stages.catalog.sources.table import columns_of

HEADER = "sku,name,description,manufacturer,label\n"
GOOD = "1,a,b,c,d\n"


def test_each_bad_row_is_named_with_its_line_and_what_is_wrong(refusal):
    text = HEADER + GOOD + "2,a\n\n" + GOOD + '4,"b" c,d,e,f\n' + "5,a,b,c,d,e\n" + GOOD
    said = refusal("products.csv", text.encode() + b"7,Caf\xe9,b,c,d\n").splitlines()
    assert said[0].endswith("products.csv: 4 rows cannot be read:")
    assert "row 2 (line 3): short, 2 cells for 5 columns" in said[1]
    assert "row 4 (line 6): ',' expected after '\"'" in said[2]
    assert "row 5 (line 7): 6 cells for 5 columns" in said[3]
    assert "row 7 (line 9): name is not UTF-8" in said[4]
    for fix in ("delimiters of empty cells", "quotes doubled", "save the file as UTF-8"):
        assert said[5].count(fix) == 1


def test_ten_bad_rows_are_named_of_many(refusal):
    said = refusal("products.csv", (HEADER + GOOD + "2,a\n" * 50).encode())
    assert "at least 10 rows" in said
    assert re.findall(r"\(line (\d+)\)", said) == [str(line) for line in range(3, 13)]


def test_one_bad_row_is_named_in_one_line(refusal):
    said = refusal("products.tsv", (HEADER + GOOD).replace(",", "\t").encode() + b"2\ta\n")
    assert "\n" not in said
    assert "products.tsv, row 2 (line 3): short, 2 cells for 5 columns: write" in said


def test_a_quote_that_is_not_closed_takes_no_other_row_with_it(refusal):
    text = HEADER + GOOD + '2,a,"b\n' + "3,a,b,c,d,e\n" + '4,a,b,c,"d\n' + GOOD * 3
    said = refusal("products.csv", text.encode())
    assert "3 rows cannot be read" in said
    assert "row 2 (line 3): short, 3 cells for 5 columns, and its last quote is not closed" in said
    assert "row 3 (line 4): 6 cells for 5 columns" in said
    assert "row 4 (line 5): its last quote is not closed" in said


def test_lines_are_counted_over_cells_with_line_breaks(refusal):
    text = HEADER + '1,a,"b\n\nb",c,d\n\n' + "2,a\n"
    assert "row 2 (line 6)" in refusal("products.csv", text.encode())


def test_quotes_escaped_by_a_backslash_are_refused_row_by_row(refusal):
    text = HEADER + '1,"a \\"b\\" c",b,c,d\n' * 3
    said = refusal("products.csv", text.encode())
    assert re.findall(r"\(line (\d+)\)", said) == ["2", "3", "4"]


@pytest.mark.parametrize("header", ['sku,"name" x\n', 'sku,"name\n'])
def test_a_header_with_wrong_quotes_is_refused(refusal, header):
    assert "header (line 1)" in refusal("products.csv", header.encode() + GOOD.encode())


@pytest.mark.parametrize("name", ["a", "z"])
def test_an_empty_file_of_a_folder_is_skipped(read, refusal, tmp_path, name):
    (tmp_path / "parts").mkdir()
    (tmp_path / f"parts/{name}.csv").touch()
    assert f"{name}.csv has no column 'sku'; it has none" in refusal("parts")
    (tmp_path / "parts/b.csv").write_text(HEADER + GOOD)
    assert [product.sku for product in read("parts")] == ["1"]
    (tmp_path / "packed").mkdir()
    (tmp_path / f"packed/{name}.csv.gz").write_bytes(gzip.compress(b""))
    (tmp_path / "packed/b.csv.gz").write_bytes(gzip.compress((HEADER + GOOD).encode()))
    assert [product.sku for product in read("packed")] == ["1"]
    assert columns_of(tmp_path / "packed") == HEADER.strip().split(",")


@pytest.mark.parametrize("quote", ["", '"'])
@pytest.mark.parametrize(("name", "delimiter"), [("a.csv", ";"), ("a.csv", "|"), ("a.tsv", ",")])
def test_the_delimiter_of_the_header_is_taken(read, refusal, tmp_path, name, delimiter, quote):
    rows = [HEADER.replace("description", "price in EUR,description"), "1,a,9,b;c|d,c,d\n", GOOD]
    lines = [row.strip().split(",", 5) for row in rows]
    lines[1][3] = f'"{lines[1][3]}"' if not quote else lines[1][3]
    text = "".join(f"{quote}{f'{quote}{delimiter}{quote}'.join(line)}{quote}\n" for line in lines)
    (product,) = read(name, text.removesuffix(text.splitlines(True)[-1]).encode())
    assert (product.sku, product.description, product.label) == ("1", "b;c|d", "d")
    assert columns_of(tmp_path / name)[2:4] == ["price in EUR", "description"]
    assert "row 2 (line 3): short, 5 cells for 6 columns" in refusal(name, text.encode())


def test_a_comma_within_a_name_of_a_header_with_semicolons_is_no_delimiter(read, refusal):
    text = "sku;name;price, EUR;description;manufacturer;label\n1;a, b;9,95;c;d;e\n"
    (product,) = read("products.csv", text.encode())
    assert (product.name, product.description) == ("a, b", "c")
    said = refusal("products.csv", text.encode(), name="title")
    assert "no column 'title'; it has 'sku', 'name', 'price, EUR'" in said


def test_what_is_above_the_header_is_left_out(read, refusal, tmp_path):
    above = 'TemplateType=shop\tVersion=1\n\nSKU of the seller\t"Its\nname"\n'
    text = above + (HEADER + GOOD).replace(",", "\t")
    (product,) = read("products.tsv", text.encode())
    assert (product.sku, product.label) == ("1", "d")
    assert columns_of(tmp_path / "products.tsv", ["name"]) == HEADER.strip().split(",")
    assert columns_of(tmp_path / "products.tsv") == ["TemplateType=shop", "Version=1"]
    assert "row 2 (line 7): short" in refusal("products.tsv", (text + "2\ta\n").encode())


def test_a_header_that_names_most_columns_is_no_title(refusal):
    text = HEADER.replace("label", "category") + GOOD + "label,a,b,c,d\n"
    said = refusal("products.csv", text.encode())
    assert "no column 'label'; it has 'sku', 'name', 'description', 'manufacturer'" in said


@pytest.mark.parametrize("ending", ["csv", "json", "jsonl"])
def test_a_table_is_read_in_the_encoding_that_is_named_unless_it_has_a_mark(read, ending):
    row = dict(zip(HEADER.strip().split(","), ["1", "Größe €", "b", "c", "d"], strict=True))
    text = (
        HEADER + ",".join(row.values()) if ending == "csv" else json.dumps(row, ensure_ascii=False)
    )
    text = f"[{text}]" if ending == "json" else text
    for content in (text.encode("cp1252"), b"\xef\xbb\xbf" + text.encode()):
        (product,) = read(f"products.{ending}", content, encoding="cp1252")
        assert product.name == "Größe €"


def test_a_byte_that_the_named_encoding_lacks_is_named_with_its_row(refusal):
    content = (HEADER + GOOD).encode() + b"2,\x81,b,c,d\n"
    assert "row 2 (line 3): name is not" in refusal("a.csv", content, encoding="cp1252")


def test_an_encoding_of_a_format_that_has_none_is_refused(refusal, tmp_path):
    (tmp_path / "a.parquet").touch()
    said = refusal("a.parquet", encoding="cp1252")
    assert said.startswith("data.table.encoding is 'cp1252', but ")
    assert said.endswith("a.parquet has no encoding: set it to null")


def test_blank_lines_before_the_header_are_skipped(read):
    content = b"\n\r\n\nsku,name,description,manufacturer,label\n1,a,b,c,d\n"
    (product,) = read("products.csv", content)
    assert (product.sku, product.label) == ("1", "d")


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_blank_line_is_an_empty_cell_of_the_only_column(tmp_path, end):
    path = tmp_path / "names.csv"
    lines = ["", "name", "Kettle", "", "", "Lamp", "a,b", "", "Mug", "", "", ""]
    path.write_bytes(end.join(lines).encode())
    rows = [(row.number, row.line, row.cells.get("name")) for row in read_csv(path, ["name"])]
    assert rows[:4] == [(1, 3, "Kettle"), (2, 4, ""), (3, 5, ""), (4, 6, "Lamp")]
    assert rows[4:] == [(5, 7, "a"), (6, 8, ""), (7, 9, "Mug")]


@pytest.mark.parametrize(("name", "delimiter"), [("a.csv", ";"), ("a.csv", ","), ("a.tsv", ";")])
def test_the_delimiter_that_excel_writes_into_the_first_line_is_taken(
    read, refusal, tmp_path, name, delimiter
):
    text = f"sep={delimiter}\r\n" + (HEADER + GOOD).replace(",", delimiter)
    (product,) = read(name, b"\xef\xbb\xbf" + text.encode())
    assert (product.sku, product.label) == ("1", "d")
    assert columns_of(tmp_path / name) == HEADER.strip().split(",")
    assert "row 2 (line 4): short" in refusal(name, (text + f"2{delimiter}a\n").encode())
