"""Parquet as Spark and Hugging Face write it."""

import json
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.catalog.sources.table import columns_of

COLUMNS = ["sku", "name", "description", "manufacturer", "label"]


def write(path, metadata=None, **columns):
    rows = len(next(iter(columns.values()), [0]))
    table = pa.table({name: ["x"] * rows for name in COLUMNS} | columns)
    if metadata:
        features = {"info": {"features": metadata}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(features)})
    path.parent.mkdir(exist_ok=True)
    pq.write_table(table, path)


def test_a_folder_is_read_in_the_order_of_its_names(read, tmp_path):
    folder = tmp_path / "products.parquet"
    write(folder / "part-00001.snappy.parquet", sku=["3"])
    write(folder / "part-00000.snappy.parquet", sku=[1, 2])
    for name in ("_SUCCESS", ".part-00000.snappy.parquet.crc"):
        (folder / name).write_bytes(b"")
    assert [product.sku for product in read("products.parquet")] == ["1", "2", "3"]


def test_what_is_in_a_struct_is_read(read, refusal, tmp_path):
    structs = [{"name": {"de": "Größe", "en": None}, "a.b": "not to be named"}, None]
    images = [{"bytes": b"image", "path": "1.jpg"}, {"bytes": None, "path": "2.jpg"}]
    columns = {"texts": structs, "photo": images, "sku.old": [7, 8], "sku": [1, 2]}
    write(tmp_path / "a.parquet", **columns)
    names = {"name": "texts.name.de", "manufacturer": "sku.old"}
    first, second = read("a.parquet", **names, image_path="photo")
    assert (first.name, first.manufacturer, second.name) == ("Größe", "7", None)
    assert "a.parquet" in first.image and second.image.endswith("2.jpg")
    found = columns_of(tmp_path / "a.parquet")
    assert {"texts.name.de", "texts.name.en", "sku.old"} <= {*found}
    assert "texts.a.b" not in found
    said = refusal("a.parquet", name="texts.name.fr")
    assert "no column 'texts.name.fr'; it has " in said and "'texts.name.en'" in said


def test_what_is_in_a_list_of_structs_is_read(read, refusal, tmp_path):
    categories = [[{"id": 1, "name": "Home"}, {"id": 2, "name": "Lamps"}], []]
    shop = [{"images": [{"src": "https://shop/1.jpg", "alt": "x"}]}, None]
    write(tmp_path / "a.parquet", sku=["a", "b"], categories=categories, shop=shop)
    names = {"label": "categories.name", "description": "categories.id"}
    first, second = read("a.parquet", **names, image_url="shop.images.src")
    assert (first.label, first.description) == ("Home > Lamps", "1 2")
    assert first.image == "https://shop/1.jpg"
    assert (second.label, second.image) == (None, None)
    assert {"categories.name", "shop.images.alt"} <= {*columns_of(tmp_path / "a.parquet")}
    assert "such as categories.id" in refusal("a.parquet", label="categories")


def test_few_rows_are_in_memory_where_a_list_that_is_read_holds_images(read, tmp_path, monkeypatch):
    images = [[{"bytes": bytes(100), "path": f"{number}.jpg"}] for number in range(3)]
    write(tmp_path / "a.parquet", sku=["a", "b", "c"], images=images)
    sizes, iter_batches = [], pq.ParquetFile.iter_batches

    def noted(file, batch_size, columns):
        sizes.append(batch_size)
        return iter_batches(file, batch_size, columns=columns)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", noted)
    products = read("a.parquet", image_path="images.path")
    assert [product.image for product in products] == ["file:0.jpg", "file:1.jpg", "file:2.jpg"]
    assert sizes == [64]


def test_a_part_that_lacks_a_column_is_named(refusal, tmp_path):
    write(tmp_path / "parts/a.parquet")
    pq.write_table(pa.table({"sku": ["1"]}), tmp_path / "parts/b.parquet")
    said = refusal("parts")
    assert "b.parquet has no column 'name'" in said


