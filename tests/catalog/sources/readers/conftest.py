"""Tables that are written into a folder of the test, and read from there."""

import json

import pytest
from helpers.repository import TOP

from stages.catalog.sources import table
from stages.common.errors import InputError
from stages.params import load_params

SETTINGS = load_params(TOP / "params.yaml").data.table


@pytest.fixture
def read(tmp_path):
    """Return a function that reads a file of those bytes, its columns named as in params.yaml."""

    def read_table(path, content=None, **columns):
        if content is not None:
            (tmp_path / path).write_bytes(content)
        return list(table.read(SETTINGS.model_copy(update={"path": path} | columns), tmp_path))

    return read_table


@pytest.fixture
def refusal(read):
    """Return a function that returns what is said where the table is refused."""

    def read_refused(path, content=None, **columns):
        with pytest.raises(InputError) as caught:
            read(path, content, **columns)
        return str(caught.value)

    return read_refused


@pytest.fixture
def read_cell(read):
    """Return a function that returns the product of a JSON table with one cell changed."""

    def read_changed(column, value, **columns):
        row = dict.fromkeys(("sku", "name", "description", "manufacturer", "label"), "x")
        return read("one.json", json.dumps([row | {column: value}]).encode(), **columns)[0]

    return read_changed
