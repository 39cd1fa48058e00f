"""Which products are kept, which are rejected and why, and what the stage writes."""

import csv
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from helpers.repository import TOP
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from stages import prepare
from stages.catalog.sources.bestbuy import MAX_BYTES
from stages.catalog.sources.product import RawProduct
from stages.common import paths
from stages.common.errors import InputError
from stages.common.tables import PRODUCTS

COLUMNS = ("sku", "name", "description", "manufacturer", "label", "image_url")
GOOD = [(str(n), f"Radio {n}", "", "", "Audio", f"http://x.example/{n}.jpg") for n in range(4)] + [
    (str(n), "", f"TV {n}", "Sony", "TV &amp; Home", "") for n in range(10, 13)
]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Return a function that runs the stage over a table of those rows, in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def run_over(rows, min_class_size=3, **data):
        params = YAML(typ="safe").load(TOP / "params.yaml")
        params["data"] |= {"source": "table", "min_class_size": min_class_size, **data}
        params["data"]["table"] |= {"image_url": "image_url", "image_path": None, "archive": None}
        (tmp_path / "params.yaml").write_text(json.dumps(params))
        path = tmp_path / params["data"]["folder"] / params["data"]["table"]["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([COLUMNS, *rows])
        prepare.main()

    return run_over


def kept():
    return pq.read_table("data/products.parquet").to_pylist()


def rejected():
    with Path("data/rejected.csv").open(encoding="utf-8", newline="") as file:
        return [tuple(row.values()) for row in csv.DictReader(file)]


def test_products_are_kept_clean_and_in_the_order_of_the_source(run):
    run([(" b ", "Pok&#233;mon<br>Red", "a\nb", "N\u00a0S", "TV &amp; Home", ""), *GOOD[::-1]])
    table = pq.read_table("data/products.parquet")
    assert table.schema.equals(PRODUCTS)
    rows = table.to_pylist()
    assert [row["sku"] for row in rows] == ["b", "12", "11", "10", "3", "2", "1", "0"]
    assert rows[0] == {
        "sku": "b",
        "name": "Pokémon Red",
        "description": "a b",
        "manufacturer": "N S",
        "label": "TV & Home",
        "image": None,
    }
    assert rows[-1]["image"] == "http://x.example/0.jpg"
    assert rejected() == []


def test_each_reason_is_given_with_the_row(run):
    run(
        [
            ("", "No number", "", "", "Audio", ""),
            *GOOD,
            ("0", "Radio, again", "", "", "Audio", ""),
            ("20", " ", "<br>", "Sony", "Audio", ""),
            ("21", "No label", "", "", "&nbsp;", ""),
            ("22", "Alone", "", "", "Toys", ""),
        ]
    )
    assert len(kept()) == 7
    assert rejected() == [
        ("1", "", "No number", "Audio", "no sku"),
        ("9", "0", "Radio, again", "Audio", "duplicate sku"),
        ("10", "20", "", "Audio", "no text and no image"),
        ("11", "21", "No label", "", "no label"),
        ("12", "22", "Alone", "Toys", "class too small"),
    ]


def test_of_one_sku_the_first_that_can_be_used_stays(run):
    run([("0", "", "", "", "Audio", ""), *GOOD, ("0", "Later", "", "", "Audio", "")])
    assert next(row["name"] for row in kept() if row["sku"] == "0") == "Radio 0"
    assert [(row[0], row[-1]) for row in rejected()] == [
        ("1", "no text and no image"),
        ("9", "duplicate sku"),
    ]


def test_a_class_is_measured_without_what_is_rejected(run):
    run([*GOOD, *[("a", "x", "", "", "Toys", "")] * 3])
    assert Counter(row[-1] for row in rejected()) == {"duplicate sku": 2, "class too small": 1}


def test_metrics_count_every_product(run):
    run([*GOOD[::-1], ("22", "Alone", "", "", "Toys", ""), ("", "x", "", "", "", "")])
    text = Path("metrics/data.json").read_text(encoding="utf-8")
    assert json.loads(text) == {
        "source": "table",
        "products": {
            "read": 9,
            "kept": 7,
            "without_image": 3,
            "without_text": 0,
            "duplicates_with_another_label": 0,
        },
        "rejected": {
            "all": 2,
            "no sku": 1,
            "no text and no image": 0,
            "no label": 0,
            "duplicate sku": 0,
            "class too small": 1,
        },
        "labels": {"like_missing_values": {}, "sharing_parts": {}, "merged": {}},
        "images": {"cells_with_several": 0, "unusable": {}},
        "classes": {"all": 2, "sizes": {"Audio": 4, "TV & Home": 3}},
    }
    assert text.index("Audio") < text.index("TV & Home")


def test_classes_of_one_size_come_by_name(run):
    run([(f"{label}{n}", "x", "", "", label, "") for n in range(3) for label in "BCA"])
    sizes = json.loads(Path("metrics/data.json").read_text(encoding="utf-8"))["classes"]["sizes"]
    assert list(sizes) == ["A", "B", "C"]


def test_the_same_source_gives_the_same_bytes(run):
    rows = [*GOOD, ("22", "Alone, “so”", "", "", "Toys", "")]
    files = [paths.PRODUCTS, paths.REJECTED, paths.METRICS / "data.json"]
    run(rows)
    before = [file.read_bytes() for file in files]
    run(rows)
    assert [file.read_bytes() for file in files] == before


def test_one_line_says_what_was_done(run, capsys):
    run([*GOOD, ("22", "Alone", "", "", "Toys", "")])
    assert capsys.readouterr().out == (
        "prepare: kept 7 of 8 products in 2 classes, 3 of them without an image and 0 "
        "without a text; rejected: class too small 1\n"
    )


def test_that_no_product_has_an_image_is_said_before_any_work(run, capsys):
    run([[*row[:5], ""] for row in GOOD])
    said = "prepare: no product has an image: only text models will be trained"
    assert said in capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    ("rows", "smallest", "said"),
    [
        ([], 3, ["no products", "table", "params.yaml"]),
        (GOOD[:4], 3, ["4 are left, in 1 classes", "Rejected: none", "data.min_class_size"]),
        (GOOD, 5, ["0 are left, in 0 classes", "class too small 7", "needs 5 products"]),
    ],
)
def test_too_little_to_learn_from_is_refused_and_nothing_is_written(run, rows, smallest, said):
    with pytest.raises(InputError) as caught:
        run(rows, smallest)
    for part in said:
        assert part in str(caught.value)
    assert not Path("data/products.parquet").exists()
    assert not Path("data/rejected.csv").exists()
    assert not Path("metrics").exists()


