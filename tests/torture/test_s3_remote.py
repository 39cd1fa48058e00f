"""A DVC remote on S3, with the commands of docs/remotes.md, on a server on loopback.

The server and DVC's package for S3 are no part of the project: pip installs them in a folder.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
import sysconfig
import time
import urllib.request
import venv
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from helpers.copies import Copy, small
from helpers.documents import code_spans, commands, text_of
from helpers.http_host import settings
from helpers.repository import TOP
from pyarrow.fs import FileType, S3FileSystem

from stages.download.failures import Failure
from stages.download.many import fetch_many

REMOTES = TOP / "docs/remotes.md"
SOURCES = TOP / "docs/data-sources.md"
(ROW,) = re.findall(r"^\| Amazon S3.*$", text_of(REMOTES), re.MULTILINE)
ADD, MODIFY, INSTALL = map(shlex.split, re.findall(r"`([^`]+)`", ROW))
PUSH, PULL = map(shlex.split, commands(REMOTES)[:2])
LIMIT_S, NEXT_LIMIT_S = 420, 30


def text_only(params: Any) -> None:
    """Make the pipeline one of n-grams and one classifier."""
    small(params)
    params["image"]["encoders"] = []
    params["text"]["encoders"] = ["ngrams"]
    params["modalities"] = {"text": params["modalities"]["text"]}
    params["classifiers"] = {"svm": params["classifiers"]["svm"]}


@pytest.fixture(scope="module", autouse=True)
def no_hang() -> Iterator[None]:
    """Fail what runs after LIMIT_S seconds, and what then still runs."""

    def end(*_: Any) -> None:
        raise AssertionError("it hangs")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, LIMIT_S, NEXT_LIMIT_S)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the packages that this project lacks, in a virtual environment of its own."""
    top = tmp_path_factory.mktemp("environment")
    venv.create(top, symlinks=True)
    folder = Path(sysconfig.get_path("purelib", "venv", {"base": str(top)}))
    # pip sees what the project has and, since it lies elsewhere, leaves it as it is.
    (folder / "project.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "--python", str(top), "--disable-pip-version-check"]
    options = ["--quiet", "--no-compile", "--retries", "1"]
    done = subprocess.run(
        [*pip, *INSTALL[1:], *options, "moto[server]"], capture_output=True, text=True
    )
    if "No matching distribution found" in done.stderr:
        pytest.skip(f"pip reaches no package index that has {INSTALL[-1]} and moto")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def environment(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The variables under which DVC has the packages, and keys, and none of the user's own."""
    settings = tmp_path_factory.mktemp("settings") / "empty"
    settings.touch()
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_CONFIG_FILE", str(settings))
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(settings))
        patch.setenv("NO_PROXY", "127.0.0.1")
        patch.setenv("PYTHONPATH", str(packages))
        yield


@pytest.fixture(scope="module")
def endpoint(environment: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server with the interface of S3 and the bucket that the document names."""
    log = tmp_path_factory.mktemp("server") / "log"
    command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", "0"]
    with (
        log.open("w") as output,
        subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT) as server,
    ):
        try:
            while not (found := re.search(r"Running on (http://\S+)\n", log.read_text())):
                assert server.poll() is None, log.read_text()
                time.sleep(0.1)
            bucket = ADD[-1].removeprefix("s3://").partition("/")[0]
            request = urllib.request.Request(f"{found[1]}/{bucket}", method="PUT")
            urllib.request.urlopen(request, timeout=30).close()
            yield found[1]
        finally:
            server.kill()


@pytest.fixture(scope="module")
def built(endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """A built copy whose remote is the server's, as Git keeps it."""
    copy = Copy(tmp_path_factory.mktemp("copy"), text_only)
    copy.repro()
    copy.run(*ADD)
    copy.run(*MODIFY[:-1], endpoint)
    copy.commit()
    return copy


@pytest.fixture
def clone(built: Copy, tmp_path: Path) -> Copy:
    return built.clone(tmp_path / "clone")


def test_a_fresh_clone_that_pulls_from_s3_has_the_same_bytes_and_runs_nothing(built, clone):
    built.run(*PUSH)
    clone.run(*PULL)
    assert clone.outputs() == built.outputs()
    assert clone.repro() == []
    assert clone.run("git", "status", "--porcelain") == ""


def test_a_bucket_that_is_missing_is_said_as_documented(clone):
    clone.run("dvc", "remote", "modify", ADD[-2], "url", "s3://elsewhere/catalogue")
    check_that_pull_says("The specified bucket does not exist", clone)


def test_a_package_that_is_missing_is_said_as_documented(clone):
    check_that_pull_says("requires 'dvc-s3' to be installed", clone, PYTHONPATH="")


def check_that_pull_says(message: str, clone: Copy, **variables: str) -> None:
    assert message in code_spans(REMOTES)
    with pytest.raises(AssertionError, match=re.escape(message)):
        clone.run(*PULL, **variables)


def test_a_table_in_a_bucket_is_predicted_as_a_file_is(built: Copy, endpoint: str) -> None:
    table = built.top / "new.csv"
    rows = ["name,description", *(f"Red headphones {i},With a soft case." for i in range(2000))]
    table.write_text("\n".join(rows), encoding="utf-8")
    bucket = ADD[-1].removeprefix("s3://").partition("/")[0]
    request = urllib.request.Request(
        f"{endpoint}/{bucket}/new.csv",
        data=table.read_bytes(),
        headers={"Content-Type": "text/csv"},
        method="PUT",
    )
    urllib.request.urlopen(request, timeout=30).close()
    predict = ("python", "-m", "serving.predict")
    built.run(*predict, "new.csv", "--output", "out.parquet")
    urls = (f"s3://{bucket}/new.csv", "--output", f"s3://{bucket}/out.parquet")
    here = {"AWS_ENDPOINT_URL": endpoint, "AWS_DEFAULT_REGION": "us-east-1"}
    said = built.run(*predict, *urls, **here)
    assert "predict: 2,000 rows" in said and said.strip().endswith(f"s3://{bucket}/out.parquet")
    store = S3FileSystem(
        access_key="test", secret_key="test", region="us-east-1", endpoint_override=endpoint
    )
    with store.open_input_stream(f"{bucket}/out.parquet") as sent:
        assert sent.read() == (built.top / "out.parquet").read_bytes()
    assert store.get_file_info(f"{bucket}/out.parquet.part").type == FileType.NotFound
    with pytest.raises(AssertionError, match=r"s3://\S+/out\.parquet is there already"):
        built.run(*predict, *urls, **here)
    with pytest.raises(AssertionError, match=r"error: s3://nowhere/new\.csv is not there"):
        built.run(*predict, "s3://nowhere/new.csv", "--output", "o.csv", **here)
    with pytest.raises(AssertionError, match=r"error: s3://\S+/sent\.csv cannot be written"):
        built.run(*predict, "new.csv", "--output", "s3://nowhere/sent.csv", **here)


def test_images_in_a_bucket_are_fetched(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    bucket = ADD[-1].removeprefix("s3://").partition("/")[0]
    store = S3FileSystem(region="us-east-1", endpoint_override=endpoint)
    keys = [f"images/ä {number}#.jpg" for number in range(50)]
    for key in keys:
        with store.open_output_stream(f"{bucket}/{key}") as sent:
            sent.write(key.encode() * 100)
    found: dict[str, bytes | Failure] = {}
    urls = [f"s3://{bucket}/{key}" for key in (*keys, "gone.jpg")] + ["s3://elsewhere/1.jpg"]
    with ThreadPoolExecutor(2) as threads:
        fetch_many(
            urls, bytes, found.__setitem__, mirror=None, settings=settings(), threads=threads
        )
    expected = [key.encode() * 100 for key in keys] + [Failure("no such object")] * 2
    assert [found[url] for url in urls] == expected


def test_a_table_in_a_bucket_is_imported_and_updated_as_documented(
    clone: Copy, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    imported, updated = map(shlex.split, commands(SOURCES)[:2])
    bucket, _, key = imported[2].removeprefix("s3://").partition("/")
    urllib.request.urlopen(urllib.request.Request(f"{endpoint}/{bucket}", method="PUT")).close()
    store = S3FileSystem(region="us-east-1", endpoint_override=endpoint)
    for command, content in ((imported, b"a table"), (updated, b"a newer table")):
        with store.open_output_stream(f"{bucket}/{key}") as sent:
            sent.write(content)
        clone.run(*command)
        assert (clone.top / imported[3]).read_bytes() == content
        assert "prepare" in clone.run("dvc", "status")
    assert f"{imported[3]}.dvc" in clone.run("git", "status", "--porcelain", "--untracked=all")
