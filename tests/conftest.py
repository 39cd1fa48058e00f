"""What all tests share."""

import pytest

SLOWEST = ("test_repro.py", "test_commands.py")  # they run the pipeline again and again


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the slowest files first, so that no process is left alone with them in the end."""
    items.sort(key=lambda item: item.path.name not in SLOWEST)