def metrics():
    return json.loads(Path("metrics/data.json").read_text(encoding="utf-8"))


def lamps(*labels, sku="lamp"):
    return [(f"{sku}{n}", "Lamp", "", "", label, "") for n, label in enumerate(labels)]


def test_labels_that_look_alike_are_one_class_and_listed(run, capsys):
    rows = [*GOOD, *lamps("Café", "CAFÉ", "Ca\u00adf\u0065\u0301", "\u200bcafé\u200f", "Ｃａｆé")]
    run(rows)
    assert metrics()["classes"]["sizes"] == {"Café": 5, "Audio": 4, "TV & Home": 3}
    assert metrics()["labels"]["merged"] == {
        "Café": {"Café": 2, "CAFÉ": 1, "café": 1, "Ｃａｆé": 1}
    }
    said = "prepare: labels that look alike were merged: 'Café' for 'CAFÉ', 'café', 'Ｃａｆé'\n"
    assert said in capsys.readouterr().out
    run(rows, merge_label_variants=False)
    assert metrics()["labels"]["merged"] == {}
    assert Counter(row[-1] for row in rejected()) == {"class too small": 5}


def test_labels_that_look_missing_are_kept_and_said(run, capsys):
    run([*GOOD, *lamps("nan", "nan", "nan", "-")])
    assert metrics()["classes"]["sizes"]["nan"] == 3
    assert metrics()["labels"]["like_missing_values"] == {"nan": 3, "-": 1}
    said = capsys.readouterr().out
    assert "3 labels are the text 'nan'; 1 label is the text '-'" in said


def test_labels_that_share_parts_are_said(run, capsys):
    run([*GOOD, *lamps("Home > Lamps", "Home > Lamps", "Home > Lamps, Sale", "Home > Chairs")])
    shared = {"Home > Lamps": {"Home > Lamps": 2, "Home > Lamps, Sale": 1}}
    assert metrics()["labels"]["sharing_parts"] == shared
    assert "share parts: 'Home > Lamps' beside 'Home > Lamps, Sale'." in capsys.readouterr().out


