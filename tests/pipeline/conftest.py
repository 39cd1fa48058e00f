"""A small demo catalogue that is built once, whatever the number of processes that test."""

from pathlib import Path

import pytest
from filelock import FileLock
from helpers.copies import Copy, small


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory, request) -> Path:
    """The folder of a copy that is built and committed; it stays as it is."""
    base = tmp_path_factory.getbasetemp()
    # Processes of pytest-xdist have folders of their own, side by side.
    shared = base.parent if hasattr(request.config, "workerinput") else base
    top, done = shared / "pipeline", shared / "pipeline.built"
    with FileLock(shared / "pipeline.lock"):
        if not done.exists():
            top.mkdir(exist_ok=True)  # a try that failed has left it
            copy = Copy(top, small)
            copy.repro()
            copy.commit()
            done.touch()
    return top


@pytest.fixture(scope="module")
def built(pipeline, tmp_path_factory) -> Copy:
    """A copy of its own for each file of tests."""
    return Copy.of(pipeline, tmp_path_factory.mktemp("copy"))


@pytest.fixture
def copy(built):
    """The built copy; what a test does to it is undone."""
    yield built
    built.back()
