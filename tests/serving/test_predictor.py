"""The Predictor names the class that anyone can see, and says what it lacked and how sure it is."""

import io
import os
import pickle
import shutil
import subprocess
import sys
import textwrap
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd
import PIL.Image
import pyarrow as pa
import pytest
from helpers.models import FIELDS, IMAGE_SIZE, LABELS, THRESHOLDS, image_of, row_of
from helpers.repository import TOP

from serving import Predictor
from serving.answer_table import SCHEMA
from stages.common.errors import InputError
from stages.common.images import open_jpeg
from stages.common.tables import PRODUCTS
from stages.common.texts import texts_of
from stages.encoders.backends.base import Backend
from stages.encoders.base import module_of
from stages.encoders.table_encoder import load_encoder
from stages.fusion.model_file import ModelFile


def rows_of(count):
    return [row_of(LABELS[i % len(LABELS)], 100 + i) for i in range(count)]


def without(row, *keys):
    return {key: value for key, value in row.items() if key not in keys}


def close(one, other):
    """Say whether two predictions are the same but for roundings."""
    return (one.sku, one.label, one.decision) == (other.sku, other.label, other.decision) and (
        abs(one.probability - other.probability) <= 1e-6
        and [each.label for each in one.top] == [each.label for each in other.top]
    )


def test_products_that_all_lack_their_text_are_judged_by_their_images(predictor):
    rows = [{"image": row_of(label)["image"]} for label in LABELS]
    assert [one.label for one in predictor.predict(rows)] == LABELS


def test_a_product_is_put_where_anyone_would(predictor):
    rows = rows_of(8)
    found = predictor.predict(rows)
    assert [one.label for one in found] == [LABELS[i % 4] for i in range(8)]
    assert [one.sku for one in found] == [row["sku"] for row in rows]
    for one in found:
        assert one.decision == "file" and one.error is None and one.missing == []
        assert one.top[0].label == one.label == one.image.label == one.text.label
        assert [each.label in LABELS for each in one.top] == [True] * 3
        assert one.top == sorted(one.top, key=lambda each: -each.probability)


def test_image_and_text_say_what_they_would_alone(predictor):
    row = row_of("Kettles", 7) | {"image": image_of("Radios", 7)}
    both, text, image = predictor.predict(
        [row, without(row, "image"), {"sku": "K7", "image": row["image"]}]
    )
    assert (both.image.label, both.text.label) == ("Radios", "Kettles")
    assert (both.missing, text.missing, image.missing) == ([], ["image"], ["text"])
    assert (text.label, image.label) == ("Kettles", "Radios")
    assert text.image is None and image.text is None
    assert text.text.probability == text.probability == pytest.approx(both.text.probability)
    assert image.image.probability == image.probability == pytest.approx(both.image.probability)


def test_one_bad_row_of_many_harms_no_other(predictor):
    rows = rows_of(60)
    alone = predictor.predict(rows)
    bad = {
        3: {"name": {"a": 1}},
        9: ["not", "a", "mapping"],
        20: {},
        31: {"name": "  ", "image": b""},
        44: {"image": b"GIF89a and no more"},
        51: None,
    }
    mixed = [bad.get(i, row) for i, row in enumerate(rows)]
    found = predictor.predict(mixed)
    assert len(found) == 60
    for i, one in enumerate(found):
        if i in bad:
            assert one.label is one.probability is None and one.top == []
            assert one.decision == "ask" and one.error
        else:
            assert close(one, alone[i])
    assert found[3].error.startswith("name is an object")
    assert found[20].error == "it has no image and no text"
    assert found[44].image_error == "a damaged image" and found[44].missing == ["image", "text"]


def test_a_cell_that_arrow_cannot_convert_harms_no_other_row(text_predictor):
    written = pa.array([b"Kettle", b"caf\xe9", b"Lamp", b"Radio"], pa.binary())
    names = pa.Array.from_buffers(pa.string(), 4, written.buffers())
    days = pa.array([0, 0, 10**17, 0], pa.timestamp("s"))
    found = text_predictor.predict(pa.table({"sku": days, "name": names})).to_pylist()
    assert [row["label"] for row in found] == ["Kettles", None, None, "Radios"]
    assert found[1]["error"].startswith("name is binary and not UTF-8")
    assert found[2]["error"].startswith("sku is a TimestampScalar")
    assert found[0]["error"] is found[3]["error"] is None


