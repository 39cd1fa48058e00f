"""The stage as a user runs it: products in, shards out, whatever the hosts do meanwhile."""

import copy
import csv
import hashlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow as pa
import pytest
from helpers.repository import TOP
from PIL import Image
from ruamel.yaml import YAML

from stages import download_images
from stages.common.errors import InputError
from stages.common.tables import IMAGES, PRODUCTS, read_table, write_table
from stages.download.demo_images import draw
from stages.download.image_conversion import to_jpeg
from stages.download.perceptual_hash import perceptual_hash

PARAMS = YAML(typ="safe").load(TOP / "params.yaml")
SAMPLE = TOP.parent / "shared" / "bestbuy"


def jpeg(shade: int, side: int = 224) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (side, side), (shade % 256, shade // 256, 0)).save(file, "JPEG")
    return file.getvalue()


class Handler(BaseHTTPRequestHandler):
    """Serves /ok/<shade>, /gone, /flaky/<shade> (503 at first) and /held/<shade>.

    Of the last, 40 are served, and others once the server goes on.
    """

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or a body would wait for what says that its head has come

    def log_message(self, *_):
        pass

    def do_GET(self):
        server = self.server
        with server.lock:
            server.seen[self.path] += 1
            times, total = server.seen[self.path], sum(server.seen.values())
        _, name, *shade = self.path.partition("?")[0].split("/")
        if name == "held" and total > 40:
            server.goes_on.wait()
        is_there = name in ("ok", "held") or (name == "flaky" and times > server.faults)
        body = jpeg(int(shade[0])) if is_there else b""
        self.send_response(200 if is_there else 404 if name == "gone" else 503)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # or some of those that connect at once would try again after a second

    def handle_error(self, *_):
        pass  # a client that is killed hangs up


@pytest.fixture
def server():
    server = Server(("127.0.0.1", 0), Handler)
    server.seen, server.lock, server.faults = Counter(), threading.Lock(), 1
    server.goes_on = threading.Event()
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.goes_on.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A folder with params.yaml, as the top of the repository has it, to run the stage in."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "catalogue").mkdir(parents=True)
    params()
    return tmp_path


def params(archive=None, mirror=None, size=224, **download):
    """Write params.yaml with these changes."""
    content = copy.deepcopy(PARAMS)
    content["data"]["mirror"] = mirror
    content["data"]["table"].update(archive=archive, image_path="image" if archive else None)
    content["image"]["size"] = size
    content["download"] |= {"backoff_s": 0.01, "max_failed": 1.0, **download}
    Path("params.yaml").write_text(json.dumps(content))


def products(references):
    """Write products with these images, their SKUs counted from 0."""
    texts = dict.fromkeys(("name", "description", "manufacturer", "label"), "x")
    rows = [{"sku": str(sku), **texts, "image": ref} for sku, ref in enumerate(references)]
    write_table(Path("data/products.parquet"), pa.Table.from_pylist(rows, schema=PRODUCTS))


def images():
    """Return the rows of all shards, in order."""
    shards = sorted(Path("data/images").iterdir())
    assert [path.name for path in shards] == [f"images-{n:05}.parquet" for n in range(len(shards))]
    return [row for path in shards for row in read_table(path, IMAGES).to_pylist()]


def run(references):
    products(references)
    download_images.main()
    rows = images()
    assert [row["sku"] for row in rows] == [str(sku) for sku in range(len(references))]
    for row in rows:
        is_ok = row["status"] == "ok"
        assert (row["jpeg"] is not None) == (row["sha256"] is not None) == is_ok
        assert is_ok or row["perceptual_hash"] is None
        assert (row["reason"] is not None) == (row["status"] == "failed")
        if is_ok:
            assert hashlib.sha256(row["jpeg"]).hexdigest() == row["sha256"]
            assert perceptual_hash(row["jpeg"]) == row["perceptual_hash"]
    return rows


def outcomes(rows):
    return [(row["status"], row["reason"]) for row in rows]


def test_every_product_has_a_row_whatever_became_of_its_image(repository, server, capsys):
    (repository / "data/catalogue/1.png").write_bytes(jpeg(7, side=300))
    rows = run(
        [f"{server.url}/ok/5", None, f"{server.url}/gone", "file:1.png", "file:2.png", "x:1", ""]
    )
    assert outcomes(rows) == [
        ("ok", None),
        ("none", None),
        ("failed", "HTTP 404"),
        ("ok", None),
        ("failed", "no such file"),
        ("failed", "neither a URL nor file:, archive:, embedded: or demo:"),
        ("none", None),
    ]
    assert rows[0]["jpeg"] == jpeg(5)
    assert capsys.readouterr().out == (
        "download_images: 2 ok, 3 failed (HTTP 404: 1; neither a URL nor file:, archive:, "
        "embedded: or demo:: 1; no such file: 1), 2 without an image\n"
    )


@pytest.mark.parametrize(("rows", "shard_rows", "files"), [(10, 4, 3), (8, 4, 2), (0, 4, 1)])
def test_shards_are_filled_in_the_order_of_products(repository, server, rows, shard_rows, files):
    params(shard_rows=shard_rows)
    found = run([f"{server.url}/ok/{shade}" for shade in range(rows)])
    assert [row["jpeg"] for row in found] == [jpeg(shade) for shade in range(rows)]
    assert len(list(Path("data/images").iterdir())) == files


def test_no_secret_of_a_url_is_in_a_reason_or_in_what_is_said(repository, server, capsys):
    host = server.url.replace("http://", "http://user:secret@")
    params(retries=1)
    rows = run([f"{host}/{path}?sig=secret" for path in ("lost", "ok/x")])  # 503 and no answer
    with pytest.raises(InputError) as raised:
        params(max_failed=0.0)
        run([f"{host}/gone?sig=secret"])
    assert [row["status"] for row in rows] == ["failed", "failed"]
    said = "".join(capsys.readouterr())
    assert "secret" not in f"{said}{raised.value}{[row['reason'] for row in rows]}"


def test_a_url_is_asked_for_once_however_many_products_share_it(repository, server):
    params(shard_rows=2)
    rows = run([f"{server.url}/ok/1", f"{server.url}/ok/2", f"{server.url}/ok/1"] * 3)
    assert {row["status"] for row in rows} == {"ok"}
    assert server.seen == {"/ok/1": 1, "/ok/2": 1}


def test_a_later_run_asks_for_what_is_new_and_gives_the_same_bytes(repository, server):
    references = [f"{server.url}/ok/{n}" for n in range(5)] + [f"{server.url}/gone", None]
    run(references)
    before = Path("data/images/images-00000.parquet").read_bytes()
    run(references)
    assert Path("data/images/images-00000.parquet").read_bytes() == before
    assert outcomes(run([*references, f"{server.url}/ok/9"]))[-1] == ("ok", None)
    assert set(server.seen.values()) == {1}
    Path(".cache/images.sqlite").unlink()
    run(references)
    assert Path("data/images/images-00000.parquet").read_bytes() == before


def test_another_mirror_finds_what_was_fetched(repository, server):
    references = ["http://img.example/ok/1"]
    params(mirror=server.url)
    run(references)
    params(mirror="http://127.0.0.1:9")
    assert outcomes(run(references)) == [("ok", None)]
    assert server.seen == {"/ok/1": 1}


def test_failures_are_asked_for_again_only_if_that_is_wished(repository, server, capsys):
    server.faults = 3
    references = [f"{server.url}/flaky/1", f"{server.url}/ok/2"]
    params(retries=0)
    assert outcomes(run(references)) == [("failed", "HTTP 503"), ("ok", None)]
    assert "retry_failed" not in capsys.readouterr().out
    assert outcomes(run(references)) == [("failed", "HTTP 503"), ("ok", None)]
    assert server.seen == {"/flaky/1": 1, "/ok/2": 1}
    assert (
        "; URLs that failed in an earlier run and were not requested again: 1 (set "
        "download.retry_failed to true to do so)\n"
    ) in capsys.readouterr().out
    params(retries=3, retry_failed=True)
    assert outcomes(run(references)) == [("ok", None), ("ok", None)]
    assert server.seen == {"/flaky/1": 4, "/ok/2": 1}


def test_an_image_whose_link_was_signed_anew_is_not_fetched_again(repository, server):
    def signed(name, day):
        query = f"width=9&X-Amz-Date={day}&X-Amz-SignedHeaders=host&X-Amz-Signature={day}"
        return f"{server.url}/{name}?{query}"

    params(retries=0)
    first = run([signed("ok/1", 1), signed("flaky/2", 1), f"{server.url}/ok/3?X-Amz-Date=1"])
    assert outcomes(first) == [("ok", None), ("failed", "HTTP 503"), ("ok", None)]
    server.seen.clear()
    server.faults = 0
    again = run([signed("ok/1", 2), signed("flaky/2", 2), f"{server.url}/ok/3?X-Amz-Date=2"])
    assert outcomes(again) == [("ok", None)] * 3
    asked = {path.partition("?")[0] for path in server.seen}
    assert asked == {"/flaky/2", "/ok/3"}  # what may have expired, and what is not signed


def stage(repository):
    environment = {**os.environ, "PYTHONPATH": str(TOP)}
    command = [sys.executable, "-m", "stages.download_images"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(
        command,
        cwd=repository,
        env=environment,
        text=True,
        **pipes,
    )


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_was_interrupted_goes_on_where_it_stopped(repository, server, number):
    params(concurrency=4, mirror=server.url)
    products([f"{server.url}/held/{shade}" for shade in range(100)])
    with stage(repository) as process:
        while sum(server.seen.values()) <= 40 and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(number)
    assert not Path("data/images").exists()
    asked = sum(server.seen.values())
    assert asked < 100
    server.goes_on.set()
    download_images.main()
    assert [row["jpeg"] for row in images()] == [jpeg(shade) for shade in range(100)]
    # Only those that were under way at the time have been asked for twice.
    assert sum(server.seen.values()) <= 100 + 4
    assert len(server.seen) == 100


def test_too_many_failures_are_an_error_and_leave_nothing_half_done(repository, server):
    params(max_failed=0.5)
    with pytest.raises(InputError) as raised:
        run([f"{server.url}/gone", "file:x", "file:y", f"{server.url}/ok/1", None, None, None])
    message = str(raised.value)
    assert "3 of 4 images failed (no such file: 2; HTTP 404: 1)" in message
    assert "download.retry_failed" in message
    assert sorted(path.name for path in Path("data").iterdir()) == [
        "catalogue",
        "failed_images.csv",
        "products.parquet",
    ]
    assert outcomes(run([f"{server.url}/gone", f"{server.url}/ok/1"]))[0] == ("failed", "HTTP 404")


def failed_images():
    with Path("data/failed_images.csv").open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["sku", "reference", "reason"]
    return rows


def test_each_failed_image_is_listed_with_what_the_catalogue_says(repository, server):
    gone = f"{server.url}/gone/1"
    run([f"{gone}?key=secret", "file:a, b.jpg", None, f"{server.url}/ok/1", "ftp://me:secret@x/1"])
    assert failed_images() == [
        ["0", gone, "HTTP 404"],
        ["1", "a, b.jpg", "no such file"],
        ["4", "ftp://x/1", "neither a URL nor file:, archive:, embedded: or demo:"],
    ]
    metrics = json.loads(Path("metrics/images.json").read_text(encoding="utf-8"))
    assert metrics == {
        "products": {"ok": 1, "failed": 3, "none": 1},
        "failed": {
            "HTTP 404": 1,
            "neither a URL nor file:, archive:, embedded: or demo:": 1,
            "no such file": 1,
        },
        "guessed": {},
        "classes_without_image": {},
    }
    run([f"{server.url}/ok/1"])
    assert failed_images() == []


def test_failed_images_are_listed_and_three_shown_where_too_many_failed(repository, server):
    params(max_failed=0.5)
    with pytest.raises(InputError) as raised:
        run([f"file:{n}.jpg" for n in range(9)] + [f"{server.url}/gone/1?key=secret", "file:../x"])
    assert (
        "Examples: '0.jpg' of SKU '0' (no such file); "
        f"'{server.url}/gone/1' of SKU '9' (HTTP 404); '../x' of SKU '10' (outside data.folder). "
        "data/failed_images.csv lists all of them"
    ) in str(raised.value)
    assert len(failed_images()) == 11
    assert not Path("data/images").exists()
    metrics = json.loads(Path("metrics/images.json").read_text(encoding="utf-8"))
    assert metrics["failed"] == {"no such file": 9, "HTTP 404": 1, "outside data.folder": 1}


def test_failures_of_an_earlier_run_count(repository, server):
    params(max_failed=0.4)
    for _ in range(2):
        with pytest.raises(InputError, match="1 of 2 images failed"):
            run([f"{server.url}/gone", f"{server.url}/ok/1"])


def test_an_older_folder_is_replaced_whole(repository, server):
    params(shard_rows=1)
    run([f"{server.url}/ok/{n}" for n in range(3)])
    assert len(run([f"{server.url}/ok/1"])) == 1


def test_files_outside_the_catalogue_s_folder_are_refused(repository):
    (repository / "secret.jpg").write_bytes(jpeg(1))
    catalogue = repository / "data/catalogue"
    (catalogue / "in").mkdir()
    (catalogue / "in/1.jpg").write_bytes(jpeg(2))
    (catalogue / "link.jpg").symlink_to(repository / "secret.jpg")
    (catalogue / "inner.jpg").symlink_to(catalogue / "in/1.jpg")
    (catalogue / "loop.jpg").symlink_to("loop.jpg")
    os.mkfifo(catalogue / "pipe")
    outside, no_file = ("failed", "outside data.folder"), ("failed", "no such file")
    wanted = {
        "file:in/1.jpg": ("ok", None),
        "file:in/../in/1.jpg": ("ok", None),
        "file:inner.jpg": ("ok", None),
        "file:../../secret.jpg": outside,
        f"file:{repository}/secret.jpg": no_file,  # what is looked up is below the folder
        f"file:{catalogue}/in/1.jpg": ("ok", None),
        "file:link.jpg": outside,
        "file:LINK.jpg": outside,
        # Before Python 3.13 a loop cannot be resolved.
        "file:loop.jpg": outside if sys.version_info < (3, 13) else no_file,
        "file:in": no_file,
        "file:pipe": no_file,
        "file:a\0b": no_file,
        f"file:{'a' * 300}": no_file,
    }
    alone = {ref: outcomes(run([ref]))[0] for ref in wanted}  # or guesses would be shared
    assert alone == wanted


def test_images_that_dvc_has_linked_to_its_cache_are_read(repository):
    """As `dvc add` does where `cache.type` is symlink."""
    cached = repository / f".dvc/cache/files/md5/45/{'e58b' * 7}ab"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(jpeg(1))
    (repository / "data/catalogue/linked.jpg").symlink_to(cached)
    assert outcomes(run(["file:linked.jpg", "file:LINKED"])) == [
        ("ok", None),
        ("failed", "another reference fits the same file"),
    ]
    (repository / "data/catalogue/link").symlink_to(repository)
    inner = cached.relative_to(repository)
    for path in (f"../../{inner}", str(cached), f"link/{inner}"):
        assert outcomes(run([f"file:{path}"]))[0][0] == "failed"


PATHS = ["images\\0.jpg", "/images/1.jpg", "./images/2.jpg", "images/Thé.jpg", "images/4.JPG"]
PATHS += ["images/5", "6", "7.jpg", "data/catalogue/images/8.jpg", "images/a%20b.jpg"]
REFUSED = {
    "C:\\me\\images\\0.jpg": "a path on a Windows drive, not one in ",
    "file:///images/0.jpg": "a file:// address, not a path in ",
    "../0.jpg": "outside ",
}
FILES = ["0.jpg", "1.jpg", "2.jpg", "The\u0301.jpg", *(f"{n}.jpg" for n in range(4, 9)), "a b.jpg"]


@pytest.mark.parametrize("source", ["file", "archive"])
def test_paths_as_people_write_them_mean_the_same_in_a_folder_and_in_an_archive(
    repository, source, capsys
):
    params(archive="a.zip" if source == "archive" else None)
    catalogue = repository / "data/catalogue"
    (catalogue / "images").mkdir()
    with zipfile.ZipFile(catalogue / "a.zip", "w") as archive:
        for shade, name in enumerate(FILES):
            if source == "archive":
                archive.writestr(f"images/{name}", jpeg(shade))
            else:
                (catalogue / "images" / name).write_bytes(jpeg(shade))
    rows = run([f"{source}:{path}" for path in [*PATHS, *REFUSED, "mugs/0.jpg", "1.png"]])
    assert [row["jpeg"] for row in rows[: len(PATHS)]] == [jpeg(n) for n in range(len(PATHS))]
    place = "data.folder" if source == "file" else "the archive"
    missing = "no such file" if source == "file" else "not in the archive"
    reasons = [row["reason"] for row in rows[len(PATHS) :]]
    assert reasons == [*(reason + place for reason in REFUSED.values()), missing, missing]
    guessed = {
        "in a folder that they do not name": 2,
        "in another case": 1,
        "with %20 and the like decoded": 1,
        "without their ending": 1,
    }
    assert json.loads(Path("metrics/images.json").read_text())["guessed"] == guessed
    assert capsys.readouterr().out.endswith(
        "0 without an image; 5 matched by a guess, the only file that fits (in a folder that they "
        "do not name: 2; in another case: 1; with %20 and the like decoded: 1; without their "
        "ending: 1)\n"
    )


def test_a_folder_is_listed_once_and_only_where_a_path_is_not_exact(repository, monkeypatch):
    folder = repository / "data/catalogue/images"
    folder.mkdir()
    for shade in range(20):
        (folder / f"{shade}.jpg").write_bytes(jpeg(shade))
    listed = []
    walk = os.walk
    monkeypatch.setattr(os, "walk", lambda top: listed.append(top) or walk(top))
    run([f"file:images/{shade}.jpg" for shade in range(20)])
    assert listed == []
    run([f"file:{shade}.jpg" for shade in range(20)])
    assert len(listed) == 1


def test_a_file_that_is_too_large_is_refused(repository):
    params(max_bytes=10)
    (repository / "data/catalogue/1.jpg").write_bytes(jpeg(1))
    assert outcomes(run(["file:1.jpg"])) == [("failed", "more than 10 bytes")]


def test_images_come_from_an_archive(repository):
    params(archive="images.zip", shard_rows=3)
    with zipfile.ZipFile(repository / "data/catalogue/images.zip", "w") as archive:
        for shade in reversed(range(20)):
            archive.writestr(f"images/{shade}.jpg", jpeg(shade))
        archive.writestr("images/text.jpg", b"not an image")
    rows = run(
        [f"archive:{shade}.jpg" for shade in range(20)] + ["archive:text.jpg", "archive:x/9.jpg"]
    )
    assert [row["jpeg"] for row in rows[:20]] == [jpeg(shade) for shade in range(20)]
    assert outcomes(rows[20:]) == [("failed", "text"), ("failed", "not in the archive")]


def test_the_archive_may_be_a_link_to_a_file_elsewhere(repository):
    params(archive="images.zip")
    with zipfile.ZipFile(repository / "elsewhere.zip", "w") as archive:
        archive.writestr("1.jpg", jpeg(1))
    (repository / "data/catalogue/images.zip").symlink_to(repository / "elsewhere.zip")
    assert outcomes(run(["archive:1.jpg"])) == [("ok", None)]


@pytest.mark.parametrize(
    ("archive", "message"),
    [
        (None, "data.table.archive is null"),
        ("gone.zip", "is not there"),
        ("../../params.yaml", "outside"),
        ("http://127.0.0.1:9/a.zip", "cannot be fetched"),
    ],
)
def test_an_archive_that_cannot_be_read_is_an_error(repository, archive, message):
    params(archive=archive)
    with pytest.raises(InputError, match=message):
        run(["archive:1.jpg"])
    assert not Path("data/images").exists()


def test_the_demo_draws_its_own(repository):
    reference = "demo:phone?look=81&colour=Navy&shot=2"
    assert run([reference])[0]["jpeg"] == draw(reference)
    params(size=96)
    assert run([reference])[0]["jpeg"] == to_jpeg(draw(reference), 96)


def test_another_size_converts_what_was_fetched_anew(repository, server):
    url = f"{server.url}/ok/1"
    assert run([url])[0]["jpeg"] == jpeg(1)
    params(size=96)
    assert Image.open(io.BytesIO(run([url])[0]["jpeg"])).size == (96, 96)
    params()
    assert run([url])[0]["jpeg"] == jpeg(1)
    assert server.seen == {"/ok/1": 2}


@pytest.mark.skipif(not (SAMPLE / "serve.py").exists(), reason="the sample is not here")
def test_every_image_of_the_sample_comes_from_a_host_with_faults(repository):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = f"--port {port} --fail 0.2 --slow-s 0.2".split()
    command = [sys.executable, str(SAMPLE / "serve.py"), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        process.stdout.readline()  # it is ready
        try:
            params(mirror=f"http://127.0.0.1:{port}", retries=10)
            sample = json.loads((SAMPLE / "products.json").read_text(encoding="utf-8"))
            rows = run([product["image"] for product in sample])
        finally:
            process.kill()
    assert Counter(outcomes(rows)) == {("ok", None): 1818, ("failed", "HTTP 404"): 28}


def test_classes_without_any_image_are_said(repository, server, capsys):
    references = [f"{server.url}/ok/1", None, f"{server.url}/gone", f"{server.url}/gone", None]
    labels = ["Radios", "Radios", "Lamps", "Lamps", "TVs"]
    products(references)
    table = read_table(Path("data/products.parquet"))
    place = table.schema.get_field_index("label")
    table = table.set_column(place, table.schema.field(place), pa.array(labels))
    write_table(Path("data/products.parquet"), table)
    download_images.main()
    said = "classes of which no product has an image: 2 (Lamps: 2; TVs: 1)"
    assert said in capsys.readouterr().out
    metrics = json.loads(Path("metrics/images.json").read_text(encoding="utf-8"))
    assert metrics["classes_without_image"] == {"Lamps": 2, "TVs": 1}


def test_a_catalogue_without_images_is_no_error(repository):
    params(max_failed=0.0)
    assert outcomes(run([None, None])) == [("none", None)] * 2
    metrics = json.loads(Path("metrics/images.json").read_text(encoding="utf-8"))
    assert metrics["classes_without_image"] == {}  # where none has one it is no news