def test_of_several_images_the_first_is_taken_and_how_many_there_are_is_said(run, capsys):
    cells = ["http://x.example/a.jpg, //x.example/b.jpg", "//x.example/c,d.jpg", "nan", "ftp://b/a"]
    run([*GOOD, *[(f"i{n}", "Radio", "", "", "Audio", cell) for n, cell in enumerate(cells)]])
    assert [row["image"] for row in kept()][7:] == [
        "http://x.example/a.jpg",
        "https://x.example/c,d.jpg",
        None,
        "unusable:ftp is not read: use https\tftp://b/a",
    ]
    unusable = {"ftp is not read: use https": 1}
    assert metrics()["images"] == {"cells_with_several": 1, "unusable": unusable}
    said = capsys.readouterr().out
    assert (
        "prepare: 1 product has several images: the first reference is taken, no other is tried\n"
        in said
    )
    assert "1 image reference cannot be used: ftp is not read: use https (1)\n" in said


def test_a_product_with_only_an_image_is_kept_and_counted(run):
    run([*GOOD, ("20", "", "", "", "Audio", "http://x.example/20.jpg")])
    assert kept()[-1]["sku"] == "20"
    assert metrics()["products"]["without_text"] == 1


def test_a_table_of_images_alone_needs_no_column_of_names(run, capsys):
    table = YAML(typ="safe").load(TOP / "params.yaml")["data"]["table"]
    labels = ["Audio"] * 3 + ["TV"] * 3
    rows = [(str(n), "x", "x", "x", one, f"http://x/{n}.jpg") for n, one in enumerate(labels)]
    run(rows, table=table | dict.fromkeys(("name", "description", "manufacturer")))
    assert {(row["name"], row["description"]) for row in kept()} == {("", "")}
    assert "no product has a text: only image models will be trained" in capsys.readouterr().out


def warnings_of_columns(said):
    return re.findall(r"no product has a value in the column '(\w+)' \(data\.table\.(\w+)\)", said)


def test_a_named_column_in_which_no_product_has_a_value_is_said(run, capsys):
    run([(sku, " ", "x", "-", label, "nan") for sku, _, _, _, label, _ in GOOD])
    said = capsys.readouterr().out
    empty = ["name", "manufacturer", "image_url"]
    assert warnings_of_columns(said) == [(name, name) for name in empty]
    assert said.count("if its cells are formulas, open the workbook and save it") == 3


def test_one_value_in_a_column_is_enough(run, capsys):
    run([*[(*row[:5], "") for row in GOOD], ("a", "", "", "", "Toys", "ftp://x/1.jpg")])
    assert warnings_of_columns(capsys.readouterr().out) == []


def test_a_column_that_the_table_lacks_is_not_said_to_be_empty(run, capsys):
    table = YAML(typ="safe").load(TOP / "params.yaml")["data"]["table"]
    rows = [(sku, "x", "x", "", label, "http://x/1.jpg") for sku, _, _, _, label, _ in GOOD]
    run(rows, table=table | {"manufacturer": None})
    assert warnings_of_columns(capsys.readouterr().out) == []


@pytest.mark.parametrize("source", ["demo", "bestbuy"])
def test_columns_of_a_table_are_not_said_to_be_empty_of_another_source(
    run, monkeypatch, capsys, source
):
    labels = [*["Audio"] * 3, *["TV"] * 3]
    found = [RawProduct(str(n), f"x {n}", None, None, one, None) for n, one in enumerate(labels)]
    monkeypatch.setattr(prepare, "read_source", lambda params: iter(found))
    run([], source=source)
    assert warnings_of_columns(capsys.readouterr().out) == []


def test_rounded_skus_are_refused_before_anything_is_written(run):
    rows = [("4.00638E+12", f"Radio {n}", "", "", "Audio", "") for n in range(3)]
    with pytest.raises(InputError, match="3 of 10 SKUs look as if a spreadsheet had rounded them"):
        run([*GOOD, *rows])
    assert not Path("data/products.parquet").exists()


