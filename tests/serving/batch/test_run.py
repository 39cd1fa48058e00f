"""A whole table is predicted for: every row in its order, exactly once, whatever is in it."""

import csv
import gzip
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.batch import labels, products, read, write_csv
from helpers.models import FIELDS, LABELS, image_of
from helpers.workbooks import xlsx

from serving.batch import run
from stages.common.errors import InputError
from stages.common.images import open_jpeg
from stages.common.tables import PRODUCTS
from stages.common.texts import texts_of
from stages.encoders.backends.base import Backend
from stages.encoders.base import module_of
from stages.encoders.table_encoder import load_encoder
from stages.fusion.features import Features, unit_length
from stages.fusion.model import FusedModel
from stages.fusion.model_file import ENCODERS, ModelFile


def test_every_row_has_its_prediction_in_its_place(tmp_path, predict):
    write_csv(tmp_path / "new.csv", products(21))  # more than two parts
    rows, summary = predict("new.csv")
    assert [row["row"] for row in rows] == list(range(1, 22))
    assert [row["sku"] for row in rows] == [row["sku"] for row in products(21)]
    assert [row["label"] for row in rows] == labels(21)
    assert all(row["top"][0]["label"] == row["label"] for row in rows)
    assert {(*row["missing"], row["error"]) for row in rows} == {("image", None)}
    assert summary.words().startswith("21 rows: 21 filed, 0 for a person to decide, 0 without")


def test_an_input_whose_column_is_not_known_is_said_with_how_to_name_it(tmp_path, predict, capsys):
    rows = [row | {"photo": "a.jpg"} for row in products(2)]
    write_csv(tmp_path / "new.csv", rows)
    predict("new.csv")
    assert "no images: name their column, if there is one, in --column" in capsys.readouterr().err
    predict("new.csv", columns={"image_path": "photo"}, overwrite=True)
    predict("new.csv", "text", overwrite=True)
    assert "name their column" not in capsys.readouterr().err


def test_a_text_whose_column_is_not_known_is_said_beside_one_that_is(tmp_path, predict, capsys):
    write_csv(tmp_path / "new.csv", [{"Text": row.pop("description")} | row for row in products(2)])
    predict("new.csv", "text")
    said = capsys.readouterr().err
    assert "no description: name the column, if there is one, in --column description=..." in said
    predict("new.csv", "text", columns={"description": "Text"}, overwrite=True)
    assert "no description" not in capsys.readouterr().err


def test_a_number_that_stands_for_a_sku_is_said(tmp_path, predict, capsys):
    rows = [{"SKU" if key == "sku" else key: row[key] for key in row} for row in products(2)]
    write_csv(tmp_path / "new.csv", rows)
    found, _ = predict("new.csv", "text")
    assert [row["sku"] for row in found] == ["1", "2"]
    said = capsys.readouterr().err
    assert "no SKUs, so that the number of a row is its SKU: name their column" in said
    assert "--column sku=..." in said
    found, _ = predict("new.csv", "text", columns={"sku": "SKU"}, overwrite=True)
    assert [row["sku"] for row in found] == [row["SKU"] for row in rows]
    assert "no SKUs" not in capsys.readouterr().err


def test_skus_that_a_spreadsheet_has_rounded_are_said(tmp_path, predict):
    rows = [row | {"sku": "4.00638E+12"} for row in products(21)]
    write_csv(tmp_path / "new.csv", rows)
    found, summary = predict("new.csv", "text")
    assert len(found) == 21
    assert "21 SKUs look as if a spreadsheet had rounded them" in summary.words()
    write_csv(tmp_path / "new.csv", products(21))
    _, summary = predict("new.csv", "text", overwrite=True)
    assert "spreadsheet" not in summary.words()


def in_json(rows):
    return json.dumps({"products": rows}).encode()


def in_json_lines(rows):
    return "\n".join(map(json.dumps, rows)).encode()


def in_tsv(rows):
    lines = [list(rows[0]), *[list(row.values()) for row in rows]]
    return "\n".join(map("\t".join, lines)).encode()


def in_parquet(rows):
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return sink.getvalue().to_pybytes()


def in_workbook(rows):
    return xlsx({"Sheet": [list(rows[0]), *[list(row.values()) for row in rows]]})


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("new.json", in_json),
        ("new.jsonl", in_json_lines),
        ("new.tsv", in_tsv),
        ("new.tsv.gz", lambda rows: gzip.compress(in_tsv(rows))),
        ("new.parquet", in_parquet),
        ("new.xlsx", in_workbook),
    ],
)
def test_every_format_of_prepare_is_read(tmp_path, predict, name, written):
    (tmp_path / name).write_bytes(written(products(5)))
    rows, _ = predict(name, "text")
    assert [(row["sku"], row["label"]) for row in rows] == [
        (row["sku"], label) for row, label in zip(products(5), labels(5), strict=True)
    ]


