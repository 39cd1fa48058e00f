"""Read images from a zip or tar archive, one at a time: nothing is unpacked to disk.

So an absolute path, `..` or a symbolic link in an archive leads nowhere, and no zip bomb fills the
disk.
"""

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
from stages.download.name_lookup import NameMatcher, Place, plain

Member = zipfile.ZipInfo | tarfile.TarInfo

UTF_8 = 0x800  # flag of a member of a zip whose name is in UTF-8
ZIP_STARTS = (b"PK\x03\x04", b"PK\x05\x06")  # with members, and empty
PLACE = Place("the archive", missing="not in the archive")
DAMAGE = (
    *(zipfile.BadZipFile, tarfile.TarError, EOFError, LZMAError, zlib.error, OSError),
    *(NotImplementedError, UnicodeDecodeError),  # a damaged table of a zip
)


def read_members(
    path: Path, names: Iterable[str], max_bytes: int, matcher: NameMatcher | None = None
) -> Iterator[tuple[str, bytes | Failure]]:
    """Yield (name, content) once for each of `names`; the content may be a Failure.

    Members come in the order of the archive, so that a compressed tar is read only twice, once for
    its table and once for its members. Names that are not in the archive come first. Only files
    are members, and hard links to them; of members with the same name, the last one is taken.

    `matcher` finds the members that the names mean, and counts those that it had to guess.

    Raises InputError where the file is not a zip or tar (plain, gz, bz2 or xz), or is damaged as a
    whole. A member that is damaged, encrypted or larger than `max_bytes` is a Failure.
    """
    with _opened(path) as archive:
        members = _members(archive)
        found: dict[str, list[str]] = defaultdict(list)
        matches = (matcher or NameMatcher()).match(names, members.__contains__, members.keys, PLACE)
        for name, match in matches.items():
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


def _members(archive: zipfile.ZipFile | tarfile.TarFile) -> Mapping[str, Member]:
    """Return the files of an archive by their plain names."""
    if isinstance(archive, zipfile.ZipFile):
        return {
            plain(_zip_name(entry)): entry for entry in archive.infolist() if not entry.is_dir()
        }
    files: dict[str, Member] = {}
    for entry in archive:
        if entry.isreg():
            files[plain(entry.name)] = entry
        elif entry.islnk() and (target := files.get(plain(entry.linkname))):
            files[plain(entry.name)] = target  # a hard link comes after its file
    return files


def _zip_name(entry: zipfile.ZipInfo) -> str:
    """Return a member's name. A Mac writes it in UTF-8 and does not say so."""
    if entry.flag_bits & UTF_8:
        return entry.filename
    try:
        return entry.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return entry.filename


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
