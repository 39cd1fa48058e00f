"""A file or a folder is whole or absent, whatever happens while it is written."""

import csv
import errno
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock
from helpers.repository import TOP

from stages.common.errors import InputError
from stages.common.files import (
    atomic_file,
    atomic_folder,
    sha256_of,
    write_csv,
    write_json,
    write_text,
)

ENDS = [RuntimeError("no"), KeyboardInterrupt()]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_there_once_the_block_has_ended(tmp_path):
    path = tmp_path / "deep" / "a.txt"
    with atomic_file(path) as part:
        part.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert names(path.parent) == ["a.txt"]


@pytest.mark.parametrize("end", ENDS, ids=repr)
def test_a_failed_write_leaves_the_old_file_and_no_debris(tmp_path, end):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(type(end)), atomic_file(path) as part:
        part.write_text("half")
        raise end
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_failed_first_write_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), atomic_file(tmp_path / "a.txt") as part:
        part.write_text("half")
        raise RuntimeError
    assert names(tmp_path) == []


def test_others_may_read_a_file_as_they_may_read_any_other(tmp_path):
    (tmp_path / "plain").write_text("")
    write_text(tmp_path / "ours", "")
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "ours")]
    assert modes[0] == modes[1]


def test_a_write_does_not_reach_through_a_link(tmp_path):
    # DVC may put a link to its cache in an output's place.
    cached = tmp_path / "cached"
    cached.write_text("old")
    os.link(cached, tmp_path / "hard")
    (tmp_path / "soft").symlink_to(cached)
    for name in ("hard", "soft"):
        write_text(tmp_path / name, "new")
        assert (tmp_path / name).read_text() == "new"
    assert cached.read_text() == "old"


KILLED = """
import sys, time
from pathlib import Path
from stages.common.files import atomic_file, atomic_folder
with atomic_file(Path("f")) as file, atomic_folder(Path("d")) as folder:
    file.write_text("half of a file")
    (folder / "half").write_text("")
    print("ready", flush=True)
    time.sleep(60)
"""


def test_the_run_after_a_killed_one_clears_up(tmp_path):
    run = subprocess.Popen(
        [sys.executable, "-c", KILLED],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(TOP)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert run.stdout and run.stdout.readline() == "ready\n"
    run.send_signal(signal.SIGKILL)
    run.communicate()
    assert not {"f", "d"} & set(names(tmp_path))

    with atomic_file(tmp_path / "f") as file, atomic_folder(tmp_path / "d") as folder:
        assert not file.exists()
        file.write_text("whole")
        (folder / "whole").write_text("")
    assert names(tmp_path) == ["d", "f"]
    assert (tmp_path / "f").read_text() == "whole"
    assert names(tmp_path / "d") == ["whole"]


def test_two_processes_that_write_one_file_do_not_share_what_is_unfinished(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", KILLED],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(TOP)},
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout and other.stdout.readline() == "ready\n"
        halves = {name for name in names(tmp_path) if name.endswith(".part")}
        with atomic_file(tmp_path / "f") as file, atomic_folder(tmp_path / "d") as folder:
            file.write_text("whole")
            (folder / "whole").write_text("")
        assert (tmp_path / "f").read_text() == "whole"
        assert names(tmp_path / "d") == ["whole"]
        assert len(halves) == 2 and halves <= set(names(tmp_path))
        other.kill()


WRITERS = {
    "file": """
from pathlib import Path
from stages.common.files import write_text
for _ in range(100):
    write_text(Path("one"), "whole")
""",
    "folder": """
from pathlib import Path
from stages.common.files import atomic_folder
for _ in range(100):
    with atomic_folder(Path("one")) as folder:
        (folder / "file").touch()
""",
}


@pytest.mark.parametrize("script", WRITERS.values(), ids=WRITERS)
def test_several_processes_may_write_one_place_again_and_again(tmp_path, script):
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", script],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(TOP)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    assert [run.communicate(timeout=60)[1] for run in runs] == [""] * 3
    assert names(tmp_path) == ["one"]


def test_a_place_that_cannot_be_locked_is_left_as_it_was(tmp_path, monkeypatch):
    def refuse(lock):
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT), lock.lock_file)

    monkeypatch.setattr(FileLock, "acquire", refuse)
    with pytest.raises(OSError, match=re.escape(os.strerror(errno.EDQUOT))):
        write_text(tmp_path / "one", "whole")
    assert names(tmp_path) == []


