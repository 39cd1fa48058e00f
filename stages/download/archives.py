"""Read images from a zip or tar archive, one at a time: nothing is unpacked to disk.

So an absolute path, `..` or a link in an archive leads nowhere, and no zip bomb fills the disk.
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
from stages.download.failures import Failure, too_large

Member = zipfile.ZipInfo | tarfile.TarInfo

ZIP_STARTS = (b"PK\x03\x04", b"PK\x05\x06")  # with members, and empty
DAMAGE = (
    *(zipfile.BadZipFile, tarfile.TarError, EOFError, LZMAError, zlib.error, OSError),
    *(NotImplementedError, UnicodeDecodeError),  # a damaged table of a zip
)


def read_members(
    path: Path, names: Iterable[str], max_bytes: int
) -> Iterator[tuple[str, bytes | Failure]]:
    r"""Yield (name, content) once for each of `names`; the content may be a Failure.

    Members come in the order of the archive, so that a compressed tar is read only twice, once for
    its table and once for its members. Names that are not in the archive come first. Only files
    are members, not links; of members with the same name, the last one is taken.

    A name is looked up as it is; then as a path below one leading folder, if only one member fits
    (`1.jpg` is `images/1.jpg`); then by its last part, if only one member has it
    (`photos/2017/1.jpg` is `images/1.jpg`). A leading `./` is ignored, and `\` means `/`.

    Raises InputError where the file is not a zip or tar (plain, gz, bz2 or xz), or is damaged as a
    whole. A member that is damaged, encrypted or larger than `max_bytes` is a Failure.
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
            f"{path} is not a zip or tar archive, or is damaged ({type(error).__name__}): check "
            "data.table.archive; a link often gives a page to sign in instead of the file"
        ) from None
    with archive:
        try:
            yield archive
        except DAMAGE as error:
            raise InputError(
                f"{path} is damaged ({type(error).__name__}): download or create it again"
            ) from None


def _members(archive: zipfile.ZipFile | tarfile.TarFile) -> dict[str, Member]:
    """Return the files of an archive by their plain names."""
    if isinstance(archive, zipfile.ZipFile):
        return {_plain(entry.filename): entry for entry in archive.infolist() if not entry.is_dir()}
    return {_plain(entry.name): entry for entry in archive if entry.isreg()}


def _offset(member: Member) -> int:
    """Return the position of a member in its archive."""
    return member.header_offset if isinstance(member, zipfile.ZipInfo) else member.offset


def _read(
    archive: zipfile.ZipFile | tarfile.TarFile, member: Member, max_bytes: int
) -> bytes | Failure:
    """Read a member; unpack no more than `max_bytes`."""
    size = member.file_size if isinstance(member, zipfile.ZipInfo) else member.size
    if size > max_bytes:
        return too_large(max_bytes)
    try:
        with _file(archive, member) as file:
            content = file.read(max_bytes + 1)
    except RuntimeError:  # what zipfile raises without a password or for an unknown compression
        return Failure("encrypted, or packed in an unknown way")
    except DAMAGE:
        return Failure("damaged in the archive")
    return content if len(content) <= max_bytes else too_large(max_bytes)


def _file(archive: zipfile.ZipFile | tarfile.TarFile, member: Member) -> IO[bytes]:
    if isinstance(archive, zipfile.ZipFile):
        assert isinstance(member, zipfile.ZipInfo)
        return archive.open(member)
    assert isinstance(member, tarfile.TarInfo)
    file = archive.extractfile(member)
    assert file is not None  # only regular files are among the members
    return file


class _Index:
    """Finds the member that a name refers to."""

    def __init__(self, names: Mapping[str, Member]) -> None:
        self._names = names
        self._below: dict[str, list[str]] = defaultdict(list)
        self._ends: dict[str, list[str]] = defaultdict(list)
        for name in names:
            if "/" in name:
                self._below[name.partition("/")[2]].append(name)
            self._ends[posixpath.basename(name)].append(name)

    def find(self, name: str) -> str | Failure:
        """Return the plain name of the member that `name` refers to, or why there is none."""
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
