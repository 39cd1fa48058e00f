"""A run that ended early is gone on with; the parts of another are never mixed in."""

import os
import zipfile

import pytest
from filelock import FileLock
from helpers.batch import labels, products, read, write_csv
from helpers.http_host import serving
from helpers.models import image_of

from serving.batch import run
from serving.batch.parts import folder_of
from stages.common.errors import InputError

PARTS = "out.parquet.parts"


@pytest.fixture
def stop_after(loaded, monkeypatch):
    """A function that lets a model fail after so many chunks, and returns the rows it was asked."""

    def stop_after(chunks):
        asked = []
        for predictor in loaded.values():
            answer = type(predictor).predict_products.__get__(predictor)

            def counted(products, _answer=answer, **options):
                if len(asked) >= chunks * run.CHUNK:
                    raise MemoryError("killed")
                found = _answer(products, **options)
                asked.extend(product.sku for product in products)
                return found

            monkeypatch.setattr(predictor, "predict_products", counted)
        return asked

    return stop_after


@pytest.fixture
def stopped(tmp_path, predict, stop_after):
    """A table of 30 rows whose prediction stopped after two parts of 8 rows."""
    write_csv(tmp_path / "new.csv", products(30))
    stop_after(2)
    with pytest.raises(MemoryError):
        predict("new.csv", "text")
    assert not (tmp_path / "out.parquet").exists()
    return tmp_path


def test_the_same_command_goes_on_where_it_stopped(stopped, predict, stop_after, capsys):
    asked = stop_after(100)
    rows, summary = predict("new.csv", "text")
    assert [row["row"] for row in rows] == list(range(1, 31))
    assert [row["label"] for row in rows] == labels(30) and summary.n_rows == 30
    assert asked == [row["sku"] for row in products(30)][16:]
    assert "goes on after 16 rows" in capsys.readouterr().err


def touch(folder):
    os.utime(folder / "new.csv", (1, 1))


def lengthen(folder):
    write_csv(folder / "new.csv", products(31))


@pytest.mark.parametrize(
    ("edit", "changes", "why"),
    [
        (touch, {}, "another table"),
        (lengthen, {}, "another table"),
        (None, {"accuracy": 0.9}, "another accuracy"),
        (None, {"top": 1}, "another top"),
        (None, {"columns": {"name": "description"}}, "another choice of columns"),
        (None, {"model": "multimodal"}, "another model"),
        (None, {"restart": True}, "--restart"),
    ],
)
def test_where_anything_changed_it_starts_over_and_says_why(
    stopped, predict, model_folders, stop_after, capsys, edit, changes, why
):
    if edit:
        edit(stopped)
    if "model" in changes:
        changes = {"model": model_folders["multimodal"]}
    asked = stop_after(100)
    rows, _ = (
        predict("new.csv", **{"model": "text"} | changes)
        if "model" not in changes
        else (predict("new.csv", "multimodal"))
    )
    assert len(asked) == len(rows) == (31 if edit is lengthen else 30)
    said = capsys.readouterr().err
    assert "starts over" in said and why in said


def test_a_damaged_part_and_those_after_it_are_made_again(stopped, predict, stop_after):
    (stopped / PARTS / "00001.parquet").write_bytes(b"PAR1 and no more")
    asked = stop_after(100)
    rows, _ = predict("new.csv", "text")
    assert [row["label"] for row in rows] == labels(30) and len(asked) == 30


