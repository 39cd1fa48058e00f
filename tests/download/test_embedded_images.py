"""Images whose bytes are in a Parquet table become the same JPEGs as images in files."""

import gzip
import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.repository import TOP
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from stages.catalog.sources import table
from stages.catalog.validation import clean_product
from stages.common.errors import InputError
from stages.common.image_ref import EmbeddedImage, ImageRef
from stages.common.tables import IMAGES, PRODUCTS, read_table
from stages.download import product_images
from stages.download.embedded_images import read_embedded
from stages.download.failures import Failure
from stages.download.image_conversion import to_jpeg
from stages.download.image_loader import Catalogue
from stages.params import load_params

TEXTS = ["sku", "name", "description", "manufacturer", "label"]
PARAMS = load_params(TOP / "params.yaml")


def png(shade: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (40, 30), (shade, 0, 0)).save(file, "PNG")
    return file.getvalue()


PICTURES = [png(shade) for shade in range(0, 250, 25)]


def write(path, cells, group=3):
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table({"picture": cells}), path, row_group_size=group)


def read(folder, *cells, max_bytes=10_000):
    """Return what is read of the cells of p.parquet, by row and item."""
    places = [EmbeddedImage("p.parquet", "picture", *cell).location for cell in cells]
    found = dict(read_embedded(places, folder, max_bytes))
    assert len(found) == len(set(places))
    return [found[place] for place in places]


@pytest.fixture
def structs():
    return pa.array([{"bytes": content, "path": "a.png"} for content in PICTURES])


def test_each_row_gives_its_own_image_in_any_order_and_group_of_rows(tmp_path, structs):
    write(tmp_path / "p.parquet", structs)
    rows = [8, 1, 3, 4, 10]
    assert read(tmp_path, *[(row,) for row in rows]) == [PICTURES[row - 1] for row in rows]


def test_of_a_list_each_image_is_read(tmp_path, structs):
    write(tmp_path / "p.parquet", pa.array([structs.to_pylist()[:2], structs.to_pylist()[2:5]]))
    assert read(tmp_path, (2, 3), (1, 1), (2, 1)) == [PICTURES[at] for at in (4, 0, 2)]


def test_a_column_is_not_taken_for_a_field_of_another(tmp_path, structs):
    columns = {"picture": structs.take([1]), "picture.bytes": PICTURES[:1]}
    for names in (list(columns), list(reversed(columns))):
        pq.write_table(pa.table({name: columns[name] for name in names}), tmp_path / "p.parquet")
        for column, content in (("picture", PICTURES[1]), ("picture.bytes", PICTURES[0])):
            place = EmbeddedImage("p.parquet", column, 1).location
            assert dict(read_embedded([place], tmp_path, 10_000)) == {place: content}


def test_cells_that_are_bytes_and_files_that_are_compressed_are_read(tmp_path):
    write(tmp_path / "p.parquet", pa.array(PICTURES, pa.large_binary()))
    (tmp_path / "p.parquet").write_bytes(gzip.compress((tmp_path / "p.parquet").read_bytes()))
    assert read(tmp_path, (7,)) == [PICTURES[6]]


def test_an_image_that_is_too_large_fails_alone(tmp_path):
    write(tmp_path / "p.parquet", pa.array([PICTURES[0], bytes(2_000_001), PICTURES[1]]))
    first, large, last = read(tmp_path, (1,), (2,), (3,), max_bytes=2_000_000)
    assert (first, last) == (PICTURES[0], PICTURES[1])
    assert large == Failure("more than 2,000,000 bytes")


@pytest.mark.parametrize("cell", [(11,), (0,), (2,), (3, 1), (4, 9)])
def test_a_cell_that_holds_no_image_any_more_is_said(tmp_path, structs, cell):
    cells = structs.to_pylist()
    cells[1] = {"bytes": None, "path": "a.png"}
    write(tmp_path / "p.parquet", pa.array(cells))
    with pytest.raises(InputError, match=r"p\.parquet lacks images that were there"):
        read(tmp_path, (1,), cell)


@pytest.mark.parametrize("content", [None, b"", b"PAR1 and no more"])
def test_a_table_that_cannot_be_read_any_more_is_said(tmp_path, content):
    if content is not None:
        (tmp_path / "p.parquet").write_bytes(content)
    with pytest.raises(InputError, match=r"p\.parquet lacks images that were there"):
        read(tmp_path, (1,))


@pytest.mark.parametrize("file", ["../p.parquet", "/etc/hostname", "other.parquet"])
def test_a_file_outside_the_folder_is_not_read(tmp_path, structs, file):
    write(tmp_path / "p.parquet", structs)
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="lacks images"):
        list(read_embedded([EmbeddedImage(file, "picture", 1).location], tmp_path / "folder", 10))


