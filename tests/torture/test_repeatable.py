"""`dvc repro --force` gives the bytes that it gave: with other threads, elsewhere, in other orders.

What differs from run to run by itself (hash seeds, addresses, times) differs here as well.
"""

import os
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest
from helpers.copies import Copy, small

THREADS = (
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"),
    *("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"),
)
ELSEWHERE = {
    "LC_ALL": "C",
    "PYTHONCOERCECLOCALE": "0",  # or Python would make that locale one of UTF-8
    "PYTHONUTF8": "0",
    "TZ": "Asia/Kathmandu",
    "PYTHONPATH": str(Path(__file__).parent / "elsewhere"),
}


def every_classifier_and_several_shards(params):
    mlp = params["classifiers"]["mlp"]
    small(params)
    params["classifiers"]["mlp"] = mlp
    mlp["max_epochs"] = 10
    params["download"]["shard_rows"] = 50


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Copy:
    copy = Copy(tmp_path_factory.mktemp("copy"), every_classifier_and_several_shards)
    copy.repro()
    copy.commit()
    return copy


@contextmanager
def one_core():
    """Have what is started meanwhile compute on one core, whichever library counts them."""
    if not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2:
        pytest.skip("this takes a second core, and a system that can withhold it")
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def check_that_all_is_built_again_to_the_same_bytes(copy, **variables):
    lock, wanted = (copy.top / "dvc.lock").read_bytes(), copy.outputs()
    shutil.rmtree(copy.top / ".cache")
    ran = copy.repro("--force", "--no-run-cache", **variables)
    assert sorted(ran) == sorted(copy.stages())
    found = copy.outputs()
    names = sorted(wanted.keys() | found.keys())
    assert [name for name in names if wanted.get(name) != found.get(name)] == []
    assert (copy.top / "dvc.lock").read_bytes() == lock


def test_on_one_core(copy):
    with one_core():
        check_that_all_is_built_again_to_the_same_bytes(copy)


@pytest.mark.parametrize("threads", ["1", "4"])
def test_with_another_number_of_threads(copy, threads):
    check_that_all_is_built_again_to_the_same_bytes(copy, **dict.fromkeys(THREADS, threads))


def test_in_another_locale_time_zone_and_order_of_files(copy):
    check_that_all_is_built_again_to_the_same_bytes(copy, **ELSEWHERE)
