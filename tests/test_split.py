"""How products are dealt out to training, validation and test."""

import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages import split as stage
from stages.split import split
from stages.tables import PRODUCTS, SPLITS, write_table

TOP = Path(__file__).parents[1]
SIZES = {"Appliances": 331, "Audio": 99, "Toys": 13, "Cables": 10, "Wearables": 7}
SKUS = [f"{label}-{n:03}" for label, size in SIZES.items() for n in range(size)]
LABELS = [sku.rpartition("-")[0] for sku in SKUS]
SHARES = {"validation": 0.1, "test": 0.2, "seed": 42}


def sizes_of(labels, parts):
    """Return {label: {part: size}}."""
    counts = Counter(zip(labels, parts, strict=True))
    return {
        label: {part: counts[label, part] for part in ("train", "validation", "test")}
        for label in dict.fromkeys(labels)
    }


def test_each_class_has_its_shares_in_each_part():
    assert sizes_of(LABELS, split(SKUS, LABELS, **SHARES)) == {
        "Appliances": {"train": 232, "validation": 33, "test": 66},
        "Audio": {"train": 69, "validation": 10, "test": 20},
        "Toys": {"train": 9, "validation": 1, "test": 3},
        "Cables": {"train": 7, "validation": 1, "test": 2},
        "Wearables": {"train": 5, "validation": 1, "test": 1},
    }


@settings(deadline=None, derandomize=True)
@given(
    st.lists(st.integers(3, 12), min_size=1, max_size=12),
    st.floats(0.001, 0.98),
    st.floats(0.01, 0.99),
    st.integers(0, 2**32 - 1),
)
def test_no_class_is_missing_from_any_part(sizes, test, rest, seed):
    labels = [str(place) for place, size in enumerate(sizes) for _ in range(size)]
    skus = [str(number) for number in range(len(labels))]
    validation = (1 - test) * rest
    parts = split(skus, labels, validation=validation, test=test, seed=seed)
    assert len(parts) == len(labels)
    for counts in sizes_of(labels, parts).values():
        assert min(counts.values()) >= 1


def test_the_order_of_rows_does_not_matter():
    wanted = dict(zip(SKUS, split(SKUS, LABELS, **SHARES), strict=True))
    rows = list(zip(SKUS, LABELS, strict=True))
    random.Random(1).shuffle(rows)
    skus, labels = zip(*rows, strict=True)
    assert split(skus, labels, **SHARES) == [wanted[sku] for sku in skus]


def test_another_seed_gives_another_split_of_the_same_sizes():
    one, other = (split(SKUS, LABELS, **(SHARES | {"seed": seed})) for seed in (1, 2))
    assert one != other
    assert sizes_of(LABELS, one) == sizes_of(LABELS, other)


def test_neighbours_in_the_catalogue_are_dealt_out():
    parts = split(SKUS, LABELS, **SHARES)[: SIZES["Appliances"]]
    for start in range(0, 300, 60):
        assert {"train", "test"} <= set(parts[start : start + 60])


def test_a_new_class_and_a_few_new_products_move_few():
    before = dict(zip(SKUS, split(SKUS, LABELS, **SHARES), strict=True))
    skus = [*SKUS, *(f"Audio-{n}" for n in range(200, 210)), *(f"New-{n}" for n in range(9))]
    after = dict(
        zip(skus, split(skus, [sku.rpartition("-")[0] for sku in skus], **SHARES), strict=True)
    )
    moved = [sku for sku in SKUS if before[sku] != after[sku]]
    assert all(sku.startswith("Audio") for sku in moved)
    assert len(moved) < 20


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Return a function that runs the stage over those products and returns what it wrote."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_bytes((TOP / "params.yaml").read_bytes())

    def run_over(rows):
        texts = {"name": "x", "description": "", "manufacturer": "", "image": None}
        products = [{"sku": sku, "label": label} | texts for sku, label in rows]
        write_table(stage.PRODUCTS_FILE, pa.Table.from_pylist(products, schema=PRODUCTS))
        stage.main()
        return pq.read_table(stage.SPLITS_FILE)

    return run_over


def test_the_stage_writes_every_product_in_its_order(run, capsys):
    rows = list(zip(SKUS, LABELS, strict=True))[::-1]
    table = run(rows)
    assert table.schema.equals(SPLITS)
    assert list(zip(table["sku"].to_pylist(), table["label"].to_pylist(), strict=True)) == rows
    assert capsys.readouterr().out == (
        "split: 322 products for training, 46 for validation, 92 for test\n"
    )
    found = {str(path) for path in Path().rglob("*") if path.is_file()}
    assert found == {"params.yaml", "data/products.parquet", "data/splits.parquet"}


def test_the_stage_writes_the_same_bytes_again(run):
    rows = list(zip(SKUS, LABELS, strict=True))
    run(rows)
    before = stage.SPLITS_FILE.read_bytes()
    run(rows)
    assert stage.SPLITS_FILE.read_bytes() == before


def test_run_before_prepare_it_says_what_is_missing(tmp_path):
    (tmp_path / "params.yaml").write_bytes((TOP / "params.yaml").read_bytes())
    done = subprocess.run(
        [sys.executable, "-m", "stages.split"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(TOP)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr == "error: data/products.parquet is not there: `dvc repro` builds it\n"
