"""The stage: what it reads, writes and says of the split."""

import hashlib
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.repository import TOP
from PIL import Image, ImageDraw
from ruamel.yaml import YAML

from stages import split as stage
from stages.common import paths
from stages.common.errors import InputError
from stages.common.tables import IMAGES, PRODUCTS, SPLITS, write_table
from stages.download.perceptual_hash import perceptual_hash

METRICS = paths.METRICS / "split.json"
SIGNALS = ("any", "image", "name", "description")


def draw(seed: int | str) -> bytes:
    """Draw an image that looks like no other: 8×8 squares, each black or white."""
    bits = int.from_bytes(hashlib.sha256(str(seed).encode()).digest()[:8], "big")
    image = Image.new("L", (224, 224), "white")
    pen = ImageDraw.Draw(image)
    for i in range(64):
        x, y = i % 8 * 28, i // 8 * 28
        if bits >> i & 1:
            pen.rectangle((x, y, x + 27, y + 27), fill="black")
    file = io.BytesIO()
    image.convert("RGB").save(file, "JPEG")
    return file.getvalue()


def catalogue(classes=3, families=20):
    """Return rows (product, jpeg): per class as many families of three as single products.

    A family shares its image, its name but for the colour, or its description.
    """
    rows = []
    for label in (f"class {n}" for n in range(classes)):
        for family in range(2 * families):
            for member in range(3 if family < families else 1):
                key = len(rows)
                shared = f"{label} {family}"
                signal = family % 3 if family < families else None
                colour = ("Red", "Blue", "Green")[member]
                product = {
                    "sku": f"{key:05}",
                    "name": f"Thing {shared} - {colour}" if signal == 0 else f"Item {key}",
                    "description": f"what is said of {shared} and more" if signal == 1 else "",
                    "manufacturer": f"manufacturer {family % 7} of {label}",
                    "label": label,
                    "image": None,
                }
                jpeg = draw(shared if signal == 2 else key)
                rows.append((product, None if signal == 1 else jpeg))
    return rows


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Return a function that runs the stage over rows and returns (splits, metrics)."""
    monkeypatch.chdir(tmp_path)

    def run_over(rows, **split):
        params = YAML(typ="safe").load(TOP / "params.yaml")
        params["split"].update(split)
        (tmp_path / "params.yaml").write_text(json.dumps(params))
        products = [product for product, _ in rows]
        write_table(paths.PRODUCTS, pa.Table.from_pylist(products, schema=PRODUCTS))
        images = [
            {
                "sku": product["sku"],
                "jpeg": jpeg,
                "sha256": jpeg and hashlib.sha256(jpeg).hexdigest(),
                "perceptual_hash": jpeg and perceptual_hash(jpeg),
                "status": "ok" if jpeg else "none",
                "reason": None,
            }
            for product, jpeg in rows
        ]
        half = len(images) // 2
        for number, part in enumerate((images[:half], images[half:])):
            shard = paths.IMAGES / f"{number}.parquet"
            write_table(shard, pa.Table.from_pylist(part, schema=IMAGES))
        stage.main()
        return pq.read_table(paths.SPLITS), json.loads(METRICS.read_text())

    return run_over


def leaked(metrics):
    return metrics["test_products_with_a_near_duplicate_in_training"]


def test_every_product_comes_out_in_its_order_with_its_group(run, capsys):
    rows = catalogue()[::-1]
    table, metrics = run(rows)
    assert table.schema.equals(SPLITS)
    assert table["sku"].to_pylist() == [product["sku"] for product, _ in rows]
    assert table["label"].to_pylist() == [product["label"] for product, _ in rows]
    groups = table["group"].to_pylist()
    assert len(set(groups)) == 3 * 40
    assert set(groups) <= set(table["sku"].to_pylist())
    assert metrics["products"] == len(rows) == 240
    assert metrics["groups"] == {
        "all": 120,
        "of_two_or_more": 60,
        "products_in_those": 180,
        "largest": {
            "products": 3,
            "names": [f"Thing class 0 0 - {colour}" for colour in ("Red", "Blue", "Green")],
        },
    }
    assert (
        capsys.readouterr().out
        == "split: fold_1: "
        + ", ".join(f"{n} for {part}" for part, n in metrics["parts"]["fold_1"].items())
        + "\n"
    )
    assert sum(metrics["parts"]["fold_1"].values()) == 240
    assert metrics["classes_not_in_every_part"] == {}
    found = {str(path) for path in Path().rglob("*") if path.is_file()}
    read = {
        "params.yaml",
        "data/products.parquet",
        "data/images/0.parquet",
        "data/images/1.parquet",
    }
    assert found - read == {"data/splits.parquet", "metrics/split.json"}


@pytest.mark.parametrize("validation_folds", [1, 3])
@pytest.mark.parametrize("folds", [1, 3])
def test_near_duplicates_of_test_products_are_not_trained_on(run, folds, validation_folds):
    table, metrics = run(catalogue(), folds=folds, validation_folds=validation_folds)
    mine, plain = leaked(metrics)["this_split"], leaked(metrics)["stratified"]
    assert [mine[signal] for signal in SIGNALS] == [0, 0, 0, 0]
    assert min(plain[signal] for signal in SIGNALS) > 0
    assert plain["share"] == round(plain["any"] / plain["test_products"], 4)
    assert mine["test_products"] == sum(part["test"] for part in metrics["parts"].values())
    assert table["fold"].to_pylist() == np.repeat(np.arange(folds) + 1, len(catalogue())).tolist()
    turns = {1: {0}, 3: {0, 1, 2, 3}}
    assert set(table["turn"].to_pylist()) == turns[validation_folds]


def test_stratified_divides_groups_but_names_them_and_says_what_leaks(run):
    table, metrics = run(catalogue(), strategy="stratified")
    assert len(set(table["group"].to_pylist())) == 120  # by which intervals resample
    grouped, _ = run(catalogue(), strategy="grouped")
    assert table["group"].to_pylist() == grouped["group"].to_pylist()
    assert table["role"].to_pylist() != grouped["role"].to_pylist()
    assert leaked(metrics)["this_split"] == leaked(metrics)["stratified"]
    assert leaked(metrics)["this_split"]["any"] > 0
    assert metrics["groups"]["all"] == 120


def test_products_of_a_manufacturer_stay_together_if_asked_to(run):
    rows = catalogue()
    rows[0][0]["manufacturer"] = rows[200][0]["manufacturer"] = ""
    table, _ = run(rows, group_by=["manufacturer"])
    by_manufacturer: dict[str, set[str]] = {}
    for (product, _), group in zip(rows, table["group"].to_pylist(), strict=True):
        by_manufacturer.setdefault(product["manufacturer"], set()).add(group)
    assert len(by_manufacturer.pop("")) == 2
    assert all(len(groups) == 1 for groups in by_manufacturer.values())


def test_to_group_by_what_no_product_has_is_refused(run):
    rows = [(product | {"manufacturer": ""}, jpeg) for product, jpeg in catalogue()]
    with pytest.raises(InputError, match=r"no product has one: name its column in data\.table"):
        run(rows, group_by=["manufacturer"])


def test_spellings_of_a_manufacturer_that_look_alike_stay_together(run):
    rows = catalogue()
    for number, (product, _) in enumerate(rows):
        if number % 80 >= 60:  # of no family, which would join both spellings
            product["manufacturer"] = product["manufacturer"].upper()
    table, metrics = run(rows, group_by=["manufacturer"])
    groups: dict[str, set[str]] = {}
    for (product, _), group in zip(rows, table["group"].to_pylist(), strict=True):
        groups.setdefault(product["manufacturer"].casefold(), set()).add(group)
    assert {len(found) for found in groups.values()} == {1}
    assert metrics["groups"]["all"] == len(groups) == 21


def test_what_is_shared_under_spellings_of_one_manufacturer_still_joins(run):
    rows = catalogue()
    family = [row for row in rows if row[0]["description"]][:3]
    for (product, _), spelling in zip(family, ("Sony", "SONY", "sony"), strict=True):
        product["manufacturer"] = spelling
    table, _ = run(rows)
    groups = dict(zip(table["sku"].to_pylist(), table["group"].to_pylist(), strict=True))
    assert len({groups[product["sku"]] for product, _ in family}) == 1


@pytest.mark.parametrize("brand", ["ﾊﾟﾅｿﾆｯｸ", "ＳＯＮＹ", "دیجی\u200cکالا"])
def test_names_of_the_manufacturer_alone_are_no_duplicates_however_it_is_written(run, brand):
    rows = catalogue()
    for product, _ in rows[60:63]:  # of no family
        product.update(name=brand, manufacturer=brand)
    table, _ = run(rows)
    assert len({*table["group"].to_pylist()[60:63]}) == 3


@pytest.mark.parametrize(
    ("split", "where"),
    [
        ({"validation_folds": 1}, "it is not in test, validation"),
        ({"validation_folds": 3}, "it is not in test; in some turn it is not in train, validation"),
        (
            {"validation_folds": 1, "folds": 3},
            "it is not in validation; in some fold it is not in test, train",
        ),
        (
            {"validation_folds": 3, "folds": 3},
            "in some fold it is not in test; in some fold or turn it is not in train, validation",
        ),
    ],
)
def test_a_class_that_its_groups_keep_from_a_part_is_named(run, capsys, split, where):
    rows = catalogue()
    alike = {"manufacturer": "one", "label": "Cards", "image": None}
    for number in range(12):
        text = {"name": f"Card ${number}", "description": "", "sku": f"c{number:02}"}
        rows.append((alike | text, None))
    _, metrics = run(rows, **split)
    assert list(metrics["classes_not_in_every_part"]) == ["Cards"]
    assert metrics["classes_not_in_every_part"]["Cards"]["groups"] == 1
    assert metrics["groups"]["largest"]["names"] == [f"Card ${number}" for number in range(5)]
    assert (
        "split: Cards has too few groups of products with one image, name or description (1) for "
        f"every part: {where}\n" in capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("split", "what"),
    [
        ({"group_by": ["manufacturer"]}, "groups of products with one image, name, description or"),
        ({"strategy": "stratified"}, "products (3)"),
        ({"strategy": "grouped"}, "products (3)"),
    ],
)
def test_a_class_that_is_kept_from_a_part_is_not_blamed_on_near_duplicates(
    run, capsys, split, what
):
    alike = {"manufacturer": "one", "label": "Cards", "image": None, "description": ""}
    kept = [(alike | {"name": f"Card of {n}", "sku": f"c{n}"}, None) for n in ("ab", "cd", "ef")]
    run(catalogue() + kept, **split)
    assert f"split: Cards has too few {what}" in capsys.readouterr().out


def test_of_many_classes_with_too_few_groups_some_are_named(run, capsys):
    rows = catalogue()
    for number in range(24):
        kind = f"Cards {number // 3}"
        product = {"manufacturer": "one", "label": kind, "image": None, "description": ""}
        rows.append((product | {"name": f"{kind} ${number}", "sku": f"c{number:02}"}, None))
    _, metrics = run(rows, validation_folds=1)
    assert len(metrics["classes_not_in_every_part"]) == 8
    said = capsys.readouterr().out
    assert said.count("has too few groups of products") == 5
    assert "split: and 3 more classes: metrics/split.json has them all\n" in said


@pytest.mark.parametrize(
    ("split", "fix"),
    [
        ({}, "(as data.table.description: null)\n"),
        ({"group_by": ["manufacturer"]}, "null) or empty split.group_by\n"),
        ({"strategy": "stratified"}, None),
    ],
)
def test_a_group_that_is_too_large_for_the_parts_is_said(run, capsys, split, fix):
    rows, text = catalogue(2, 15), "This shop sends every parcel by bicycle within two days."
    for number, word in enumerate(["oak", "elm", "ash", "fir", "yew", "bay"] * 10):
        named = {"name": f"{word} {number * 7919}", "sku": f"d{number:02}", "manufacturer": ""}
        label = ("Lamps", "Toys")[number % 2]
        rows.append((named | {"description": text, "label": label, "image": None}, None))
    _, metrics = run(rows, **split)
    assert metrics["groups"]["largest"]["products"] >= 60
    said = capsys.readouterr().out
    assert (" products are one group and stay in one part, as oak 0 and " in said) == bool(fix)
    assert fix is None or fix in said


def test_the_stage_writes_the_same_bytes_again(run):
    files = (paths.SPLITS, METRICS)
    run(catalogue())
    before = [file.read_bytes() for file in files]
    run(catalogue())
    assert [file.read_bytes() for file in files] == before


def test_a_group_that_is_on_two_sides_ends_the_stage(run, monkeypatch):
    assign_folds = stage.assign_folds

    def leaking(skus, labels, groups, settings, seed):
        splits = assign_folds(skus, labels, groups, settings, seed)
        row = next(i for i, group in enumerate(groups) if groups.tolist().count(group) > 1)
        splits.roles[row] = np.where(splits.roles[row] == "test", "train", "test")
        return splits

    monkeypatch.setattr(stage, "assign_folds", leaking)
    with pytest.raises(InputError, match="near-duplicates must be on one side"):
        run(catalogue())
    assert not paths.SPLITS.exists()


@pytest.mark.parametrize(
    ("there", "said"),
    [
        (False, "data/products.parquet is not there: `dvc repro` builds it"),
        (True, "data/images holds no images: `dvc repro` puts them there"),
    ],
)
def test_run_before_its_inputs_are_built_it_says_what_is_missing(tmp_path, there, said):
    (tmp_path / "params.yaml").write_bytes((TOP / "params.yaml").read_bytes())
    if there:
        write_table(tmp_path / paths.PRODUCTS, PRODUCTS.empty_table())
    done = subprocess.run(
        [sys.executable, "-m", "stages.split"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(TOP)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr == f"error: {said}\n"
