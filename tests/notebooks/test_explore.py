"""The notebook: it shows what the pipeline built, of any catalogue, and changes nothing."""

import asyncio
import csv
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import nbformat
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.copies import Copy
from helpers.onnx_files import of_bytes
from helpers.repository import TOP
from nbclient import NotebookClient

from stages.common.errors import InputError
from stages.common.files import sha256_of

NOTEBOOK = TOP / "notebooks/explore.ipynb"
# All stages of both catalogues in one process: what takes long is to import libraries.
BUILD = """
import os, sys
from importlib import import_module

for top, images in (("with images", ["colour"]), ("texts alone", [])):
    os.chdir(os.path.join("..", top))
    commands = ["prepare", "download_images", "split"]
    commands += [f"fetch_weights --encoder {name}" for name in ("ngrams", *images)]
    commands += [f"embed_images --encoder {name}" for name in images]
    commands += ["embed_text --encoder ngrams", "fuse", "train --classifier svm"]
    for command in [*commands, "ensemble", "evaluate", "package"]:
        name, *sys.argv[1:] = command.split()
        import_module(f"stages.{name}").main()
"""
NAMES = ["$x$ <Brand>", "100 % cotton_", "手机配件"]


class Executed(NamedTuple):
    """A notebook that was run in a copy of the repository; the files in it before and after."""

    copy: Copy
    notebook: nbformat.NotebookNode
    before: Mapping[str, tuple[int, str]]
    after: Mapping[str, tuple[int, str]]


def with_images(params):
    """The demo with a network of colours, which takes no time."""
    params["data"]["demo"]["products"] = 200
    params["image"] |= {"size": 32, "encoders": ["colour"]}
    params["encoders"]["colour"] = {"kind": "onnx", "path": "colour.onnx"}
    smallest(params)


def texts_alone(params):
    """A table without a column of images."""
    params["data"]["source"] = "table"
    params["split"]["strategy"] = "stratified"  # to `grouped` its products are all near-duplicates
    params["image"]["encoders"] = []
    for name in ("image", "multimodal"):
        del params["modalities"][name]
    smallest(params)


def smallest(params):
    params["data"]["min_class_size"] = 5
    params["text"]["encoders"] = ["ngrams"]
    params["encoders"]["ngrams"]["n_features"] = 1024
    params["fusion"]["svd_components"] = 16
    for name in set(params["classifiers"]) - {"svm"}:
        del params["classifiers"][name]


