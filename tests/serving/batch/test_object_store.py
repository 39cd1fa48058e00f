"""A table and an output at URLs give what they give at paths. Files stand for a store here.

tests/torture/test_s3_remote.py does the same with a server that speaks S3.
"""

import os
import shutil
import sys
from pathlib import Path

import pytest
from helpers.batch import products, read, write_csv

from serving import predict as command
from serving.batch import object_store
from serving.batch import run as batch
from stages.common.errors import InputError

CACHE = Path(".cache/predict")


@pytest.fixture
def store(tmp_path):
    """The folder of a store with a table in it."""
    folder = tmp_path / "store"
    folder.mkdir()
    write_csv(folder / "new.csv", products(30))
    return folder


@pytest.fixture
def run(model_folders, loaded, monkeypatch, capsys):
    """A function that runs the command in this process; returns what it says."""

    def run(table, output, *flags):
        model = ["--model", str(model_folders["text"])]
        arguments = ["predict", str(table), "--output", str(output), *model, *flags]
        monkeypatch.setattr(sys, "argv", arguments)
        command.main()
        said = capsys.readouterr()
        return said.err + said.out

    return run


def url(path):
    return f"file://{path}"


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_what_is_sent_is_what_is_written_to_a_path(run, store, tmp_path, ending):
    run(store / "new.csv", tmp_path / f"by_path.{ending}")
    said = run(url(store / "new.csv"), url(store / f"sent.{ending}"))
    assert said.strip().endswith(f"s, {url(store)}/sent.{ending}")
    assert (store / f"sent.{ending}").read_bytes() == (tmp_path / f"by_path.{ending}").read_bytes()
    run(url(store / "new.csv"), tmp_path / f"here.{ending}")
    assert (tmp_path / f"here.{ending}").read_bytes() == (store / f"sent.{ending}").read_bytes()
    assert list(CACHE.iterdir()) == []


def test_both_addresses_may_have_a_query(run, store):
    query = "?use_mmap=false"
    said = run(url(store / "new.csv") + query, url(store / "sent.parquet") + query)
    assert said.strip().endswith(f"s, {url(store)}/sent.parquet")  # a query may hold a secret
    assert len(read(store / "sent.parquet")) == 30
    with pytest.raises(InputError, match=r"out: its name has to end in \.parquet or \.csv"):
        run(store / "new.csv", url(store / "out") + "?a=b.csv")


def test_a_folder_of_tables_is_fetched_whole(run, store, tmp_path):
    rows = products(20)
    write_csv(store / "new.csv", rows[:12])
    write_csv(store / "new2.csv", rows[12:])
    run(url(store), tmp_path / "out.parquet")
    assert [row["sku"] for row in read(tmp_path / "out.parquet")] == [row["sku"] for row in rows]


def test_an_output_that_is_there_is_replaced_only_if_asked(run, store):
    output = store / "sent.csv"
    output.write_text("precious")
    with pytest.raises(
        InputError, match=r"^file://\S+/sent\.csv is there already: add --overwrite"
    ):
        run(url(store / "new.csv"), url(output))
    assert output.read_text() == "precious" and not CACHE.exists()
    run(url(store / "new.csv"), url(output), "--overwrite")
    assert output.read_text().count("\n") == 31


@pytest.mark.parametrize(
    ("table", "output", "said"),
    [
        ("file:///no/such.csv", "o.csv", r"file:///no/such\.csv is not there: name the table"),
        ("abc://host/new.csv", "o.csv", r"abc://host/new\.csv cannot be reached .*see its name"),
        (
            "https://host/a.csv?key=secret",
            "o.csv",
            r"^https://host/a\.csv is at no .*: download the",
        ),
        ("new.csv", "http://host/out.csv", r"^http://host/out\.csv is at no .* write to a file"),
        ("s3://me:topsecret@shop/a.csv", "o.csv", r"a URL of s3:// has a user or password in it"),
        (
            "abfs://c@a.dfs.core.windows.net/a.csv?client_secret=topsecret&x=1",
            "o.csv",
            r"/a\.csv can",
        ),
        ("new.csv", "file:///store/out.txt", r"has to end in \.parquet or \.csv"),
    ],
)
def test_a_wrong_address_is_said_before_anything_is_fetched(run, table, output, said):
    with pytest.raises(InputError, match=said) as error:
        run(table, output)
    assert "secret" not in str(error.value) and not list(CACHE.glob("*"))


def test_a_store_of_google_that_is_not_there_is_not_waited_for(run, monkeypatch):
    monkeypatch.setenv("CLOUD_STORAGE_EMULATOR_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(object_store, "RETRY_S", 1)
    with pytest.raises(InputError, match=r"gs://shop/a\.csv cannot be read .*connect"):
        run("gs://anonymous@shop/a.csv", "o.csv")


def test_predictions_that_cannot_be_sent_are_kept_and_their_place_is_said(run, store, tmp_path):
    with pytest.raises(InputError, match=r"cannot be written .*predictions are in (\S+): copy"):
        run(store / "new.csv", url(tmp_path / "no_folder" / "sent.parquet"))
    (kept,) = CACHE.rglob("sent.parquet")
    assert len(read(kept)) == 30
    (tmp_path / "no_folder").mkdir()
    run(store / "new.csv", url(tmp_path / "no_folder" / "sent.parquet"))
    assert len(read(tmp_path / "no_folder" / "sent.parquet")) == 30


def test_a_sending_that_is_broken_off_leaves_no_half_output(run, store, monkeypatch):
    def copied_in_part(read, written, size):
        written.write(read.read(100))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(shutil, "copyfileobj", copied_in_part)
        run(store / "new.csv", url(store / "sent.csv"))
    assert not (store / "sent.csv").exists()
    run(store / "new.csv", url(store / "sent.csv"))
    assert (store / "sent.csv").read_text().count("\n") == 31
    assert sorted(file.name for file in store.iterdir()) == ["new.csv", "sent.csv"]


def test_a_second_run_does_not_remove_what_the_first_is_sending(run, store, monkeypatch):
    send = object_store._send

    def run_again_and_send(file, address):
        monkeypatch.setattr(object_store, "_send", send)
        with pytest.raises(InputError, match="another run works in"):
            run(store / "new.csv", url(store / "sent.csv"))
        send(file, address)

    monkeypatch.setattr(object_store, "_send", run_again_and_send)
    run(store / "new.csv", url(store / "sent.csv"))
    assert (store / "sent.csv").read_text().count("\n") == 31
    assert list(CACHE.iterdir()) == []


@pytest.mark.parametrize("changed", [False, True])
def test_a_run_that_was_killed_goes_on_unless_the_table_changed(run, store, monkeypatch, changed):
    whole = batch.output_table

    def killed(first, predictions):
        if first > 16:
            raise KeyboardInterrupt
        return whole(first, predictions)

    monkeypatch.setattr(batch, "output_table", killed)
    with pytest.raises(KeyboardInterrupt):
        run(url(store / "new.csv"), url(store / "sent.parquet"))
    assert not (store / "sent.parquet").exists()
    monkeypatch.setattr(batch, "output_table", whole)
    if changed:
        write_csv(store / "new.csv", products(31))
        os.utime(store / "new.csv", ns=(1, 1))
    said = run(url(store / "new.csv"), url(store / "sent.parquet"))
    assert ("starts over" if changed else "goes on after 16 rows") in said
    assert len(read(store / "sent.parquet")) == 30 + changed
