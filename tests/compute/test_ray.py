"""Work on a cluster of two machines gives what it gives here, also where one of them is lost.

The second machine sees neither the repository nor the folder that the tests work in.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import ray
from helpers.batch import labels, products, write_csv
from helpers.clusters import can_hide, hidden_node
from helpers.features_to_train import Products
from helpers.http_host import Busy, serving, settings
from helpers.models import image_of, make_model
from helpers.repository import TOP

from serving.batch.options import Options
from serving.batch.run import predict_table
from serving.model import ServedModel
from serving.predictor import Predictor
from stages import train
from stages.common.errors import InputError
from stages.common.tables import PRODUCTS
from stages.compute.loader import Loader
from stages.compute.ray import AHEAD, Cores, RayWorkers
from stages.download.image_loader import Catalogue
from stages.download.product_images import write_product_images
from stages.encoders.distributed import BATCH, DistributedEncoder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the driver works in."""
    return tmp_path_factory.mktemp("project")


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder for temporary files of the second machine."""
    return tmp_path_factory.mktemp("copies")


@pytest.fixture(scope="module")
def cluster(folder: Path, copies: Path) -> Iterator[Any]:
    """A cluster of two machines of one core each, to which this process is connected."""
    from ray.cluster_utils import Cluster

    machine = {"num_cpus": 1, "object_store_memory": 100 * 2**20, "include_dashboard": False}
    often = {"health_check_period_ms": 500}  # so that a machine that was lost is soon given up
    head = machine | {"_system_config": often}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    os.environ["RAY_ADDRESS"] = cluster.address
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # no machine can import it
    try:
        RayWorkers()  # connects
        with hidden_node(cluster.address, [TOP, folder], copies):
            yield cluster
    finally:
        del os.environ["RAY_ADDRESS"]
        ray.shutdown()
        cluster.shutdown()


@pytest.fixture(autouse=True)
def in_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


class Lengths:
    """An encoder that anyone can check: how many characters and words a text has."""

    n_features = 2

    def encode(self, batch: list[str]) -> np.ndarray:
        return np.array([[len(text), len(text.split())] for text in batch], dtype=np.float32)


def loader(key: str, key_here: str) -> Loader[Lengths]:
    return Loader(Lengths, key, lambda: key_here)


def test_vectors_come_in_the_order_of_the_inputs(cluster: Any) -> None:
    texts = ["word " * (at % 97) for at in range(5 * BATCH + 3)]
    encoder = DistributedEncoder(loader("a", "a"), RayWorkers())
    np.testing.assert_array_equal(encoder.encode(texts), Lengths().encode(texts))
    assert encoder.encode([]).shape == (0, 2)


def test_a_machine_that_would_give_other_vectors_is_refused(cluster: Any) -> None:
    with pytest.raises(InputError, match=r"would give different results.*machines of one kind"):
        DistributedEncoder(loader("here", "there"), RayWorkers())


@pytest.mark.parametrize(
    ("classifier", "folds"),
    # The SVM's only fold is fewer units than cores: each member is fitted by itself.
    [("logistic_regression", 2), ("svm", 1)],
)
def test_models_have_the_same_bytes(
    cluster: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, classifier: str, folds: int
) -> None:
    found = {}
    monkeypatch.setattr("sys.argv", ["train", "--classifier", classifier])
    for compute in ("local", "ray"):
        to_train = Products()
        to_train.params["compute"] = compute
        to_train.roles = to_train.roles[:, :folds]
        to_train.write()
        train.main()
        files = sorted(path for path in (folder / "models").rglob("*") if path.is_file())
        found[compute] = {str(file.relative_to(folder)): file.read_bytes() for file in files}
        shutil.rmtree(folder / "models")
    assert found["ray"] == found["local"]


def test_predictions_have_the_same_bytes(
    cluster: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.batch.run.CHUNK", 8)  # several parts
    rows = products(50)
    for row, label in zip(rows, labels(50), strict=True):
        Path(f"{row['sku']}.jpg").write_bytes(image_of(label))
    write_csv(Path("new.csv"), [row | {"image": f"{row['sku']}.jpg"} for row in rows[:49]])
    model, found = make_model(folder / "model"), {}
    columns = {"image_path": "image"}
    for compute in ("local", "ray"):
        if compute == "ray":  # here; on the machines it stays as it is
            monkeypatch.setattr(Predictor, "predict_products", lambda *_, **__: pytest.fail())
        output = Path(f"{compute}.parquet")
        options = Options(Path("new.csv"), output, model, columns=columns, compute=compute)
        summary = predict_table(options)
        assert summary.words().startswith("49 rows: 49 filed")
        found[compute] = output.read_bytes()
    assert found["ray"] == found["local"]


def test_images_have_the_same_bytes_and_a_host_its_limit(cluster: Any, tmp_path: Path) -> None:
    bodies = [image_of(label) for label in labels(4)]
    texts = dict.fromkeys(("name", "description", "manufacturer", "label"), "x")
    found, most = {}, {}
    for compute in ("local", "ray"):
        answer = Busy(lambda path: bodies[int(path[1:]) % 4])
        with serving() as host:
            host.answers |= {f"/{i}": [answer] for i in range(60)} | {"/7": [404]}
            mirror, folder = Catalogue(tmp_path, host.url, None), tmp_path / compute
            images = [f"http://shop.example/{i % 60}" for i in range(80)]
            rows = [{"sku": str(i), **texts, "image": image} for i, image in enumerate(images)]
            table = pa.Table.from_pylist(rows, schema=PRODUCTS)
            shutil.rmtree(".cache", ignore_errors=True)
            limits = settings(per_host=3)
            outcome = write_product_images(table, folder, mirror, limits, 64, compute, print)
        found[compute] = [file.read_bytes() for file in sorted(folder.iterdir())], outcome
        most[compute] = answer.most
        assert len(host.seen) == len({path for path, _ in host.seen}) == 60
    assert found["ray"] == found["local"]
    assert most == {"local": 3, "ray": 2}  # of three for two machines, each has one


def meet(place: Path, name: str) -> None:
    """Wait until two of different names are in a folder, so that both have something to do."""
    place.mkdir(exist_ok=True)
    (place / name).touch()
    deadline = time.monotonic() + 60
    while len(list(place.iterdir())) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)


def where_and_what(file: Path, place: Path) -> tuple[str, str, str]:
    """Return the node, its working folder, and what is in a file of it."""
    node = ray.get_runtime_context().get_node_id()
    meet(place, node)
    return node, str(Path.cwd()), file.read_text()


@pytest.mark.skipif(not can_hide(), reason="no folder can be hidden from a process here")
def test_a_machine_that_does_not_share_the_folder_reads_a_copy(
    cluster: Any, folder: Path, copies: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = folder / "read" / "some.txt"
    file.parent.mkdir()
    (folder / "not read.txt").touch()

    def found() -> tuple[str, Path]:
        """Return what the machines read, and the place of the copy."""
        asked = partial(where_and_what, file.relative_to(folder))
        met = Path(mkdtemp(dir=tmp_path))
        places = set(RayWorkers(reads=[file.parent]).map(asked, [met] * 2))
        assert len({node for node, _, _ in places}) == 2
        (place,) = {place for _, place, _ in places} - {str(folder)}
        (text,) = {text for _, _, text in places}
        return text, Path(place) / "read" / "some.txt"

    file.write_text("one")
    text, copy = found()
    assert text == "one"
    assert copy.is_relative_to(copies)
    assert "copied to 1 of 2 machines, which do not share" in capsys.readouterr().err
    assert not list(copies.rglob("not read.txt"))
    first = copy.stat()
    assert found() == ("one", copy)
    assert copy.stat().st_ino == first.st_ino  # it is not copied again
    assert not capsys.readouterr().err
    file.write_text("two")
    assert found() == ("two", copy)


def test_an_endpoint_is_not_asked_by_all_machines(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model(tmp_path / "model", "text")
    table = write_csv(tmp_path / "new.csv", products(9))
    monkeypatch.setattr(ServedModel, "remote_encoders", ["small"])
    options = Options(table, tmp_path / "out.csv", model, compute="ray")
    with pytest.raises(InputError, match=r"vectors of small from an endpoint.*leave out --compute"):
        predict_table(options)
    assert not options.output.exists()


def test_an_error_of_a_unit_is_raised_as_it_is(cluster: Any) -> None:
    def fails() -> None:
        raise InputError("fold 2, text: too few")

    with pytest.raises(InputError, match=r"^fold 2, text: too few$"):
        list(Cores(memory=0)([lambda: None, fails]))


def test_a_task_that_ends_each_process_is_given_up(
    cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stages.compute.ray.RETRIES", 1)
    with pytest.raises(InputError, match=r"ended each process of the cluster that tried it"):
        list(RayWorkers().map(lambda _: os._exit(1), [None]))


def test_memory_that_no_machine_has_is_named(cluster: Any) -> None:
    with pytest.raises(InputError, match=r"takes 1000000.0 GB .* add a larger one"):
        list(Cores(memory=10**15)([lambda: None]))


@pytest.mark.parametrize("in_order", [True, False])
def test_what_a_lost_machine_had_is_done_by_the_other(
    cluster: Any, tmp_path: Path, in_order: bool
) -> None:
    third = cluster.add_node(num_cpus=1, object_store_memory=100 * 2**20)
    called = tmp_path / "called"
    called.mkdir()

    def square(n: int) -> int:
        (called / f"{n} {time.monotonic_ns()}").touch()
        time.sleep(0.2)
        return n * n

    found, workers = [], RayWorkers()
    results = workers.map if in_order else partial(workers.map_unordered, at_most=workers.n)
    for at, result in enumerate(results(square, range(16))):
        found.append(result)
        if at == 5:
            cluster.remove_node(third, allow_graceful=False)
    assert (found if in_order else sorted(found)) == [n * n for n in range(16)]
    assert 16 <= len(list(called.iterdir())) <= 16 + 3 * AHEAD


def node_and_gpu(place: Path) -> tuple[str, str]:
    """Return the node, and the GPUs that the task has of it."""
    context = ray.get_runtime_context()
    node, gpus = context.get_node_id(), ",".join(context.get_accelerator_ids()["GPU"])
    meet(place, gpus or node)
    return node, gpus


def test_gpus_encode_and_tune_where_there_are_any(cluster: Any, tmp_path: Path) -> None:
    with_gpus = cluster.add_node(num_cpus=2, num_gpus=2, object_store_memory=100 * 2**20)
    tunes = partial(node_and_gpu, tmp_path / "tuned")
    try:
        found = set(RayWorkers().map(node_and_gpu, [tmp_path / "found"] * 4))
        tuned = set(Cores(0, may_use_gpus=True)([tunes] * 4))
        elsewhere = set(RayWorkers(use_gpus=False).map(node_and_gpu, [tmp_path / "elsewhere"] * 6))
    finally:
        cluster.remove_node(with_gpus)
    assert found == tuned == {(with_gpus.node_id, "0"), (with_gpus.node_id, "1")}
    assert len({node for node, _ in elsewhere}) > 1
    assert {gpu for _, gpu in elsewhere} == {""}


def test_where_no_cluster_answers_it_is_said(tmp_path: Path) -> None:
    code = "from stages.compute.ray import RayWorkers; RayWorkers()"
    places = [str(TOP), *sys.path[1:]]
    env = os.environ | {"RAY_ADDRESS": "127.0.0.1:1", "PYTHONPATH": os.pathsep.join(places)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert "no Ray cluster answers at RAY_ADDRESS=127.0.0.1:1" in done.stderr


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ConnectionError("Could not find any running Ray instance."), "Could not find any"),
        (
            RuntimeError("Version mismatch: The cluster was started with:\n    Ray: 2.9.0\n"),
            "Version mismatch: The cluster was started with: Ray: 2.9.0",
        ),
    ],
)
def test_a_cluster_that_cannot_be_joined_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    def init(**_: Any) -> None:
        raise error

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(InputError, match=rf"^the Ray cluster cannot be joined \({said}.*on each"):
        RayWorkers()
