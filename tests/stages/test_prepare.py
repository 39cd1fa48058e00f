"""Which products are kept, which are left out and why, and what the stage writes."""

import csv
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from helpers.repository import TOP
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from stages import prepare
from stages.catalog.sources.product import RawProduct
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

    def run_over(rows, min_class_size=3):
        params = YAML(typ="safe").load(TOP / "params.yaml")
        params["data"] |= {"source": "table", "min_class_size": min_class_size}
        params["data"]["table"] |= {"image_url": "image_url", "image_path": None, "archive": None}
        YAML(typ="safe").dump(params, tmp_path / "params.yaml")
        place = tmp_path / params["data"]["folder"] / params["data"]["table"]["path"]
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([COLUMNS, *rows])
        prepare.main()

    return run_over


def kept():
    return pq.read_table("data/products.parquet").to_pylist()


def left_out():
    with Path("data/left_out.csv").open(encoding="utf-8", newline="") as file:
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
    assert left_out() == []


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
    assert left_out() == [
        ("1", "", "No number", "Audio", "no sku"),
        ("9", "0", "Radio, again", "Audio", "duplicate sku"),
        ("10", "20", "", "Audio", "empty text"),
        ("11", "21", "No label", "", "no label"),
        ("12", "22", "Alone", "Toys", "class too small"),
    ]


def test_of_one_sku_the_first_that_can_be_used_stays(run):
    run([("0", "", "", "", "Audio", ""), *GOOD, ("0", "Later", "", "", "Audio", "")])
    assert next(row["name"] for row in kept() if row["sku"] == "0") == "Radio 0"
    assert [(row[0], row[-1]) for row in left_out()] == [
        ("1", "empty text"),
        ("9", "duplicate sku"),
    ]


def test_a_class_is_measured_without_what_is_left_out(run):
    run([*GOOD, *[("a", "x", "", "", "Toys", "")] * 3])
    assert Counter(row[-1] for row in left_out()) == {"duplicate sku": 2, "class too small": 1}


def test_metrics_count_every_product(run):
    run([*GOOD[::-1], ("22", "Alone", "", "", "Toys", ""), ("", "x", "", "", "", "")])
    text = Path("metrics/data.json").read_text(encoding="utf-8")
    assert json.loads(text) == {
        "source": "table",
        "products": {"read": 9, "kept": 7, "without_picture": 3},
        "left_out": {
            "all": 2,
            "no sku": 1,
            "empty text": 0,
            "no label": 0,
            "duplicate sku": 0,
            "class too small": 1,
        },
        "classes": {"all": 2, "sizes": {"Audio": 4, "TV & Home": 3}},
    }
    assert text.index("Audio") < text.index("TV & Home")


def test_classes_of_one_size_come_by_name(run):
    run([(f"{label}{n}", "x", "", "", label, "") for n in range(3) for label in "BCA"])
    sizes = json.loads(Path("metrics/data.json").read_text(encoding="utf-8"))["classes"]["sizes"]
    assert list(sizes) == ["A", "B", "C"]


def test_the_same_source_gives_the_same_bytes(run):
    rows = [*GOOD, ("22", "Alone, “so”", "", "", "Toys", "")]
    files = [prepare.PRODUCTS_FILE, prepare.LEFT_OUT_FILE, prepare.METRICS_FILE]
    run(rows)
    before = [file.read_bytes() for file in files]
    run(rows)
    assert [file.read_bytes() for file in files] == before


def test_one_line_says_what_was_done(run, capsys):
    run([*GOOD, ("22", "Alone", "", "", "Toys", "")])
    assert capsys.readouterr().out == (
        "prepare: kept 7 of 8 products in 2 classes, 3 of them without a picture; "
        "left out: class too small 1\n"
    )


