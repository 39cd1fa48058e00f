"""A store outlives kills, damage, deletion and company."""

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from helpers.repository import TOP

from stages.common.errors import InputError
from stages.common.kv_store import SqliteCache


def test_rows_are_there_in_the_next_run(tmp_path):
    path = tmp_path / "deep" / "rows.sqlite"
    with SqliteCache(path) as store:
        assert store.get_many(["a"]) == {}
        store.put_many([("a", b"1"), ("b", b""), ("é", bytes(100_000))])
        store.put_many([("a", b"2")])
    with SqliteCache(path) as store:
        assert store.get_many(["é", "a", "b", "c", "a"]) == {
            "a": b"2",
            "b": b"",
            "é": bytes(100_000),
        }


def test_many_keys_may_be_asked_for_at_once(tmp_path):
    rows = {str(number): bytes([number % 256]) for number in range(40_000)}
    with SqliteCache(tmp_path / "rows.sqlite") as store:
        store.put_many(rows.items())
        assert store.get_many(rows) == rows


def test_a_transaction_is_written_whole_or_not_at_all(tmp_path):
    def rows():
        yield "a", b"1"
        raise KeyboardInterrupt

    with SqliteCache(tmp_path / "rows.sqlite") as store:
        with pytest.raises(KeyboardInterrupt):
            store.put_many(rows())
        assert store.get_many(["a"]) == {}


def test_a_file_that_is_no_database_is_set_aside(tmp_path):
    path = tmp_path / "rows.sqlite"
    content = b"no database, but long enough to be read as one\n" * 99
    path.write_bytes(content)
    with pytest.warns(UserWarning, match=r"rows\.sqlite is damaged"), SqliteCache(path) as store:
        store.put_many([("a", b"1")])
        assert store.get_many(["a"]) == {"a": b"1"}
    assert (tmp_path / "rows.sqlite.damaged").read_bytes() == content


def test_damage_that_is_met_while_it_is_open_is_set_aside(tmp_path):
    path = tmp_path / "rows.sqlite"
    with SqliteCache(path) as store:
        store.put_many((str(number), bytes(500)) for number in range(2000))
    data = bytearray(path.read_bytes())
    data[4096:] = os.urandom(len(data) - 4096)  # the first page, with the schema, stays
    path.write_bytes(data)
    with SqliteCache(path) as store:
        with pytest.warns(UserWarning, match="damaged"):
            assert store.get_many(["7"]) == {}
        store.put_many([("7", b"new")])
        assert store.get_many(["7"]) == {"7": b"new"}


def test_a_value_whose_bytes_have_changed_is_not_given_out(tmp_path):
    path = tmp_path / "rows.sqlite"
    with SqliteCache(path) as store:
        store.put_many([("a", b"picture " * 1000), ("b", b"2")])
    data = path.read_bytes()
    assert data.count(b"picture picture") > 0
    path.write_bytes(data.replace(b"picture picture", b"picture pictura"))
    with SqliteCache(path) as store:
        assert store.get_many(["a", "b"]) == {"b": b"2"}


def test_it_may_be_deleted_at_any_time(tmp_path):
    path = tmp_path / "rows.sqlite"
    with SqliteCache(path) as store:
        store.put_many([("a", b"1")])
        for file in tmp_path.iterdir():
            file.unlink()
        store.put_many([("b", b"2")])
        assert store.get_many(["b"]) == {"b": b"2"}
    with SqliteCache(path) as store:
        store.put_many([("c", b"3")])
        assert store.get_many(["c"]) == {"c": b"3"}


def test_a_store_that_is_full_forgets_what_was_used_longest_ago(tmp_path):
    path, limit = tmp_path / "rows.sqlite", 1_000_000
    with SqliteCache(path, limit) as store:
        store.put_many([("often", bytes(5000))])
        for at in range(1000):
            store.put_many([(str(at), bytes(5000))])
            assert "often" in store.get_many(["often"])
        found = store.get_many(map(str, range(1000)))
        assert store.forgotten == 1000 - len(found)
    assert path.stat().st_size <= 1.1 * limit
    assert 100 < len(found) < 200
    assert sorted(map(int, found)) == list(range(1000 - len(found), 1000))
    with SqliteCache(path, limit // 10) as store:
        store.put_many([("last", b"1")])
        assert store.get_many(["last"]) == {"last": b"1"}
        assert store.forgotten == 0  # nobody has used the others since
    assert path.stat().st_size <= 1.2 * limit // 10


WRITER = """
import sys
from pathlib import Path
from stages.common.kv_store import SqliteCache
with SqliteCache(Path(sys.argv[1])) as store:
    for number in range(int(sys.argv[3])):
        store.put_many([(f"{sys.argv[2]}{number}", b"x" * 5000)])
        print(number, flush=True)
"""


def writer(path: Path, name: str, rows: int) -> subprocess.Popen:
    command = [sys.executable, "-c", WRITER, str(path), name, str(rows)]
    return subprocess.Popen(command, cwd=TOP, stdout=subprocess.PIPE, text=True)


def test_what_was_written_outlives_a_kill(tmp_path):
    path = tmp_path / "rows.sqlite"
    with writer(path, "a", 10**9) as process:
        last = [int(process.stdout.readline()) for _ in range(300)][-1]
        process.send_signal(signal.SIGKILL)
    with SqliteCache(path) as store:
        assert len(store.get_many(f"a{number}" for number in range(last + 1))) == last + 1
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_several_processes_may_write_at_once(tmp_path):
    path = tmp_path / "rows.sqlite"
    processes = [writer(path, name, 200) for name in "abc"]
    for process in processes:
        process.communicate(timeout=60)
        assert process.returncode == 0
    with SqliteCache(path) as store:
        assert len(store.get_many(f"{name}{row}" for name in "abc" for row in range(200))) == 600


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(InputError, match=r"file/rows\.sqlite cannot be used"),
        SqliteCache(tmp_path / "file" / "rows.sqlite"),
    ):
        pass