def test_a_value_that_has_no_text_harms_no_other_row(text_predictor):
    endless: list[Any] = []
    endless.append(endless)
    rows = [{"name": "Lamp"}, {"name": "Lamp", "sku": 10**5000}, {"name": endless}]
    found = text_predictor.predict(rows)
    assert found[0].label and not found[0].error
    assert [one.error for one in found[1:]] == [
        "sku is a int that is no text: write it as text",
        "name is a list that is no text: write it as text",
    ]


def test_an_image_that_cannot_be_read_leaves_the_text(predictor):
    row = row_of("Lamps", 3)
    broken, without_image = predictor.predict([row | {"image": b"<html>no"}, without(row, "image")])
    assert broken.image_error == "a web page"
    assert (broken.label, broken.missing, broken.image) == ("Lamps", ["image"], None)
    assert broken.probability == without_image.probability


def test_a_model_of_text_never_looks_at_an_image(text_predictor):
    row = row_of("Towels", 3)
    rows = [row | {"image": image} for image in (b"no image", 7, "nowhere.jpg", object(), None)]
    found = text_predictor.predict([*rows, without(row, "image")])
    assert {(one.label, one.probability, one.image_error) for one in found} == {
        ("Towels", found[0].probability, None)
    }
    assert [one.missing for one in found] == [[]] * 6
    assert found[0].image is None and found[0].text.label == "Towels"
    assert text_predictor.inputs == {"text"}


def test_a_text_that_no_encoder_reads_is_not_read_and_never_fails(text_predictor):
    row = without(row_of("Towels", 3), "image")
    wanted, *found = text_predictor.predict(
        [row, row | {"manufacturer": {"id": 7}}, row | {"manufacturer": b"\xff"}]
    )
    assert found == [wanted] * 2 and wanted.label == "Towels"
    with pytest.raises(InputError, match="manufacturer, and the model reads name, description"):
        text_predictor.predict(pd.DataFrame({"manufacturer": ["Acme"]}))


def test_a_product_alone_gets_the_answer_that_it_gets_among_many(predictor):
    rows = rows_of(200)
    rows[5] = without(rows[5], "image")
    rows[7] = without(rows[7], "name", "description")
    many = predictor.predict(rows)
    for i in (0, 5, 7, 63, 199):
        assert close(predictor.predict([rows[i]])[0], many[i])


def test_the_vectors_are_those_of_the_stages(predictor, model_folders):
    rows = rows_of(20)
    rows[4] = without(rows[4], "name", "description")
    rows[6] = without(rows[6], "image")
    found = predictor.embed(rows)
    table = pa.Table.from_pylist(
        [
            {name: row.get(name, "") for name in ("name", "description")}
            | {"sku": "", "manufacturer": "", "label": "", "image": None}
            for row in rows
        ],
        schema=PRODUCTS,
    )
    for name, inputs in {
        "ngrams": texts_of(table, FIELDS["ngrams"]),
        "colour": [row.get("image") for row in rows],
    }.items():
        given = predictor.file.encoders[name].settings
        settings = module_of(given["kind"]).Settings.model_validate(given)
        folder = model_folders["multimodal"] / "encoders" / name
        encoder = load_encoder(settings, folder, Backend("openvino", "float32"))
        there = [i for i, one in enumerate(inputs) if one]
        if name == "colour":
            inputs = [one and open_jpeg(one) for one in inputs]
        wanted = np.zeros((20, encoder.n_features), dtype=np.float32)
        vectors = encoder.encode([inputs[i] for i in there])
        wanted[there] = vectors if name == "colour" else vectors.toarray()
        rows_found = found[name] if name == "colour" else found[name].toarray()
        assert rows_found.dtype == np.float32
        assert np.array_equal(rows_found, wanted)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_table_comes_back_as_a_table(predictor, count):
    rows = rows_of(count)
    frame = pd.DataFrame(rows, columns=list(row_of("Lamps")), index=range(10, 10 + count))
    arrow = pa.table({key: [row[key] for row in rows] for key in row_of("Lamps")})
    wanted = predictor.predict(rows)
    of_frame, of_arrow = predictor.predict(frame), predictor.predict(arrow)
    assert list(of_frame.index) == list(range(10, 10 + count))
    assert list(of_frame.columns) == SCHEMA.names and of_arrow.schema == SCHEMA
    for column in (of_frame["label"].tolist(), of_arrow["label"].to_pylist()):
        assert column == [one.label for one in wanted]
    assert of_arrow["text_probability"].to_pylist() == [one.text.probability for one in wanted]
    tops = [[each.label for each in one.top] for one in wanted]
    assert [[each["label"] for each in top] for top in of_arrow["top"].to_pylist()] == tops