@pytest.mark.parametrize(
    ("rows", "smallest", "said"),
    [
        ([], 3, ["no products", "table", "params.yaml"]),
        (GOOD[:4], 3, ["4 are left, in 1 classes", "left out: none", "data.min_class_size"]),
        (GOOD, 5, ["0 are left, in 0 classes", "class too small 7", "needs 5 products"]),
    ],
)
def test_too_little_to_learn_from_is_refused_and_nothing_is_written(run, rows, smallest, said):
    with pytest.raises(InputError) as caught:
        run(rows, smallest)
    for part in said:
        assert part in str(caught.value)
    assert not Path("data/products.parquet").exists()
    assert not Path("data/left_out.csv").exists()
    assert not Path("metrics").exists()


def test_ten_thousand_labels_each_have_their_place(run):
    rows = [
        (f"{label}-{n}", "x", "", "", f"Label {label}", "") for label in range(10_000) for n in "12"
    ]
    run([*GOOD, *rows])
    assert len(kept()) == 7
    assert Counter(row[-1] for row in left_out()) == {"class too small": 20_000}


def test_numbers_that_would_lead_elsewhere_are_numbers_and_no_more(run, tmp_path):
    skus = ["../../x", "/etc/passwd", "a\nb", "=1+1", "a,b", "-1", "1.5"]
    run(
        [
            *GOOD,
            *[(sku, "Name", "", "", "Audio", "") for sku in skus],
            ("\n../y", "x", "", "", "Z", ""),
        ]
    )
    assert [row["sku"] for row in kept()][7:] == skus
    assert [row[1] for row in left_out()] == ["../y"]
    assert {path.name for path in tmp_path.iterdir()} == {"data", "metrics", "params.yaml"}


def test_each_source_is_asked_for_its_products(monkeypatch):
    params = prepare.load_params(TOP / "params.yaml")
    given_to = []
    product = RawProduct("1", "x", None, None, "Audio", None)
    for name, arguments in {
        "demo": (params.seed,),
        "bestbuy": (params.download,),
        "table": (),
    }.items():
        data = params.data.model_copy(update={"source": name})

        def read(*found, name=name):
            given_to.append((name, found))
            return iter([product])

        monkeypatch.setattr(f"stages.catalog.sources.{name}.read", read)
        chosen = params.model_copy(update={"data": data})
        assert list(prepare.read_source(chosen)) == [product]
        assert given_to.pop() == (name, (data, *arguments))


def test_starting_imports_no_more_than_it_needs():
    code = (
        "import sys; import stages.prepare; "
        "heavy = ('pandas', 'sklearn', 'tensorflow', 'torch', 'PIL', 'stages.download.http'); "
        "sys.exit(', '.join(name for name in heavy if name in sys.modules) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=TOP, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


TEXTS = st.sampled_from([None, "", " ", "a", "b", "<br>", "a ", "&nbsp;"]) | st.text(max_size=3)


@settings(deadline=None, derandomize=True)
@given(st.lists(st.builds(RawProduct, *[TEXTS] * 6), max_size=40), st.integers(3, 6))
def test_nothing_is_lost(raws, smallest):
    products = [prepare.plain(raw) for raw in raws]
    kept, left_out = prepare.part(products, smallest)
    left_rows = [product.row for product in left_out]
    assert kept == [p for row, p in enumerate(products, start=1) if row not in left_rows]
    assert left_rows == sorted(set(left_rows))
    assert [products[p.row - 1].sku for p in left_out] == [p.sku for p in left_out]
    assert len({product.sku for product in kept}) == len(kept)
    assert all(p.sku and p.label and (p.name or p.description) for p in kept)
    assert min(Counter(product.label for product in kept).values(), default=9) >= smallest
    figures = prepare.count("table", kept, left_out)
    assert figures["products"]["read"] == len(raws)
    assert figures["products"]["kept"] + figures["left_out"]["all"] == len(raws)
    assert sum(figures["left_out"].values()) == 2 * figures["left_out"]["all"]
    assert sum(figures["classes"]["sizes"].values()) == figures["products"]["kept"]