def test_a_bad_row_of_a_part_is_named_with_its_file(refusal, tmp_path):
    write(tmp_path / "parts/a.parquet")
    write(tmp_path / "parts/b.parquet", name=[b"good", b"\xff"])
    assert "b.parquet, row 2: name is binary and not UTF-8" in refusal("parts")


@pytest.mark.parametrize("other", ["label=TV/a.parquet", "b.csv", "README"])
def test_a_folder_with_anything_else_is_refused(refusal, tmp_path, other):
    write(tmp_path / "parts/a.parquet")
    (tmp_path / "parts" / other).parent.mkdir(exist_ok=True)
    (tmp_path / "parts" / other).write_bytes(b"")
    assert other.split("/")[0] in refusal("parts")


def test_an_empty_folder_is_refused(refusal, tmp_path):
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts/_SUCCESS").touch()
    assert "has no files" in refusal("parts")


def test_class_labels_have_their_names(read, tmp_path):
    metadata = {"label": {"names": ["TV", "Audio"], "_type": "ClassLabel"}, "sku": {"_type": "V"}}
    write(tmp_path / "products.parquet", metadata, label=[1, 0, -1, None])
    labels = [product.label for product in read("products.parquet")]
    assert labels == ["Audio", "TV", None, None]


CLASS_LABEL = {"names": ["Home", "Lamps"], "_type": "ClassLabel"}
LISTS_OF_LABELS = [
    {"feature": CLASS_LABEL, "_type": "Sequence"},
    {"feature": CLASS_LABEL, "length": -1, "_type": "List"},
    {"feature": CLASS_LABEL, "_type": "LargeList"},
    [CLASS_LABEL],
]


@pytest.mark.parametrize("feature", LISTS_OF_LABELS)
def test_class_labels_in_a_list_have_their_names(read, tmp_path, feature):
    cells = [[0, 1], [1, -1], [-1, None], [], None]
    write(tmp_path / "products.parquet", {"label": feature}, label=cells)
    labels = [product.label for product in read("products.parquet")]
    assert labels == ["Home > Lamps", "Lamps", None, None, None]


@pytest.mark.parametrize("feature", LISTS_OF_LABELS)
@pytest.mark.parametrize("label", [2, -2])
def test_a_class_label_in_a_list_without_a_name_is_refused(refusal, tmp_path, feature, label):
    write(tmp_path / "products.parquet", {"label": feature}, label=[[0], [1, label]])
    said = refusal("products.parquet")
    assert f"row 2: label is {label}, and the file names 2 classes" in said


def test_a_class_label_without_a_name_is_refused(refusal, tmp_path):
    metadata = {"label": {"names": ["TV", "Audio"], "_type": "ClassLabel"}}
    write(tmp_path / "products.parquet", metadata, label=[1, 2])
    assert "row 2: label is 2, and the file names 2 classes" in refusal("products.parquet")


def test_metadata_that_cannot_be_read_are_refused(refusal, tmp_path):
    table = pa.table({name: ["x"] for name in COLUMNS})
    pq.write_table(table.replace_schema_metadata({"huggingface": "{"}), tmp_path / "p.parquet")
    assert "metadata of Hugging Face" in refusal("p.parquet")


@pytest.mark.parametrize(
    ("cells", "texts"),
    [
        (pa.array(["Café".encode(), None]), ["Café", None]),
        (pa.array([["a", None, "b"], []]), ["a b", None]),
        (
            pa.array([0.1, -2.0, 123456792.0, None, float("nan")], pa.float32()),
            ["0.1", "-2", "123456792", None, None],
        ),
        (pa.array([18262, None], pa.date32()), ["2020-01-01", None]),
        (
            pa.array([1577880000, None], pa.timestamp("s", "UTC")),
            ["2020-01-01T12:00:00+00:00", None],
        ),
        (pa.array([UUID(int=1).bytes, None], pa.uuid()), [str(UUID(int=1)), None]),
    ],
)
def test_cells_of_other_types_are_text(read, tmp_path, cells, texts):
    write(tmp_path / "products.parquet", name=cells)
    assert [product.name for product in read("products.parquet")] == texts


