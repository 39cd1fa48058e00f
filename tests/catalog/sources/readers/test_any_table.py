"""Any mixture of format, encoding, compression and kinds of cells gives the same products."""

import bz2
import csv
import gzip
import io
import json
import shutil

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from helpers.mutations import mutations
from helpers.repository import TOP
from helpers.workbooks import ods, xls, xlsx
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from stages.catalog.sources import table
from stages.catalog.sources.product import RawProduct
from stages.common.errors import InputError
from stages.params import load_params

SETTINGS = load_params(TOP / "params.yaml").data.table
COLUMNS = ["sku", "name", "description", "manufacturer", "label"]
ENCODINGS = {"utf-8": "", "utf-8-sig": "", "utf-16": "", "utf-16-be": "\ufeff", "utf-32": ""}
COMPRESSIONS = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".zst": lambda content: pa.Codec("zstd").compress(content, asbytes=True),
}
WORKBOOKS = {".xlsx": xlsx, ".ods": ods, ".xls": xls}

any_text = st.text(st.characters(codec="utf-8"), max_size=20) | st.sampled_from(
    ['"', ",", "\t", "a\nb", "\r\n", "\\", 'a "b" c', "NaN", "=1", "007", "1e3", " x ", "\u2028"]
)
# What each format of workbooks can hold: XML has no control characters.
plain_text = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=20
)


def tables(texts):
    """Draw rows of texts whose SKUs are written as numbers where `numbers` is true."""
    row = st.fixed_dictionaries(dict.fromkeys(COLUMNS, texts))
    return st.lists(row, min_size=1, max_size=5)


def with_numbers(data, rows):
    """Return the rows and what is written for them: some columns of numbers in place of texts."""
    numeric = data.draw(st.sets(st.sampled_from(COLUMNS), max_size=2))
    numbers = st.integers(0, 10**14)
    rows = [row | {name: data.draw(numbers) for name in sorted(numeric)} for row in rows]
    return [{name: str(cell) for name, cell in row.items()} for row in rows], rows


def delimited(data, ending, columns, rows):
    file = io.StringIO(newline="")
    all_quoted = data.draw(st.booleans())
    writer = csv.DictWriter(
        file,
        columns,
        delimiter="," if ending == ".csv" else "\t",
        quoting=csv.QUOTE_ALL if all_quoted else csv.QUOTE_MINIMAL,
        # The writer of Python 3.11 puts a cell in quotes only for the line ends that it writes.
        lineterminator=data.draw(st.sampled_from(["\n", "\r\n", "\r"])) if all_quoted else "\r\n",
    )
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def json_text(data, ending, columns, rows):
    ascii_only = data.draw(st.booleans())
    if ending == ".json":
        frame = pd.DataFrame(rows, columns=columns, dtype=object)
        form = data.draw(st.sampled_from(["records", "columns", "index", "split", "lists", "key"]))
        if form in ("lists", "key"):
            orient = {"lists": "list", "key": "records"}[form]
            content = frame.to_dict(orient)
            content = content if form == "lists" else {"count": len(rows), "products": content}
            return json.dumps(content, ensure_ascii=ascii_only)
        return frame.to_json(orient=form, force_ascii=ascii_only)
    return "\n".join(json.dumps(row, ensure_ascii=ascii_only) for row in rows)


def parquet(data, columns, rows):
    arrays = {}
    for name in columns:
        cells = pa.array([row[name] for row in rows])
        if pa.types.is_string(cells.type):
            kind = data.draw(st.sampled_from(["string", "large", "categories", "binary"]))
            if kind == "categories":
                cells = cells.dictionary_encode()
            elif kind != "string":
                cells = cells.cast(pa.large_string() if kind == "large" else pa.binary())
        arrays[name] = cells
    file = io.BytesIO()
    pq.write_table(pa.table(arrays), file)
    return file.getvalue()


def written(data, ending, rows):
    """Return the bytes of a file of those rows, in a form and an order of columns that is drawn."""
    columns = data.draw(st.permutations([*COLUMNS, "more"]))
    rows = [{name: (row | {"more": "x"})[name] for name in columns} for row in rows]
    if ending in WORKBOOKS:
        return WORKBOOKS[ending]({"Sheet": [columns, *[list(row.values()) for row in rows]]})
    if ending == ".parquet":
        return parquet(data, columns, rows)
    write = delimited if ending in (".csv", ".tsv") else json_text
    encoding = data.draw(st.sampled_from(list(ENCODINGS)))
    return (ENCODINGS[encoding] + write(data, ending, columns, rows)).encode(encoding)


def check(folder, data, ending, rows):
    """Write the rows in a drawn form, as one file or several, and read them."""
    expected, rows = with_numbers(data, rows)
    compression = data.draw(st.sampled_from(list(COMPRESSIONS)))
    path = folder / f"drawn{ending}{data.draw(st.sampled_from(['', compression]))}"
    halves = [rows]
    if data.draw(st.booleans()):
        path = folder / "drawn"
        halves = [rows[:1], rows[1:]] if len(rows) > 1 else [rows]
    remove(path)
    for number, half in enumerate(halves):
        file = path
        if path.name == "drawn":
            path.mkdir(exist_ok=True)
            file = path / f"part-{number}{ending}"
        file.write_bytes(COMPRESSIONS[compression](written(data, ending, half)))
    products = list(table.read(SETTINGS.model_copy(update={"path": path.name}), folder))
    assert products == [RawProduct(**row, image=None) for row in expected]


def remove(path):
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@settings(deadline=None, derandomize=True, max_examples=300)
@given(st.data(), st.sampled_from([".csv", ".tsv", ".json", ".jsonl", ".parquet"]))
def test_any_form_of_a_table_gives_the_same_products(tmp_path_factory, data, ending):
    check(tmp_path_factory.getbasetemp(), data, ending, data.draw(tables(any_text)))


# Each workbook is read in a process of its own: a failure is not made smaller, which takes minutes.
@settings(deadline=None, derandomize=True, max_examples=15, phases=[Phase.generate])
@given(st.data(), st.sampled_from(list(WORKBOOKS)))
def test_any_workbook_gives_the_same_products(tmp_path_factory, data, ending):
    check(tmp_path_factory.getbasetemp(), data, ending, data.draw(tables(plain_text)))


@settings(deadline=None, derandomize=True, max_examples=300)
@given(
    st.data(),
    st.sampled_from([".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet"]),
    st.sampled_from(list(COMPRESSIONS)),
    st.integers(0, 10**6),
)
def test_a_damaged_table_is_read_or_refused_by_name(
    tmp_path_factory, data, ending, compression, seed
):
    rows = data.draw(tables(any_text))
    content = COMPRESSIONS[compression](written(data, ending, rows))
    read_or_refused(tmp_path_factory, f"damaged{ending}", next(mutations(content, 1, seed)))


@settings(deadline=None, derandomize=True)
@given(
    st.binary() | st.text().map(str.encode),
    st.sampled_from([".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet"]),
    st.sampled_from([b"", ",".join(COLUMNS).encode() + b"\n"]),
)
def test_any_bytes_are_a_table_or_refused_by_name(tmp_path_factory, content, ending, header):
    read_or_refused(tmp_path_factory, f"drawn{ending}", header + content)


def read_or_refused(tmp_path_factory, name, content):
    folder = tmp_path_factory.getbasetemp()
    remove(folder / name)
    (folder / name).write_bytes(content)
    try:
        products = list(table.read(SETTINGS.model_copy(update={"path": name}), folder))
    except InputError as error:
        assert name in str(error)
    else:
        for product in products:
            assert all(text is None or text.encode() is not None for text in vars(product).values())