def test_a_table_may_be_a_link_to_a_file_elsewhere(tmp_path, structs):
    """DVC makes such links where its cache is on another disk (`cache.type symlink`)."""
    write(tmp_path / "elsewhere.parquet", structs)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/p.parquet").symlink_to(tmp_path / "elsewhere.parquet")
    assert read(tmp_path / "folder", (2,)) == [PICTURES[1]]


@pytest.mark.parametrize("location", ["", "p.parquet", "p.parquet#image", "p.parquet#image#one"])
def test_a_location_that_is_none_is_refused(tmp_path, location):
    with pytest.raises(InputError, match="names no cell of a table"):
        list(read_embedded([location], tmp_path, 10))


structs_of_images = st.fixed_dictionaries(
    {"bytes": st.none() | st.binary(max_size=20), "path": st.none() | st.text(max_size=5)}
)
columns_of_images = st.one_of(
    st.lists(st.none() | structs_of_images, min_size=1).map(pa.array),
    st.lists(st.none() | st.lists(st.none() | structs_of_images), min_size=1).map(pa.array),
    st.lists(st.none() | st.binary(max_size=20), min_size=1).map(pa.array),
)


@settings(deadline=None, derandomize=True)
@given(columns_of_images, st.integers(1, 4), st.sampled_from(["image_path", "image_url"]))
def test_any_images_in_a_table_are_read_as_they_are(tmp_path_factory, cells, group, key):
    folder = tmp_path_factory.getbasetemp()
    texts = {name: ["text"] * len(cells) for name in TEXTS}
    pq.write_table(pa.table({**texts, "i#": cells}), folder / "any.parquet", row_group_size=group)
    named = PARAMS.data.table.model_copy(update={"path": "any.parquet", key: "i#"})
    lines = [(raw.image or "").split("\n") for raw in table.read(named, folder)]
    assert len(lines) == len(cells)
    found = [ImageRef.parse(line).location for row in lines for line in row if is_embedded(line)]
    contents = [content for cell in cells.to_pylist() for content in contents_of(cell)]
    assert [content for _, content in read_embedded(found, folder, 100)] == contents


def is_embedded(line):
    return line.startswith("embedded:")


def contents_of(cell):
    """Return the images that a cell holds as bytes: all that is no text."""
    if isinstance(cell, list):
        return [content for item in cell for content in contents_of(item)]
    if isinstance(cell, dict):
        return [cell["bytes"]] if cell["bytes"] else []
    try:
        (cell or b"").decode()
    except UnicodeDecodeError:
        return [cell]
    return []


def test_a_table_with_images_in_it_ends_in_images_and_reasons(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder, contents = tmp_path / "catalogue", [*PICTURES[:3], b"<!doctype html><p>Gone", None]
    rows = len(contents)
    for part in ("a", "b"):
        cells = [{"bytes": content, "path": "x.png"} for content in contents[:4]]
        columns = {
            "sku": [f"{part}{row}" for row in range(rows)],
            **{name: ["text"] * rows for name in TEXTS[1:]},
            "image": [*cells, None],
        }
        (folder / "parts").mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(columns), folder / f"parts/{part}.parquet", row_group_size=2)
    named = PARAMS.data.table.model_copy(update={"path": "parts", "image_path": "image"})
    products = [clean_product(raw)._asdict() for raw in table.read(named, folder)]
    assert max(len(product["image"] or "") for product in products) < 40
    outcomes = []
    product_images.write_product_images(
        pa.Table.from_pylist(products, schema=PRODUCTS),
        tmp_path / "images",
        Catalogue(folder, None, None),
        PARAMS.download,
        64,
        "local",
        outcomes.append,
    )
    found = read_table(tmp_path / "images/images-00000.parquet", IMAGES).to_pylist()
    assert [row["sku"] for row in found] == [f"{part}{row}" for part in "ab" for row in range(rows)]
    wanted = [to_jpeg(content, 64) for content in PICTURES[:3]]
    for part in (found[:rows], found[rows:]):
        assert [row["jpeg"] for row in part] == [*wanted, None, None]
        assert [row["status"] for row in part] == ["ok"] * 3 + ["failed", "none"]
        assert part[3]["reason"] == "a web page"
    (outcome,) = outcomes
    assert [(image.sku, image.reference) for image in outcome.failed] == [
        ("a3", "parts/a.parquet#image#4"),
        ("b3", "parts/b.parquet#image#4"),
    ]