@pytest.fixture
def archived(tmp_path):
    """A table of 30 rows with images in an archive."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for i, label in enumerate(labels(30)):
            archive.writestr(f"{i}.png", image_of(label, i))
    rows = [{"sku": row["sku"], "image_path": f"{i}.png"} for i, row in enumerate(products(30))]
    write_csv(tmp_path / "new.csv", rows)
    return tmp_path


def test_an_archive_whose_link_was_signed_anew_is_the_same(archived, predict, stop_after, capsys):
    query = "Expires={0}&Signature={0}&Key-Pair-Id=K"
    with serving() as host:
        for day in (1, 2):
            host.answers[f"/a.zip?{query.format(day)}"] = [(archived / "a.zip").read_bytes()]
        stop_after(2)
        with pytest.raises(MemoryError):
            predict("new.csv", archive=f"{host.url}/a.zip?{query.format(1)}")
        asked = stop_after(100)
        rows, _ = predict("new.csv", archive=f"{host.url}/a.zip?{query.format(2)}")
    assert [row["label"] for row in rows] == labels(30) and len(asked) == 14
    assert "goes on after 16 rows" in capsys.readouterr().err


def test_another_archive_starts_over_and_nothing_else_is_blamed(
    archived, predict, stop_after, capsys
):
    (archived / "b.zip").write_bytes((archived / "a.zip").read_bytes())
    stop_after(2)
    with pytest.raises(MemoryError):
        predict("new.csv", archive="a.zip")
    asked = stop_after(100)
    predict("new.csv", archive="b.zip")
    assert len(asked) == 30 and "(another archive)" in capsys.readouterr().err


def test_images_of_an_archive_that_were_lost_meanwhile_are_unpacked_again(
    archived, predict, stop_after
):
    stop_after(2)
    with pytest.raises(MemoryError):
        predict("new.csv", archive="a.zip")
    (archived / PARTS / "unpacked.sqlite").unlink()
    stop_after(100)
    with pytest.raises(InputError, match="has lost images meanwhile"):
        predict("new.csv", archive="a.zip")
    rows, _ = predict("new.csv", archive="a.zip")  # again, as it says
    assert [row["label"] for row in rows] == labels(30)


def test_one_that_was_stopped_before_its_end_was_tidied_goes_on(stopped, predict, monkeypatch):
    """The output is whole, its parts are still there: it is the run's own, and not refused."""
    monkeypatch.undo()
    write = run.write_output

    def write_and_stop(path, tables):
        write(path, tables)
        raise MemoryError("killed")

    monkeypatch.setattr(run, "write_output", write_and_stop)
    monkeypatch.setattr(run, "CHUNK", 8)
    with pytest.raises(MemoryError):
        predict("new.csv", "text")
    whole = read(stopped / "out.parquet")
    monkeypatch.setattr(run, "write_output", write)
    rows, _ = predict("new.csv", "text")
    assert rows == whole and len(rows) == 30


def test_an_output_that_another_wrote_meanwhile_is_not_the_runs_own(stopped, predict, stop_after):
    (stopped / "out.parquet").write_bytes(b"of somebody")
    stop_after(100)
    with pytest.raises(InputError, match="is there already: add --overwrite"):
        predict("new.csv", "text")
    assert (stopped / "out.parquet").read_bytes() == b"of somebody"
    rows, _ = predict("new.csv", "text", overwrite=True)
    assert [row["label"] for row in rows] == labels(30)


@pytest.mark.parametrize("name", ["notes.txt", "precious/notes.txt", "00001.csv"])
def test_what_is_no_part_of_a_run_is_never_removed(tmp_path, predict, name):
    write_csv(tmp_path / "new.csv", products(3))
    file = tmp_path / PARTS / name
    file.parent.mkdir(parents=True)
    file.write_text("keep me")
    for options in ({}, {"restart": True}):
        with pytest.raises(InputError, match=r"is no part of an output.*: move it"):
            predict("new.csv", "text", **options)
    assert [one for one in (tmp_path / PARTS).rglob("*") if one.is_file()] == [file]
    assert file.read_text() == "keep me"


def test_nor_is_a_file_of_the_folders_name(tmp_path, predict):
    write_csv(tmp_path / "new.csv", products(3))
    (tmp_path / PARTS).write_text("keep me")
    with pytest.raises(InputError, match=f"{PARTS} is no part of an output"):
        predict("new.csv", "text")
    assert (tmp_path / PARTS).read_text() == "keep me"


def test_inputs_among_the_parts_are_refused_and_stay(tmp_path, predict):
    inputs = tmp_path / PARTS
    inputs.mkdir()
    write_csv(inputs / "00001.csv", products(3))
    write_csv(tmp_path / "new.csv", products(3))
    with zipfile.ZipFile(inputs / "unpacked", "w"):
        pass
    for options in (
        {"table": PARTS},
        {"table": f"{PARTS}/00001.csv"},
        {"table": "new.csv", "images": inputs},
        {"table": "new.csv", "archive": str(inputs / "unpacked")},
    ):
        with pytest.raises(InputError, match="where the parts of the output are kept"):
            predict(**options)
    assert sorted(file.name for file in inputs.iterdir()) == ["00001.csv", "unpacked"]


def test_a_table_that_changes_meanwhile_is_not_mixed(
    tmp_path, predict, text_predictor, monkeypatch
):
    write_csv(tmp_path / "new.csv", products(30))
    answer = type(text_predictor).predict_products.__get__(text_predictor)

    def answer_and_change(products, **options):
        touch(tmp_path)
        return answer(products, **options)

    monkeypatch.setattr(text_predictor, "predict_products", answer_and_change)
    with pytest.raises(InputError, match="changed meanwhile"):
        predict("new.csv", "text")
    assert not (tmp_path / "out.parquet").exists()


def test_two_runs_do_not_write_one_output(tmp_path, predict):
    write_csv(tmp_path / "new.csv", products(3))
    folder = folder_of(tmp_path / "out.parquet")
    folder.mkdir()
    with FileLock(folder / ".lock"), pytest.raises(InputError, match="another run writes"):
        predict("new.csv", "text")
