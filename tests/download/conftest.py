"""The host that downloads are tested against."""

from collections.abc import Iterator

import pytest
from helpers.http_host import Host, serving


@pytest.fixture
def host() -> Iterator[Host]:
    with serving() as host:
        yield host