def test_missing_cells_of_a_frame_are_missing_inputs(predictor):
    rows = [row_of("Lamps", 1), without(row_of("Lamps", 2), "image", "manufacturer")]
    rows.append(
        {"sku": 3.0, "name": np.nan, "description": None, "image": row_of("Kettles")["image"]}
    )
    rows.append({"sku": None, "name": pd.NA, "description": pd.NaT})
    found = predictor.predict(pd.DataFrame(rows))
    assert found["missing"].tolist() == [[], ["image"], ["text"], ["image", "text"]]
    assert found["label"].tolist()[:3] == ["Lamps", "Lamps", "Kettles"]
    assert found["sku"].tolist()[2] == "3" and found["error"].notna().tolist() == [False] * 3 + [
        True
    ]


def test_a_text_that_the_model_was_trained_without_is_not_read(model_folders, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(model_folders["text"], folder)
    columns = {"name": "title", "description": None}
    ModelFile.load(folder).model_copy(update={"table": columns}).save(folder)
    row = row_of(LABELS[0], 1) | {"description": None}
    predictor = Predictor.load(folder)
    assert predictor.predict([row | {"description": "one of ours"}]) == predictor.predict([row])


def test_a_list_of_texts_says_the_same_in_a_frame_and_in_arrow(text_predictor):
    table = pa.table({"name": ["Lamp 7"], "description": [["made of glass", "one of our lamps"]]})
    wanted, found = text_predictor.predict(table), text_predictor.predict(table.to_pandas())
    assert found["error"].tolist() == wanted["error"].to_pylist() == [None]
    assert found["probability"].tolist() == wanted["probability"].to_pylist()


@pytest.mark.parametrize("make", [pd.DataFrame, pa.table])
def test_a_table_without_a_column_to_read_is_refused(predictor, text_predictor, make):
    table = make({"title": ["Lamp"], "sku": ["1"]})
    with pytest.raises(
        InputError, match=r"columns title, sku, .*reads name, description, image: rename"
    ):
        predictor.predict(table)
    with pytest.raises(InputError, match="reads name, description: rename"):
        text_predictor.predict(make({"image": ["lamp.jpg"]}))


@pytest.mark.parametrize("products", [{"name": "Lamp"}, "Lamp", b"Lamp", 7, None])
def test_what_is_no_list_of_rows_is_refused(predictor, products):
    with pytest.raises(InputError, match="give a list of mappings, a DataFrame or an Arrow table"):
        predictor.predict(products)


def test_products_may_come_in_any_sequence(predictor):
    rows = rows_of(3)
    assert predictor.predict(deque(rows)) == predictor.predict(tuple(rows))


def test_a_product_is_filed_from_the_threshold_of_the_accuracy_on(predictor):
    rows = [row_of("Kettles", i) | {"image": image_of("Lamps", i)} for i in range(6)]
    rows += rows_of(6)
    assert predictor.accuracies == [0.9, 0.95, 0.98, 0.99, 0.995]
    for accuracy in predictor.accuracies:
        threshold = THRESHOLDS[str(accuracy)]
        for one in predictor.predict(rows, accuracy=accuracy):
            sure = threshold is not None and one.probability >= threshold
            assert one.decision == ("file" if sure else "ask")
    with pytest.raises(InputError, match=r"accuracy of 0\.97: ask for one of 0\.9, 0\.95, 0\.98"):
        predictor.predict(rows, accuracy=0.97)
    with pytest.raises(InputError, match=r"accuracy of 0\.5"):
        predictor.predict([], accuracy=0.5)


@pytest.mark.parametrize("accuracy", [[0.95], "0.95", None])
def test_an_accuracy_that_is_no_number_is_refused(predictor, accuracy):
    with pytest.raises(InputError, match=rf"a {type(accuracy).__name__}: give a number, one of"):
        predictor.predict([], accuracy=accuracy)


@pytest.mark.parametrize(("top", "count"), [(1, 1), (2, 2), (4, 4), (99, 4)])
def test_as_many_classes_are_named_as_were_asked_for(predictor, top, count):
    found = predictor.predict([row_of("Lamps")], top=top)[0]
    assert len(found.top) == count and found.top[0].label == found.label


@pytest.mark.parametrize("name", ["top", "neighbors"])
@pytest.mark.parametrize("count", [-1, 2.5, "3", None])
def test_a_count_that_is_none_is_refused(predictor, name, count):
    with pytest.raises(InputError, match=f"{name} is {count!r}: give a whole number, 0 or more"):
        predictor.predict([row_of("Lamps")], **{name: count})
    assert predictor.predict([row_of("Lamps")], **{name: np.int64(2)})[0].label == "Lamps"


def test_an_image_may_be_bytes_a_path_or_one_of_pillow_s(predictor, tmp_path):
    picture = PIL.Image.new("RGB", (90, 60), (30, 60, 200))
    file = io.BytesIO()
    picture.save(file, "PNG")
    (tmp_path / "radio.png").write_bytes(file.getvalue())
    given = [file.getvalue(), bytearray(file.getvalue()), picture, picture.convert("CMYK")]
    given += [tmp_path / "radio.png", str(tmp_path / "radio.png")]
    found = predictor.predict([{"image": image} for image in given])
    assert [one.image_error for one in found] == [None] * len(given)
    assert len({one.probability for one in (found[i] for i in (0, 1, 2, 4, 5))}) == 1


def test_threads_do_not_mix_up_their_products(predictor):
    rows = rows_of(40)
    wanted = predictor.predict(rows)
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda row: predictor.predict([row])[0], rows * 3))
    assert all(close(one, other) for one, other in zip(found, wanted * 3, strict=True))


