"""Why something could not be downloaded: as a result, and as exceptions inside this room."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Failure:
    """Why there is no image: a short reason without credentials, equal for equal causes."""

    reason: str


def too_large(max_bytes: int) -> Failure:
    """Return the failure of content with more than `max_bytes` bytes."""
    return Failure(f"more than {max_bytes:,} bytes")


class RequestError(Exception):
    """A request failed, and another one would fail as well."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class TemporaryError(RequestError):
    """A request failed, and another one may succeed after a pause of at least `wait_s` seconds."""

    def __init__(self, reason: str, wait_s: float = 0) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class DiskFullError(RequestError):
    """A file is larger than the free space of the disk."""