def write_table(file: Path) -> None:
    """Write products of classes that have odd names."""
    with file.open("w", encoding="utf-8", newline="") as opened:
        rows = csv.writer(opened)
        rows.writerow(["sku", "name", "description", "manufacturer", "label"])
        for number in range(45):
            label = NAMES[number % 3]
            text = f"<p>{label} of series {number}</p>"
            rows.writerow([f"A{number}", f"{label} {number}", text, "Maker & Co", label])


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """Both catalogues, built and looked at; the notebook starts in either place."""
    top = tmp_path_factory.mktemp("copies")
    copies = {}
    for edit, name in ((with_images, "with images"), (texts_alone, "texts alone")):
        (top / name).mkdir()
        copies[name] = Copy(top / name, edit)
    of_bytes(top / "with images/colour.onnx", ("batch", 32, 32, 3))
    write_table(top / "texts alone/data/catalogue/products.csv")
    copies["with images"].run(sys.executable, "-c", BUILD)
    starts = {"with images": "notebooks", "texts alone": "."}
    before = {name: files(copy.top) for name, copy in copies.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPYTHONDIR", str(top / "ipython"))
        patch.setenv("OMP_NUM_THREADS", "1")  # two kernels share the cores
        notebooks = asyncio.run(execute([copies[name].top / starts[name] for name in copies]))
    return {
        name: Executed(copy, notebook, before[name], files(copy.top))
        for (name, copy), notebook in zip(copies.items(), notebooks, strict=True)
    }


async def execute(starts: list[Path]) -> list[nbformat.NotebookNode]:
    """Run the notebook in each folder, all at once; raises CellExecutionError."""
    clients = [
        NotebookClient(
            nbformat.read(NOTEBOOK, 4),
            timeout=300,
            kernel_name="python3",
            resources={"metadata": {"path": str(start)}},
        )
        for start in starts
    ]
    return await asyncio.gather(*(client.async_execute() for client in clients))


def files(top: Path) -> dict[str, tuple[int, str]]:
    """Return when each built file was written, and its hash."""
    return {
        str(file.relative_to(top)): (file.stat().st_mtime_ns, sha256_of(file))
        for folder in ("data", "models", "metrics", "plots")
        for file in (top / folder).rglob("*")
        if file.is_file()
    }


def cell_of(name: str) -> str:
    """Return the code of a cell."""
    (cell,) = (cell for cell in nbformat.read(NOTEBOOK, 4).cells if cell.id == name)
    return cell.source


def outputs(notebook: nbformat.NotebookNode, cell: str | None = None) -> list:
    """Return the outputs of a cell, or of all cells."""
    return [
        output
        for one in notebook.cells
        if one.cell_type == "code" and cell in (None, one.id)
        for output in one.outputs
    ]


def shown(notebook: nbformat.NotebookNode, kind: str, cell: str | None = None) -> list[str]:
    return [found.data[kind] for found in outputs(notebook, cell) if kind in found.get("data", {})]


def said(notebook: nbformat.NotebookNode, stream: str, cell: str | None = None) -> str:
    return "".join(found.text for found in outputs(notebook, cell) if found.get("name") == stream)


@pytest.mark.parametrize(("name", "images"), [("with images", 7), ("texts alone", 5)])
def test_it_shows_tables_and_plots_and_changes_nothing(executed, name, images):
    one = executed[name]
    assert one.after == one.before
    assert len(shown(one.notebook, "image/png")) == images
    assert len(shown(one.notebook, "text/html")) >= 12
    assert said(one.notebook, "stderr") == ""


def test_it_shows_the_catalogue_and_what_was_rejected(executed):
    notebook = executed["with images"].notebook
    data = json.loads((executed["with images"].copy.top / "metrics/data.json").read_text())
    (table,) = shown(notebook, "text/html", "catalogue")
    for label in data["classes"]["sizes"]:
        assert label.replace("&", "&amp;") in table
    rejected = "".join(shown(notebook, "text/html", "rejected"))
    assert all(
        reason in rejected for reason, n in data["rejected"].items() if n and reason != "all"
    )
    assert "data:image/jpeg" in shown(notebook, "text/html", "products")[0]
    assert "DEMO DATA" in said(notebook, "stdout", "models")


def test_it_follows_one_product_to_the_prediction_that_the_pipeline_made(executed):
    for one in executed.values():
        best = json.loads((one.copy.top / "metrics/summary.json").read_text())["best_model"]
        tested = pq.read_table(one.copy.top / f"data/predictions/{best}.parquet").to_pylist()
        product = next(
            row for row in tested if row["sku"] in shown(one.notebook, "text/html", "row")[0]
        )
        assert said(one.notebook, "stdout", "predict").startswith(f"{product['prediction']}, ")
        near = shown(one.notebook, "text/html", "neighbours")
        assert len(near) == len(list((one.copy.top / "data/embeddings").glob("*/*.parquet")))
        assert all(product["sku"] not in table for table in near)


def test_of_encoders_without_weights_it_names_none(executed):
    tables = shown(executed["texts alone"].notebook, "text/html", "models")
    assert len(tables) == 1 and "svm" in tables[0] and "NaN" not in tables[0]


def test_names_of_a_catalogue_are_no_markup(executed):
    notebook = executed["texts alone"].notebook
    tables = shown(notebook, "text/html")
    assert not any("<Brand>" in table for table in tables)
    assert all(name in "".join(tables) for name in ("$x$ &lt;Brand&gt;", *NAMES[1:]))
    assert all("no image" in table for table in shown(notebook, "text/html", "products"))


def test_classes_that_are_numbers_keep_their_zeros_among_the_mistakes(tmp_path):
    table = tmp_path / "evaluation/confused_pairs.csv"
    table.parent.mkdir()
    table.write_text("label,prediction,products\n007,0010,3\n", encoding="utf-8")
    displayed: list[pd.DataFrame] = []
    names = {"pd": pd, "paths": SimpleNamespace(PLOTS=tmp_path), "display": displayed.append}
    exec(cell_of("errors"), names | {"Image": lambda filename: None})
    assert displayed[0].iloc[0].tolist() == ["007", "0010", "3"]


@pytest.mark.filterwarnings("error")
def test_a_product_that_a_model_did_not_test_is_said_to_be_untested():
    tested = {
        "image": pd.DataFrame({"sku": ["1"], "top3": [["a", "b", "c"]]}),
        "text": pd.DataFrame({"sku": ["2"], "top3": [["c", "b", "a"]]}),
    }
    names = {
        "pd": pd,
        "paths": SimpleNamespace(METRICS=Path(), PREDICTIONS=Path()),
        "modalities": list(tested),
        "read_json": lambda file: {name: {"model": "svm"} for name in tested},
        "read_table": lambda file: pa.Table.from_pandas(tested[file.stem.partition("-")[0]]),
        "sku": "2",
        "row": {"label": "c"},
    }
    exec(cell_of("top3"), names)
    assert names["table"].loc["text-svm"].tolist() == ["c", "b", "a"]
    untested = names["table"].loc["image-svm"].tolist()
    assert untested == ["not tested: no test product, or an input is missing", "", ""]


@pytest.mark.parametrize("given", ["'nothing'", "7"])
def test_a_sku_that_no_product_has_is_refused_in_a_line(given):
    names = {
        "products": pd.DataFrame({"sku": ["7"], "has_image": [True]}),
        "paths": SimpleNamespace(METRICS=Path(), PREDICTIONS=Path()),
        "read_json": lambda file: {"best_model": "text-svm"},
        "read_table": lambda file: pa.table({"sku": ["7"]}),
        "InputError": InputError,
    }
    lines = [
        f"sku = {given}" if line.startswith("sku = ") else line
        for line in cell_of("product").splitlines()
    ]
    with pytest.raises(InputError, match=f"no product has the sku {given}: .* in quotes"):
        exec("\n".join(lines), names)


def test_where_nothing_is_built_it_says_what_to_run(tmp_path):
    for name in ("stages", "serving", "params.yaml", "dvc.yaml"):
        (tmp_path / name).symlink_to(TOP / name)
    sources = [cell.source for cell in nbformat.read(NOTEBOOK, 4).cells if cell.cell_type == "code"]
    for folder, wanted in ((tmp_path, "run `make run`"), (tmp_path.parent, "start the notebook")):
        done = subprocess.run(
            [sys.executable, "-c", "\n".join(sources[:2])],
            cwd=folder,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 1
        assert wanted in done.stderr.splitlines()[-1]


def test_it_is_committed_without_results_and_its_cells_keep_their_names():
    notebook = nbformat.read(NOTEBOOK, 4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    assert all(cell.id.replace("-", "").isalnum() for cell in notebook.cells)
    assert all(not cell.metadata for cell in notebook.cells)