def test_a_duplicate_with_another_label_is_said(run, capsys):
    run([*GOOD, ("0", "Radio", "", "", "AUDIO", ""), ("1", "Radio", "", "", "TV &amp; Home", "")])
    assert metrics()["products"]["duplicates_with_another_label"] == 1
    assert "1 product has the SKU of an earlier one and another label" in capsys.readouterr().out


def test_ten_thousand_labels_are_each_counted(run):
    rows = [
        (f"{label}-{n}", "x", "", "", f"Label {label}", "") for label in range(10_000) for n in "12"
    ]
    run([*GOOD, *rows])
    assert len(kept()) == 7
    assert Counter(row[-1] for row in rejected()) == {"class too small": 20_000}


def test_skus_that_look_like_paths_are_only_skus(run, tmp_path):
    skus = ["../../x", "/etc/passwd", "a\nb", "=1+1", "a,b", "-1", "1.5"]
    run(
        [
            *GOOD,
            *[(sku, "Name", "", "", "Audio", "") for sku in skus],
            ("\n../y", "x", "", "", "Z", ""),
        ]
    )
    assert [row["sku"] for row in kept()][7:] == skus
    assert [row[1] for row in rejected()] == ["../y"]
    assert {path.name for path in tmp_path.iterdir()} == {"data", "metrics", "params.yaml"}


def test_each_source_gets_its_own_settings(monkeypatch):
    params = prepare.load_params(TOP / "params.yaml")
    product = RawProduct("1", "x", None, None, "Audio", None)
    file = Path("products.json")
    calls = []

    def fetch_file(url, **options):
        calls.append((url, options))
        return file

    monkeypatch.setattr("stages.download.files.fetch_file", fetch_file)
    for name, arguments in {
        "demo": (params.data.demo, params.seed),
        "bestbuy": (params.data.bestbuy, file),
        "table": (params.data.table, params.data.folder),
    }.items():
        data = params.data.model_copy(update={"source": name, "mirror": "http://127.0.0.1:1"})

        def read(*found, name=name):
            calls.append((name, found))
            return iter([product])

        monkeypatch.setattr(f"stages.catalog.sources.{name}.read", read)
        chosen = params.model_copy(update={"data": data})
        assert list(prepare.read_source(chosen)) == [product]
        assert calls.pop() == (name, arguments)
    options = {"mirror": "http://127.0.0.1:1", "settings": params.download, "max_bytes": MAX_BYTES}
    assert calls == [(params.data.bestbuy.products, options)]


def test_starting_imports_nothing_heavy():
    code = (
        "import sys; import stages.prepare; "
        "heavy = ('pandas', 'sklearn', 'tensorflow', 'torch', 'PIL', 'aiohttp'); "
        "sys.exit(', '.join(name for name in heavy if name in sys.modules) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=TOP, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


ODD = [
    *("", " ", "nan", "None", "<NA>", "-", "<Table>", "<br>", "&amp;", "CAFÉ", "Cafe\u0301"),
    *("Home > Lamps, Sale", "4.00638E+12", "007", "7", "7.0", '"', "a\nb", "\u200bAudio", "云牌"),
    *("http://x.example/a,b.jpg", "//x.example/1.jpg, //x.example/2.jpg", "s3://b/1.jpg"),
    *(
        '["http://x.example/1.jpg"]',
        "data:image/png;base64,AAAA",
        "file:x",
        "demo:x/1",
        "C:\\a.jpg",
    ),
]
cell = st.sampled_from(ODD) | st.text(st.characters(codec="utf-8"), max_size=12)


@settings(
    deadline=None,
    derandomize=True,
    max_examples=30,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(odd=st.lists(st.tuples(*[cell] * len(COLUMNS)), max_size=8), data=st.data())
def test_any_product_is_kept_or_rejected_with_a_reason(run, odd, data):
    rows = data.draw(st.permutations([*GOOD, *odd]))
    try:
        run(rows)
    except InputError:  # with no other error may a table be refused
        return
    refused = {int(row): reason for row, _, _, _, reason in rejected()}
    assert all(refused.values()) and set(refused) <= set(range(1, len(rows) + 1))
    left = [row for number, row in enumerate(rows, start=1) if number not in refused]
    assert [product["sku"] for product in kept()] == [row[0].strip() for row in left]
