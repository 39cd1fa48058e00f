"""Large arrays lie in files that nobody sees, and hold what small ones in memory hold."""

import errno
import os
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from stages.common import large_arrays
from stages.common.errors import InputError
from stages.common.large_arrays import LargeArray, empty_array, select_rows, slices

ROWS = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)


@pytest.fixture(params=["in memory", "in a file"])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return the folder for files, where arrays of at least 100 bytes lie, or all in memory."""
    if request.param == "in a file":
        monkeypatch.setattr(large_arrays, "LARGE", 100)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "large"))
    return tmp_path / "large"


@pytest.mark.parametrize("rows", [ROWS, ROWS.astype(np.int32), ROWS[:, 0], ROWS[:1]])
def test_an_array_holds_the_parts_that_were_added(place, rows):
    array = LargeArray()
    for start in range(0, len(rows), 7):
        array.append(rows[start : start + 7])
    found = array.finish()
    assert found.dtype == rows.dtype
    np.testing.assert_array_equal(found, rows)
    found[0] = 5  # it may be written to
    assert (found[0] == 5).all()
    assert not place.exists() or not list(place.iterdir())


def test_an_array_to_fill_is_of_float32_and_can_be_filled(place):
    found = empty_array((50, 3))
    assert found.dtype == np.float32
    found[:] = ROWS
    np.testing.assert_array_equal(found * 2, ROWS * 2)
    assert type(found * 2) is np.ndarray and type(found) is np.ndarray
    assert not place.exists() or not list(place.iterdir())


def test_rows_are_chosen_in_their_order(place, monkeypatch):
    monkeypatch.setattr(large_arrays, "ROWS", 8)
    chosen = np.arange(50) % 3 == 1
    np.testing.assert_array_equal(select_rows(ROWS, chosen), ROWS[chosen])
    assert [part.stop for part in slices(20)] == [8, 16, 20]
    assert select_rows(ROWS, np.zeros(50, dtype=bool)).shape == (0, 3)


def test_a_file_takes_the_room_of_no_memory(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TMPDIR", raising=False)
    monkeypatch.setattr(large_arrays, "LARGE", 100)
    found = empty_array((50, 3))
    maps = Path("/proc/self/maps")
    if not maps.exists():
        pytest.skip("to see what is mapped takes /proc")
    address = found.__array_interface__["data"][0]
    (line,) = (
        line for line in maps.read_text().splitlines() if int(line.split("-")[0], 16) == address
    )
    assert f"{tmp_path}/.cache/" in line and line.endswith("(deleted)")


def test_a_full_disk_is_said_before_anything_is_written(place, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    monkeypatch.setattr(large_arrays, "LARGE", 100)
    message = r"large has no room for 4\.0 GB of features \(No space left on device\): .* TMPDIR$"
    with pytest.raises(InputError, match=message):
        empty_array((10**9,))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a full disk takes /dev/full")
def test_a_disk_that_becomes_full_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(large_arrays, "LARGE", 100)
    array, said = LargeArray(), []
    with suppress(OSError), Path("/dev/full").open("wb") as full:  # closed, it tries once more
        monkeypatch.setattr(large_arrays, "_open_file", lambda: full)
        with pytest.raises(InputError, match=r"no room for 0\.0 GB of features \(No space left"):
            for _ in range(3):
                array.append(ROWS)
        said.append("the error")
    assert said
