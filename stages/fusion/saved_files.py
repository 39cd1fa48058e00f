"""What was fitted in another process, as the files that it is saved in."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from stages.common.files import atomic_file


class Savable(Protocol):
    """What writes itself into an empty folder."""

    def save(self, folder: Path) -> None:
        """Write files into `folder`."""


@dataclass(frozen=True)
class SavedFiles:
    """The files of what was made in another process, by path.

    A copy of an estimator would write other bytes: parts of it that were one object are several.
    """

    files: dict[str, bytes]

    @classmethod
    def of(cls, made: Savable) -> "SavedFiles":
        """Save what was made, and keep its files."""
        with TemporaryDirectory() as name:
            made.save(Path(name))
            files = sorted(path for path in Path(name).rglob("*") if path.is_file())
            return cls({str(path.relative_to(name)): path.read_bytes() for path in files})

    def save(self, folder: Path) -> None:
        """Write the files into `folder`."""
        for name, content in self.files.items():
            with atomic_file(folder / name) as part:
                part.write_bytes(content)