def test_a_folder_is_never_gone_for_as_long_as_it_takes_to_remove_one(tmp_path, monkeypatch):
    write_text(tmp_path / "d" / "old", "")
    there = []
    rmtree = shutil.rmtree
    monkeypatch.setattr(
        shutil,
        "rmtree",
        lambda *a, **b: there.append((tmp_path / "d" / "new").exists()) or rmtree(*a, **b),
    )
    with atomic_folder(tmp_path / "d") as folder:
        (folder / "new").touch()
    assert there == [True]
    assert names(tmp_path) == ["d"]


@pytest.mark.parametrize("is_seen", [True, False], ids=["a volume", "a folder of the same disk"])
def test_a_folder_where_something_is_mounted_stays_and_it_is_said(tmp_path, monkeypatch, is_seen):
    path, replace = tmp_path / "mounted", Path.replace
    path.mkdir()
    (path / "old").write_text("old")

    def refused(self, target):  # as Linux does
        if self == path:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(self))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", refused)
    monkeypatch.setattr(os.path, "ismount", lambda given: is_seen and given == path)
    said = "mounted is written .*: mount the folder above it"
    with pytest.raises(InputError, match=said), atomic_folder(path):
        assert not is_seen
    assert [one.name for one in tmp_path.iterdir()] == ["mounted"]
    assert (path / "old").read_text() == "old"


def test_a_folder_replaces_the_old_one_whole(tmp_path):
    path = tmp_path / "deep" / "folder"
    for name in ("old", "new"):
        with atomic_folder(path) as part:
            assert names(part) == []
            (part / "deeper").mkdir()
            (part / name).write_text(name)
    assert names(path) == ["deeper", "new"]
    assert names(path.parent) == ["folder"]


def test_a_link_to_a_folder_stays_and_leads_to_the_new_one(tmp_path):
    (tmp_path / "disk" / "folder").mkdir(parents=True)
    (tmp_path / "link").symlink_to("disk/folder")
    with atomic_folder(tmp_path / "link") as part:
        (part / "new").touch()
    assert (tmp_path / "link").is_symlink()
    assert names(tmp_path / "disk" / "folder") == ["new"]
    assert (names(tmp_path), names(tmp_path / "disk")) == (["disk", "link"], ["folder"])


@pytest.mark.parametrize("end", ENDS, ids=repr)
def test_a_failed_folder_leaves_the_old_one_and_no_debris(tmp_path, end):
    path = tmp_path / "folder"
    path.mkdir()
    (path / "old").write_text("old")
    with pytest.raises(type(end)), atomic_folder(path) as part:
        (part / "half").write_text("half")
        raise end
    assert names(path) == ["old"]
    assert names(tmp_path) == ["folder"]


def test_text_and_json_are_written_as_they_are(tmp_path):
    write_text(tmp_path / "a.txt", "é\r\n\n")
    assert (tmp_path / "a.txt").read_bytes() == b"\xc3\xa9\r\n\n"
    write_json(tmp_path / "a.json", {"b": "é", "a": [1, None]})
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert list(json.loads(text).items()) == [("b", "é"), ("a", [1, None])]
    assert "é" in text and text.endswith("}\n")


def test_json_with_a_number_that_json_has_not_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"a": float("nan")})
    assert names(tmp_path) == []


def test_csv_has_a_header_and_a_row_per_mapping(tmp_path):
    path = tmp_path / "a.csv"
    write_csv(path, ["b", "a"], [{"a": 1, "b": "x, y"}, {"a": "", "b": "é"}])
    assert path.read_bytes() == 'b,a\n"x, y",1\né,\n'.encode()
    write_csv(path, ["b"], [])
    assert path.read_bytes() == b"b\n"


@pytest.mark.parametrize("text", ["a\rb", "a\nb", "a\r\nb", "\r", "\r\n", 'a"b', "a,b"])
def test_any_text_comes_back_from_csv(tmp_path, text):
    write_csv(tmp_path / "a.csv", ["a", "b"], [{"a": text, "b": "c"}])
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [["a", "b"], [text, "c"]]


def test_sha256_is_of_the_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_of(tmp_path / "a") == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )
