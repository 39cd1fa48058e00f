"""Pictures in an archive, zip or tar, read where they are: nothing is ever unpacked to disk.

So an absolute path, `..` or a link in an archive leads nowhere, and a bomb is never blown up.
"""

import posixpath
import tarfile
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from lzma import LZMAError
from pathlib import Path
from typing import IO

from stages.common.errors import InputError
from stages.download.http import Failure, too_large

Member = zipfile.ZipInfo | tarfile.TarInfo

ZIP_STARTS = (b"PK\x03\x04", b"PK\x05\x06")  # with members, and empty
DAMAGE = (
    *(zipfile.BadZipFile, tarfile.TarError, EOFError, LZMAError, zlib.error, OSError),
    *(NotImplementedError, UnicodeDecodeError),  # a damaged table of a zip
)


def read_members(
    path: Path, names: Iterable[str], max_bytes: int
) -> Iterator[tuple[str, bytes | Failure]]:
    r"""Yield (name, content) for each of `names`, once, or why it cannot be had.

    They come in the order in which they lie in the archive, so that a compressed tar is read
    through twice, for its table and its members, however many are asked for; what is not in it
    comes first. Only files count as members, no links, and of several of one name the last.

    A name is looked for as it is; then as a path below a single leading folder, if just one member
    fits (`1.jpg` is `images/1.jpg`); then by its last part, if just one member has it
    (`pictures/2017/1.jpg` is `images/1.jpg`). A leading `./` means nothing, and `\` means `/`.

    Raises InputError where the file is no zip or tar (plain, gz, bz2 or xz), or is damaged as a
    whole; a member that is damaged, encrypted or has more than `max_bytes` is a Failure.
    """
    with _opened(path) as archive:
        members = _members(archive)
        found: dict[str, list[str]] = defaultdict(list)
        index = _Index(members)
        for name in dict.fromkeys(names):
            match = index.find(name)
            if isinstance(match, Failure):
                yield name, match
            else:
                found[match].append(name)
        for member_name in sorted(found, key=lambda name: _offset(members[name])):
            content = _read(archive, members[member_name], max_bytes)
            for name in found[member_name]:
                yield name, content


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile | tarfile.TarFile]:
    try:
        with path.open("rb") as file:
            opened = zipfile.ZipFile if file.read(4) in ZIP_STARTS else tarfile.open
        archive = opened(path)
    except FileNotFoundError:
        raise InputError(f"{path} is not there: data.table.archive names it") from None
    except DAMAGE as error:
        raise InputError(
            f"{path} is no zip or tar archive, or is damaged ({type(error).__name__}): see what "
            "data.table.archive names; a page that asks to sign in is often what was fetched"
        ) from None
    with archive:
        try:
            yield archive
        except DAMAGE as error:
            raise InputError(
                f"{path} is damaged ({type(error).__name__}): fetch or make it anew"
            ) from None


def _members(archive: zipfile.ZipFile | tarfile.TarFile) -> dict[str, Member]:
    """Return the files of an archive by their plain names."""
    if isinstance(archive, zipfile.ZipFile):
        return {_plain(entry.filename): entry for entry in archive.infolist() if not entry.is_dir()}
    return {_plain(entry.name): entry for entry in archive if entry.isreg()}


def _offset(member: Member) -> int:
    """Return where a member lies in its archive."""
    return member.header_offset if isinstance(member, zipfile.ZipInfo) else member.offset


def _read(
    archive: zipfile.ZipFile | tarfile.TarFile, member: Member, max_bytes: int
) -> bytes | Failure:
    """Read a member, of which no more is unpacked than may be."""
    size = member.file_size if isinstance(member, zipfile.ZipInfo) else member.size
    if size > max_bytes:
        return too_large(max_bytes)
    try:
        with _file(archive, member) as file:
            content = file.read(max_bytes + 1)
    except RuntimeError:  # what zipfile raises without a password or for an unknown compression
        return Failure("encrypted, or packed in a way that is not known")
    except DAMAGE:
        return Failure("damaged in the archive")
    return content if len(content) <= max_bytes else too_large(max_bytes)


def _file(archive: zipfile.ZipFile | tarfile.TarFile, member: Member) -> IO[bytes]:
    if isinstance(archive, zipfile.ZipFile):
        return archive.open(member)
    file = archive.extractfile(member)
    assert file is not None  # only regular files are among the members
    return file


class _Index:
    """Finds the one member that a name means."""

    def __init__(self, names: Mapping[str, Member]) -> None:
        self._names = names
        self._below: dict[str, list[str]] = defaultdict(list)
        self._ends: dict[str, list[str]] = defaultdict(list)
        for name in names:
            if "/" in name:
                self._below[name.partition("/")[2]].append(name)
            self._ends[posixpath.basename(name)].append(name)

    def find(self, name: str) -> str | Failure:
        """Return the plain name of the member that `name` means, or why there is none."""
        name = _plain(name)
        if name in self._names:
            return name
        for fitting in (self._below.get(name, []), self._ends.get(posixpath.basename(name), [])):
            if len(fitting) == 1:
                return fitting[0]
        several = self._ends.get(posixpath.basename(name), [])
        return Failure("several in the archive" if several else "not in the archive")


def _plain(name: str) -> str:
    """Return a member's name without a leading `./` and with `/` between its parts."""
    name = name.replace("\\", "/")
    while name.startswith("./"):
        name = name[2:].lstrip("/")
    return name