def test_a_folder_of_files_is_one_table(tmp_path, predict):
    (tmp_path / "new").mkdir()
    for part in range(3):
        write_csv(tmp_path / f"new/{part}.csv", products(12)[4 * part : 4 * part + 4])
    rows, _ = predict("new", "text")
    assert [(row["row"], row["label"]) for row in rows] == list(enumerate(labels(12), start=1))


def test_a_row_without_sku_has_its_number(tmp_path, predict):
    write_csv(tmp_path / "new.csv", [{"name": row["name"]} for row in products(10)])
    assert [row["sku"] for row in predict("new.csv", "text")[0]] == [str(i) for i in range(1, 11)]


def test_bad_rows_among_a_thousand_harm_no_other(tmp_path, predict, monkeypatch):
    monkeypatch.setattr(run, "CHUNK", 100)
    write_csv(tmp_path / "good.csv", products(1000))
    lines = (tmp_path / "good.csv").read_bytes().split(b"\r\n")
    bad = {3: b"only one cell", 500: b"K1,\xff\xfe,not UTF-8", 800: b'K2,"never closed,x'}
    for number, line in bad.items():
        lines[number] = line
    lines[700] = b"K3,,"
    (tmp_path / "new.csv").write_bytes(b"\r\n".join(lines))
    good, _ = predict("good.csv", "text", "good.parquet")
    rows, summary = predict("new.csv", "text")
    assert [row["row"] for row in rows] == list(range(1, 1001))
    for row, other in zip(rows, good, strict=True):
        if row["row"] in {*bad, 700}:
            assert (row["label"], row["decision"], row["top"]) == (None, "ask", [])
        else:
            assert row == other
    reasons = [rows[number - 1]["error"] for number in (3, 500, 700, 800)]
    for reason, said in zip(
        reasons, ("short, 1 cells", "not UTF-8", "no text", "quote"), strict=True
    ):
        assert said in reason
    assert summary.errors.total() == 4
    assert "4 without an answer (" in summary.words()


def test_a_row_with_a_cell_that_cannot_be_read_keeps_its_sku(tmp_path, predict):
    entries = products(4)
    entries[1]["name"] = {"en": "Lamp"}
    entries[2]["sku"] = {"id": 7}
    (tmp_path / "new.jsonl").write_text("\n".join(map(json.dumps, entries)))
    rows, summary = predict("new.jsonl", "text")
    assert [row["sku"] for row in rows] == [entries[0]["sku"], entries[1]["sku"], None, "T3"]
    assert rows[1]["error"].startswith("name is an object with the keys 'en'")
    assert summary.errors.total() == 2


@pytest.mark.parametrize("name", ["new.jsonl", "new.json"])
def test_an_entry_that_is_no_product_is_a_row_with_an_error(tmp_path, predict, name):
    entries = [json.dumps(row) for row in products(3)]
    entries[1] = "[1, 2]"
    content = "\n".join(entries) if name == "new.jsonl" else f"[{', '.join(entries)}]"
    (tmp_path / name).write_text(content)
    rows, _ = predict(name, "text")
    assert [row["label"] for row in rows] == [LABELS[0], None, LABELS[2]]
    assert "is no object" in rows[1]["error"]


def test_a_table_without_rows_gives_an_output_without_rows(tmp_path, predict):
    (tmp_path / "new.csv").write_text("sku,name\n")
    rows, summary = predict("new.csv", "text")
    assert rows == [] and summary.n_rows == 0


