"""A built copy of the repository whose products are a table with pictures."""

import pytest
from helpers.copies import Copy, own_table, write_catalogue


@pytest.fixture(scope="session")
def built(tmp_path_factory) -> Copy:
    copy = Copy(tmp_path_factory.mktemp("copy"), own_table)
    write_catalogue(copy.top / "data/catalogue")
    copy.repro()
    copy.commit()
    return copy


@pytest.fixture
def copy(built):
    """The built copy; what a test does to it is undone."""
    yield built
    built.back()
