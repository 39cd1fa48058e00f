"""A file is decompressed and decoded by its content."""

import bz2
import gzip
import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.workbooks import xlsx

TEXT = "sku,name,description,manufacturer,label\n1,Café 日本 😀,b,c,d\n2,x,b,c,d\n"
COMPRESS = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "zst": lambda data: pa.Codec("zstd").compress(data, asbytes=True),
}


def names(products):
    return [product.name for product in products]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "utf-32", "utf-32-be"])
def test_text_is_decoded_by_its_mark(read, encoding):
    content = ("\ufeff" if encoding.endswith("be") else "") + TEXT
    assert names(read("products.csv", content.encode(encoding))) == ["Café 日本 😀", "x"]


@pytest.mark.parametrize("ending", COMPRESS)
@pytest.mark.parametrize("name", ["products.csv.{}", "PRODUCTS.CSV.{}", "products.csv"])
def test_a_compressed_file_is_read_whatever_its_name(read, ending, name):
    content = COMPRESS[ending](TEXT.encode("utf-16"))
    assert names(read(name.format(ending.upper()), content)) == ["Café 日本 😀", "x"]


def test_gzip_in_several_parts_is_read_whole(read):
    head, tail = TEXT[:50].encode(), TEXT[50:].encode()
    assert len(read("products.csv", gzip.compress(head) + gzip.compress(tail))) == 2


def test_compressed_parquet_is_read(read):
    columns = TEXT.splitlines()[0].split(",")
    file = io.BytesIO()
    pq.write_table(pa.table({name: [name] for name in columns}), file)
    assert names(read("products.parquet.gz", gzip.compress(file.getvalue()))) == ["name"]


def test_a_name_of_a_compressed_file_that_is_not_is_no_matter(read):
    assert len(read("products.csv.gz", TEXT.encode())) == 2


@pytest.mark.parametrize("ending", COMPRESS)
def test_a_compressed_file_that_was_cut_off_is_refused(refusal, ending):
    content = COMPRESS[ending](TEXT.encode() * 100)[:-6]
    said = refusal("products.csv", content)
    assert "products.csv is damaged" in said and "compress it again" in said


def test_utf16_that_was_cut_off_is_refused(refusal):
    assert "products.csv is damaged" in refusal("products.csv", TEXT.encode("utf-16")[:-1])


def test_utf16_without_its_mark_is_refused(refusal):
    assert "header is not UTF-8" in refusal("products.csv", TEXT.encode("utf-16-le"))


@pytest.mark.parametrize("encoding", [None, "cp1252"])
@pytest.mark.parametrize("name", ["products.csv", "products.tsv", "products.json"])
def test_a_workbook_or_a_parquet_file_with_the_name_of_a_text_is_called_one(
    refusal, name, encoding
):
    parquet = io.BytesIO()
    pq.write_table(pa.table({"sku": ["1"]}), parquet)
    old_excel = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 504
    for content in (xlsx({"Sheet": [["sku"], ["1"]]}), parquet.getvalue(), old_excel):
        said = refusal(name, content, encoding=encoding)
        assert f"{name} is no text, as its name says, but a workbook or the like: save" in said


def test_half_a_pair_in_utf16_is_an_emoji_that_was_cut(read):
    content = TEXT.encode("utf-16").replace("x".encode("utf-16-le"), b"\x00\xd8")
    assert names(read("products.csv", content)) == ["Café 日本 😀", "\ufffd"]


@pytest.mark.parametrize("name", ["products.gz", "products.txt", "products", "products.csv.zip"])
def test_a_file_of_an_unknown_ending_is_refused(refusal, name):
    said = refusal(name, TEXT.encode())
    assert ".csv" in said and ".gz" in said and "data.table.path" in said
    assert ("name it .tsv" in said) == (name == "products.txt")