def test_the_neighbours_are_of_the_product_s_kind(predictor, text_predictor):
    rows = [row_of("Lamps", 40), row_of("Radios", 41), {}]
    lamps, radios, nothing = (one.neighbors for one in predictor.predict(rows, neighbors=4))
    assert {one.label for one in lamps} == {"Lamps"} and {one.label for one in radios} == {"Radios"}
    assert len(lamps) == 4 and nothing == []
    similarities = [one.similarity for one in lamps]
    assert similarities == sorted(similarities, reverse=True)
    assert 0.5 < similarities[0] <= 1.001
    assert PIL.Image.open(io.BytesIO(lamps[0].thumbnail)).size == (IMAGE_SIZE, IMAGE_SIZE)
    [same] = predictor.predict([row_of(LABELS[3], 3)], neighbors=1)[0].neighbors
    assert (same.sku, same.label) == (row_of(LABELS[3], 3)["sku"], LABELS[3])
    assert same.similarity == pytest.approx(1, abs=1e-3)
    [without] = text_predictor.predict(rows[:1], neighbors=1)[0].neighbors
    assert without.thumbnail is None
    assert predictor.predict(rows[:1])[0].neighbors is None


def test_neighbours_do_not_depend_on_the_products_beside(predictor):
    rows = [row_of(label, number) for label in LABELS for number in range(3)]
    together = [one.neighbors for one in predictor.predict(rows, neighbors=3)]
    alone = [predictor.predict([row], neighbors=3)[0].neighbors for row in rows]
    assert alone == together


def test_a_table_has_the_neighbours_that_were_asked_for(predictor):
    rows = rows_of(3)
    wanted = [one.neighbors for one in predictor.predict(rows, neighbors=2)]
    for table in (pd.DataFrame(rows), pa.Table.from_pylist(rows)):
        found = predictor.predict(table, neighbors=2)
        column = found["neighbors"]
        column = column.to_pylist() if isinstance(found, pa.Table) else column.tolist()
        assert [[near["sku"] for near in row] for row in column] == [
            [near.sku for near in row] for row in wanted
        ]


def test_a_table_without_rows_has_the_column_of_neighbours_as_well(predictor):
    for table in (pd.DataFrame({"name": []}), pa.table({"name": pa.array([], pa.string())})):
        found = predictor.predict(table, neighbors=2)
        names = found.column_names if isinstance(found, pa.Table) else [*found.columns]
        assert names == [*SCHEMA.names, "neighbors"]


def test_one_that_is_sent_to_another_process_says_to_load_it_there(predictor):
    with pytest.raises(
        TypeError, match=r"cannot be pickled .* call Predictor\.load in each process"
    ):
        pickle.dumps(predictor)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_one_that_was_used_may_be_used_in_processes_that_fork_off(model_folders):
    code = """
        import multiprocessing
        import os
        import sys

        from helpers.models import LABELS, row_of
        from serving import Predictor

        predictor = Predictor.load(sys.argv[1])
        rows = [row_of(label) for label in LABELS]

        def labels(_):
            return " ".join(one.label for one in predictor.predict(rows))

        expected = labels(0)
        with multiprocessing.get_context("fork").Pool(2) as pool:
            assert pool.map(labels, range(4), chunksize=1) == [expected] * 4
        child = os.fork()  # as a web server does before it ends a process
        if child == 0:
            assert labels(0) == expected
            sys.exit()
        assert os.waitpid(child, 0)[1] == 0
        print(expected)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(model_folders["multimodal"])],
        cwd=TOP,
        env=os.environ | {"PYTHONPATH": str(TOP / "tests")},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.strip() == " ".join(LABELS), done.stderr