def test_long_decimals_keep_their_digits(read, tmp_path):
    long = pa.array(["1" * 30 + "2.50", "100.00"]).cast(pa.decimal128(38, 2))
    write(tmp_path / "products.parquet", sku=long)
    assert [product.sku for product in read("products.parquet")] == ["1" * 30 + "2.5", "100"]


def images(*pairs):
    return pa.array([pair and dict(zip(("bytes", "path"), pair, strict=True)) for pair in pairs])


@pytest.mark.parametrize("column", ["image_path", "image_url"])
@pytest.mark.parametrize("path", ["a.png", "gone.png", None, "/etc/hostname", "a\0b", "a" * 5000])
def test_an_embedded_image_is_named_by_its_row_and_not_by_its_path(read, tmp_path, path, column):
    (tmp_path / "a.png").touch()
    write(tmp_path / "products.parquet", image=images((None, None), (b"\x89PNG", path), None))
    found = [product.image for product in read("products.parquet", **{column: "image"})]
    assert found == [None, "embedded:products.parquet#image#2", None]


@pytest.mark.parametrize("empty", [None, b""])
def test_an_image_object_without_bytes_is_named_by_its_path(read, tmp_path, empty):
    write(tmp_path / "products.parquet", image=images((empty, "b.png"), (b"\x89PNG", "a.png")))
    found = [product.image for product in read("products.parquet", image_path="image")]
    assert found == ["file:b.png", "embedded:products.parquet#image#2"]


def test_of_images_with_a_url_and_a_path_the_column_says_which_is_meant(read, tmp_path):
    image = {"path": "full/aa.jpg", "url": "https://x.example/a.jpg"}
    write(tmp_path / "products.parquet", image=[[image]])
    (by_url,) = read("products.parquet", image_url="image")
    (by_path,) = read("products.parquet", image_path="image")
    assert (by_url.image, by_path.image) == ("https://x.example/a.jpg", "file:full/aa.jpg")


def test_an_image_as_bytes_is_named_by_its_row_and_a_path_as_bytes_by_its_text(read, tmp_path):
    write(tmp_path / "products.parquet", image=[b"\x89PNG\xff", "é.png".encode(), b"", None])
    found = [product.image for product in read("products.parquet", image_path="image")]
    assert found == ["embedded:products.parquet#image#1", "file:é.png", None, None]


def test_of_a_list_of_images_each_is_named(read, tmp_path):
    cells = pa.array([images((None, "b.png"), (b"\x89PNG", None), (b"GIF\xff", None)).to_pylist()])
    write(tmp_path / "products.parquet", image=cells)
    (product,) = read("products.parquet", image_path="image")
    assert product.image.splitlines() == [
        "embedded:products.parquet#image#1.2",
        "embedded:products.parquet#image#1.3",
        "file:b.png",
    ]


def test_rows_of_a_folder_are_counted_in_each_file(read, tmp_path):
    for name in ("b", "a"):
        cells = images((b"\x89PNG", None), (b"\x89PNG", None))
        write(tmp_path / f"parts/{name}#.parquet", image=cells)
    found = [product.image for product in read("parts", image_path="image")]
    assert found == [
        f"embedded:parts/{name}%23.parquet#image#{row}" for name in "ab" for row in (1, 2)
    ]


def test_a_text_that_looks_like_the_name_of_an_embedded_image_is_a_path(read, tmp_path):
    write(tmp_path / "products.parquet", image=["embedded:products.parquet#image#1"])
    (product,) = read("products.parquet", image_path="image")
    assert product.image == "file:embedded:products.parquet#image#1"