def test_csv_says_the_same_as_parquet(tmp_path, predict):
    rows = products(20)
    rows[4] = dict.fromkeys(rows[4], "")
    write_csv(tmp_path / "new.csv", rows)
    wanted, _ = predict("new.csv", top=2)
    predict("new.csv", output="out.csv", top=2)
    with (tmp_path / "out.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    for row, line in zip(wanted, found, strict=True):
        assert int(line["row"]) == row["row"] and line["decision"] == row["decision"]
        assert line["label"] == (row["label"] or "") and line["error"] == (row["error"] or "")
        assert line["top"] == " | ".join(one["label"] for one in row["top"])
        numbers = [float(text) for text in line["top_probabilities"].split(" | ") if text]
        assert np.allclose(numbers, [one["probability"] for one in row["top"]], atol=1e-6)
        assert len(numbers) == (0 if row["error"] else 2)
        assert line["missing"] == " | ".join(row["missing"])


def test_predictions_are_those_of_the_model_on_all_products_at_once(
    tmp_path, predict, model_folders
):
    """As `embed_*`, `fuse` and `train` compute them: some lack the image, others the text."""
    rows = products(40)
    for i, row in enumerate(rows):
        row["image_path"] = "" if i % 5 == 0 else f"{i}.jpg"
        if i % 5:
            (tmp_path / row["image_path"]).write_bytes(image_of(LABELS[(i * 7) % 4], i))
        if i % 7 == 1 and i % 5:
            row["name"] = row["description"] = ""
    write_csv(tmp_path / "new.csv", rows)
    found, _ = predict("new.csv", top=3)

    wanted = probabilities_at_once(model_folders["multimodal"], rows, tmp_path)
    classes = ModelFile.load(model_folders["multimodal"]).labels
    for row, probabilities in zip(found, wanted, strict=True):
        order = np.argsort(-probabilities, kind="stable")[:3]
        assert [one["label"] for one in row["top"]] == [classes[i] for i in order]
        assert np.allclose(
            [one["probability"] for one in row["top"]], probabilities[order], rtol=0, atol=1e-6
        )


def probabilities_at_once(folder, rows, images):
    """Return what the fused model says of vectors that are computed as the stages do."""
    model = ModelFile.load(folder)
    table = pa.Table.from_pylist(
        [row | {"manufacturer": "", "label": "", "image": None} for row in rows], schema=PRODUCTS
    )
    inputs = {
        "ngrams": texts_of(table, FIELDS["ngrams"]),
        "colour": [row["image_path"] and (images / row["image_path"]).read_bytes() for row in rows],
    }
    blocks, present = {}, {}
    for name, values in inputs.items():
        kind = module_of(model.encoders[name].settings["kind"])
        settings = kind.Settings.model_validate(model.encoders[name].settings)
        encoder = load_encoder(settings, folder / ENCODERS / name, Backend("openvino", "float32"))
        present[name] = np.array([bool(value) for value in values])
        blank = image_of(LABELS[0]) if name == "colour" else "blank"
        values = [value or blank for value in values]
        values = list(map(open_jpeg, values)) if name == "colour" else values
        mask = present[name][:, None]
        vectors = unit_length(encoder.encode(values))
        blocks[name] = vectors * mask if name == "colour" else vectors.multiply(mask).tocsr()
    features = Features(
        blocks,
        present,
        {name: block.weight for name, block in model.blocks.items()},
        {name: block.input for name, block in model.blocks.items()},
        np.full(len(rows), ""),
        {"ngrams": model.blocks["ngrams"].svd_components},
    )
    return FusedModel.load(folder / model.folder).predict_proba(features).probabilities


def test_an_output_that_is_there_is_kept_unless_it_is_to_be_replaced(tmp_path, predict):
    write_csv(tmp_path / "new.csv", products(3))
    (tmp_path / "out.parquet").write_bytes(b"of somebody")
    with pytest.raises(InputError, match="is there already: add --overwrite"):
        predict("new.csv")
    assert (tmp_path / "out.parquet").read_bytes() == b"of somebody"
    rows, _ = predict("new.csv", overwrite=True)
    assert len(rows) == 3


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"output": "out.txt"}, "has to end in .parquet or .csv"),
        ({"output": "new.csv", "overwrite": True}, "which is the table"),
        ({"accuracy": 0.97}, "0.9, 0.95, 0.98, 0.99, 0.995"),
        ({"top": 0}, "--top is 0"),
        ({"archive": "gone.zip"}, "--archive is 'gone.zip'"),
        ({"archive": ""}, "--archive is '', which is no file"),
        ({"archive": "https://me:pw@x.example/a.zip"}, "~/.netrc"),
        ({"archive": "new.csv", "columns": {"image_url": "sku"}}, "leave one of them out"),
        ({"table": "gone.csv"}, "gone.csv is not there"),
        ({"columns": {"name": "title"}}, "has no column 'title' (--column name=title)"),
    ],
)
def test_what_is_asked_for_wrongly_is_refused_and_leaves_nothing(tmp_path, predict, changes, said):
    write_csv(tmp_path / "new.csv", products(3))
    before = (tmp_path / "new.csv").read_bytes()
    with pytest.raises(InputError) as caught:
        predict(**{"table": "new.csv"} | changes)
    assert said in str(caught.value)
    assert [file.name for file in tmp_path.iterdir()] == ["new.csv"]
    assert (tmp_path / "new.csv").read_bytes() == before


def test_a_wrong_accuracy_is_said_before_the_model_is_loaded(tmp_path, predict, monkeypatch):
    write_csv(tmp_path / "new.csv", products(3))
    monkeypatch.setattr(run.Predictor, "load", lambda folder: pytest.fail("loaded"))
    with pytest.raises(InputError, match=r"an accuracy of 95: ask for one of 0\.9, 0\.95"):
        predict("new.csv", accuracy=95)


def test_of_an_accuracy_that_nothing_reaches_every_row_is_for_a_person(tmp_path, predict):
    write_csv(tmp_path / "new.csv", products(5))
    rows, summary = predict("new.csv", accuracy=0.995)
    assert {row["decision"] for row in rows} == {"ask"} and summary.n_filed == 0
    assert read(tmp_path / "out.parquet") == rows
