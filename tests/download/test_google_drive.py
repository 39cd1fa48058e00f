"""Links to Google Drive."""

import os
from multiprocessing import get_context
from pathlib import Path
from unittest.mock import create_autospec

import gdown
import pytest
import requests
from helpers.http_host import BODY, settings

from stages.common.errors import InputError
from stages.download import size_limit
from stages.download.files import fetch_file

DRIVE = "https://drive.google.com/file/d/1AbCdEfGhIjKlMnOp/view?usp=sharing"


def get(url, tmp_path, mirror=None, max_bytes=None, **changes):
    return fetch_file(
        url,
        mirror=mirror,
        settings=settings(**changes),
        max_bytes=max_bytes,
        cache=tmp_path / "files",
    )


def test_a_google_drive_link_goes_through_gdown_once(tmp_path, monkeypatch):
    def give(url, output, **_):
        assert url == DRIVE
        with open(output, "wb") as file:  # noqa: PTH123
            file.write(BODY)

    download = create_autospec(gdown.download, side_effect=give)
    monkeypatch.setattr(gdown, "download", download)
    path = get(DRIVE, tmp_path)
    assert path.read_bytes() == BODY
    assert get(DRIVE, tmp_path) == path
    assert download.call_count == 1
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_part_of_a_google_drive_file_that_a_killed_run_left_is_removed(tmp_path, monkeypatch):
    def killed(url, output, **_):
        Path(output).write_bytes(BODY)
        os._exit(9)

    def give(url, output, **_):
        Path(output).write_bytes(BODY)

    download = create_autospec(gdown.download, side_effect=killed)
    monkeypatch.setattr(gdown, "download", download)
    run = get_context("fork").Process(target=get, args=(DRIVE, tmp_path))
    run.start()
    run.join()
    assert run.exitcode == 9 and list(tmp_path.rglob("*"))
    download.side_effect = give
    path = get(DRIVE, tmp_path)
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("most", "left", "reason"),
    [(100_000, 0, "more than 100,000 bytes"), (None, 10**15, "does not fit on the disk")],
)
def test_a_google_drive_link_to_too_large_a_file_is_refused(
    tmp_path, monkeypatch, most, left, reason
):
    def give(url, output, *, progress, **_):
        progress(10_000, 1_000_000)

    monkeypatch.setattr(gdown, "download", create_autospec(gdown.download, side_effect=give))
    monkeypatch.setattr(size_limit, "MIN_FREE", left)
    with pytest.raises(InputError, match=reason):
        get(DRIVE, tmp_path, max_bytes=most)
    assert not list(tmp_path.glob("files/*"))


@pytest.mark.parametrize(
    "error",
    [
        gdown.FileURLRetrievalError("Cannot retrieve the public link"),
        gdown.DownloadError("DownloadSettings is incomplete"),
        requests.ConnectionError("no route"),
        requests.HTTPError("404"),
    ],
)
def test_a_google_drive_link_that_gives_nothing_is_an_input_error(tmp_path, monkeypatch, error):
    monkeypatch.setattr(gdown, "download", create_autospec(gdown.download, side_effect=error))
    with pytest.raises(InputError, match=r"drive\.google\.com.*share it with anyone"):
        get(DRIVE, tmp_path)
    assert not list(tmp_path.glob("files/*"))


def test_a_google_drive_folder_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="not to a file"):
        get("https://drive.google.com/drive/folders/1AbCdEfGhIjKlMnOpQrStUvWxYz", tmp_path)


def test_a_mirror_stands_in_for_google_drive(host, tmp_path):
    host.answers = {"/file/d/1AbCdEfGhIjKlMnOp/view?usp=sharing": [BODY]}
    assert get(DRIVE, tmp_path, mirror=host.url).read_bytes() == BODY
