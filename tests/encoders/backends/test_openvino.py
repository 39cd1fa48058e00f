"""The network keeps rows in order, takes them as it goes, and ends cleanly when they fail."""

import shutil
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from helpers.repository import TOP

from stages.common.openvino import import_openvino
from stages.encoders.backends.base import Backend
from stages.encoders.backends.openvino import (
    MAX_CONVERTED,
    OpenVinoNetwork,
    converted,
    exported_network,
)

ov = import_openvino()
ops = ov.opset13


def doubling(low_latency=False):
    """Return a network that doubles two numbers."""
    backend = Backend("openvino", "float32", low_latency=low_latency)
    return OpenVinoNetwork(doubling_model(), backend)


def doubling_model():
    row = ops.parameter([1, 2], np.float32)
    return ov.Model([ops.multiply(row, np.float32(2))], [row])


@pytest.fixture(scope="module")
def network():
    return doubling()


def rows(count):
    for i in range(count):
        yield (np.array([[i, -i]], dtype=np.float32),)


def test_vectors_come_in_the_order_of_the_rows(network):
    assert network.n_features == 2
    found = network.run(rows(500))
    assert found.dtype == np.float32
    assert np.array_equal(found, [[2 * i, -2 * i] for i in range(500)])


def test_no_rows_give_no_vectors(network):
    assert network.run(rows(0)).shape == (0, 2)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 50])
def test_a_row_that_comes_alone_may_be_computed_by_all_cores(count):
    assert np.array_equal(doubling(True).run(rows(count)), doubling().run(rows(count)))


def test_networks_of_several_threads_take_turns_with_their_first_rows_prepared():
    is_running, may_end, is_prepared = (threading.Event() for _ in range(3))

    def slow():
        yield from rows(5)
        is_running.set()
        assert may_end.wait(30)

    def others():
        is_prepared.set()
        yield from rows(3)

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(doubling(True).run, slow())
        assert is_running.wait(30)
        second = threads.submit(doubling(True).run, others())
        assert is_prepared.wait(30)
        with pytest.raises(TimeoutError):
            second.result(0.2)
        may_end.set()
        assert first.result(30).shape == (5, 2)
        assert second.result(30).shape == (3, 2)


def test_rows_are_taken_as_the_network_gets_to_them(network):
    alive = []

    class Inputs(np.ndarray):
        """An array of which one can see whether it is still held."""

    def watched():
        for (row,) in rows(1000):
            inputs = row.view(Inputs)
            alive.append(weakref.ref(inputs))
            held = sum(reference() is not None for reference in alive)
            assert held < 50
            yield (inputs,)

    assert len(network.run(watched())) == 1000


@pytest.mark.parametrize("low_latency", [False, True])
def test_a_row_s_buffer_may_be_used_again(low_latency):
    network = doubling(low_latency)

    def shared():
        buffer = np.zeros((1, 2), dtype=np.float32)
        for i in range(200):
            buffer[:] = i
            yield (buffer,)

    found = network.run(shared())
    assert np.array_equal(found[:, 0], 2 * np.arange(200))


def test_an_error_while_rows_are_made_ends_the_run_with_it(network):
    def broken():
        yield from rows(7)
        raise ValueError("a damaged image")

    for _ in range(20):
        with pytest.raises(ValueError, match="a damaged image"):
            network.run(broken())
    assert len(network.run(rows(5))) == 5


def test_a_network_stays_the_one_that_was_read_where_another_is_copied_over_it(tmp_path):
    ov.save_model(doubling_model(), tmp_path / "model.xml", compress_to_fp16=False)
    network = OpenVinoNetwork(exported_network(tmp_path), Backend("openvino", "float32"))
    weights = tmp_path / "model.bin"
    with weights.open("r+b") as file:  # in place, as `cp` does
        file.write(bytes(weights.stat().st_size))
    assert network.run(rows(3))[2].tolist() == [4, -4]


def test_converting_a_network_tells_nobody(tmp_path):
    script = """
import socket, sys
from pathlib import Path
def refuse(*arguments):
    raise SystemExit(f"asked for {arguments}")
socket.getaddrinfo = refuse
from stages.common.openvino import import_openvino
ov = import_openvino()
import torch
ov.convert_model(torch.nn.Linear(2, 2), example_input=torch.zeros(1, 2))
assert "openvino_telemetry.main" not in sys.modules
assert list(Path.home().iterdir()) == [], list(Path.home().iterdir())
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"HOME": str(tmp_path), "PYTHONPATH": str(TOP), "PATH": ""},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_network_is_converted_once_and_again_when_it_was_deleted_or_damaged(own_cache):
    calls = []

    def convert(folder):
        calls.append(folder)
        (folder / "beside").write_text("kept")
        return doubling_model()

    def run():
        model, folder = converted("doubling", convert)
        network = OpenVinoNetwork(model, Backend("openvino", "float32"))
        assert network.run(rows(3))[2].tolist() == [4, -4]
        assert (folder / "beside").read_text() == "kept"
        return folder

    folder = run()
    assert run() == folder == own_cache / "networks" / "doubling"
    assert len(calls) == 1
    (folder / "model.xml").write_text("no network")
    run()
    shutil.rmtree(folder)
    run()
    assert len(calls) == 3


def test_the_networks_that_were_used_last_are_kept(own_cache):
    for i in range(MAX_CONVERTED + 2):
        converted(f"network{i}", lambda _: doubling_model())
        converted("often", lambda _: doubling_model())
    names = {folder.name for folder in (own_cache / "networks").iterdir()} - {".lock"}
    assert names == {"often", *(f"network{i}" for i in range(3, MAX_CONVERTED + 2))}


def test_what_a_killed_conversion_left_goes_with_the_next_network(own_cache):
    left = own_cache / "networks" / ".killed.x1.part" / "killed"
    left.mkdir(parents=True)
    (left / "model.bin").write_bytes(b"half of a network")
    converted("another", lambda _: doubling_model())
    assert not left.parent.exists()


def test_a_conversion_that_fails_leaves_nothing(own_cache):
    def broken(folder):
        (folder / "beside").touch()
        raise ValueError("no such network")

    with pytest.raises(ValueError, match="no such network"):
        converted("broken", broken)
    assert not list((own_cache / "networks").glob("*broken*"))
