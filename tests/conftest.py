"""What all tests share."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the longest file first, so that no process is left with it in the end."""
    items.sort(key=lambda item: "test_repro.py" not in item.nodeid)
