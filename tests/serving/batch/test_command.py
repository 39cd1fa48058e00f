"""The command: its last line, its exit code, and what is left when it is killed in the middle."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest
from helpers.batch import labels, products, write_csv
from helpers.repository import TOP

from serving import predict as command
from serving.batch import run as batch
from stages.common.errors import InputError

GO_ON = "interrupted: run the same command again to go on where it stopped\n"


@pytest.fixture
def run(tmp_path, model_folders, loaded, monkeypatch, capsys):
    """A function that runs the command in this process; returns its exit code and its output."""

    def run(*flags):
        model = ["--model", str(model_folders["text"])]
        monkeypatch.setattr(
            sys, "argv", ["predict", "new.csv", "--output", "o.csv", *model, *flags]
        )
        code = 0
        try:
            command.main()
        except SystemExit as end:
            code = end.code
        return code, capsys.readouterr()

    return run


def test_the_last_line_counts_the_rows_and_the_code_is_0_if_all_were_judged(tmp_path, run):
    write_csv(tmp_path / "new.csv", [{"title": row["name"]} for row in products(9)])
    code, said = run("--column", "name=title")
    assert code == 0
    assert said.out.startswith("predict: 9 rows: 9 filed, 0 for a person to decide, 0 without an")
    assert said.out.count("\n") == 1 and said.out.endswith("o.csv\n")
    assert said.err.startswith("predict: reads title as name; no SKUs, so that the number of a")
    assert said.err.count("\n") == 1  # and no bar, which is for terminals


def test_an_export_in_another_encoding_below_a_title_is_read(tmp_path, run):
    rows = [f"{i};{row['name']};\u201eGröße\u201c" for i, row in enumerate(products(9))]
    text = "\r\n".join(["Unser Laden;;", "Stand: 1.12.;;", "sku;name;description", *rows])
    (tmp_path / "new.csv").write_bytes(text.encode("cp1252"))
    code, said = run()
    assert code == 3 and "description is not UTF-8: 9" in said.out
    code, said = run("--encoding", "cp1252", "--overwrite")
    assert code == 0 and said.out.startswith("predict: 9 rows: ")
    with pytest.raises(InputError, match=r"--encoding is 'klingon', .* such as cp1252"):
        run("--encoding", "klingon", "--overwrite")


def test_the_code_is_3_if_some_rows_have_no_answer_and_the_line_says_why(tmp_path, run):
    rows = [dict.fromkeys(row, "") if i % 3 == 0 else row for i, row in enumerate(products(9))]
    write_csv(tmp_path / "new.csv", rows)
    with (tmp_path / "new.csv").open("a") as file:
        file.write("short\r\n")
    code, said = run()
    assert code == 3
    assert "4 without an answer (it has no text: 3; short, 1 cells for 3 columns: 1)" in said.out


def command_line(tmp_path, model_folders):
    """Return the command, to be run as a process of its own."""
    flags = ["--output", str(tmp_path / "out.parquet"), "--model", str(model_folders["text"])]
    return [sys.executable, "-m", "serving.predict", str(tmp_path / "new.csv"), *flags]


def test_an_error_is_one_line_and_code_1(tmp_path, model_folders):
    write_csv(tmp_path / "new.csv", [{"title": "x"}])
    done = subprocess.run(
        command_line(tmp_path, model_folders), cwd=TOP, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert "--column name=title" in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are bytes on Linux alone")
@pytest.mark.parametrize("place", ["table", "output", "folder"])
def test_a_name_that_is_not_utf_8_is_refused_in_a_line(tmp_path, model_folders, place):
    odd = os.fsdecode(b"caf\xe9")
    folder = tmp_path / (odd if place == "folder" else "shop")
    folder.mkdir()
    table = folder / f"{odd if place == 'table' else 'new'}.csv"
    output = folder / f"{odd if place == 'output' else 'out'}.csv"
    write_csv(table, [{"name": "Lamp"}])
    flags = ["--output", output.name, "--model", str(model_folders["text"])]
    done = subprocess.run(
        [sys.executable, "-m", "serving.predict", table.name, *flags],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(TOP)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert re.fullmatch(
        "error: .*: the name is not UTF-8: rename the file or folder\n", done.stderr
    )
    assert [file.name for file in folder.iterdir()] == [table.name]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_killed_in_the_middle_and_run_again_no_row_is_lost_or_twice(
    tmp_path, model_folders, predict, how, monkeypatch, capsys
):
    count = 6000
    write_csv(tmp_path / "new.csv", products(count))
    parts = tmp_path / "out.parquet.parts"
    with subprocess.Popen(
        command_line(tmp_path, model_folders),
        cwd=TOP,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while not (parts / "00002.parquet").exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(how)
        said = process.stderr.read()
    assert process.returncode != 0 and not (tmp_path / "out.parquet").exists()
    left = len(list(parts.glob("0*.parquet")))
    assert 2 <= left < count / 1024
    assert how == signal.SIGKILL or said.endswith(GO_ON)

    monkeypatch.setattr(batch, "CHUNK", 1024)
    rows, _ = predict("new.csv", "text")
    assert f"goes on after {left * 1024:,} rows" in capsys.readouterr().err
    assert [row["row"] for row in rows] == list(range(1, count + 1))
    assert [row["sku"] for row in rows] == [row["sku"] for row in products(count)]
    assert [row["label"] for row in rows] == labels(count)
