"""Images that need no network: files in the catalogue's folder, and drawings of the demo."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, partial
from pathlib import Path, PurePath

from stages.common.image_ref import ImageRef
from stages.download.failures import Failure, too_large
from stages.download.image_conversion import ImageError, to_jpeg
from stages.download.name_lookup import NameMatcher, Place

PLACE = Place("data.folder", missing="no such file")
_OF_DVC = re.compile(r"/files/md5/[0-9a-f]{2}/[0-9a-f]{30}$")


def find_files(
    locations: Iterable[str], folder: Path, matcher: NameMatcher
) -> dict[str, Path | Failure]:
    """Return the file in `folder` that each location means, or why there is none.

    `folder` is listed once, and only where a location is no path in it.
    """
    file_named = cache(partial(_file_inside, folder))
    names = matcher.match(
        locations,
        lambda name: isinstance(file_named(name), Path),
        partial(_names_below, folder),
        PLACE,
    )
    return {
        location: name if isinstance(name, Failure) else file_named(name)
        for location, name in names.items()
    }


def load_local(
    reference: ImageRef, *, files: Mapping[str, Path | Failure], max_bytes: int, size: int
) -> bytes | Failure:
    """Return the JPEG of a drawing or of one of `files`, by location, or why there is none."""
    if reference.scheme == "demo":
        from stages.download.demo_images import draw

        return convert(draw(str(reference)), size)
    path = files[reference.location]
    if isinstance(path, Failure):
        return path
    try:
        with path.open("rb") as file:
            content = file.read(max_bytes + 1)
    except OSError:
        return Failure("a file that cannot be read")
    return convert(content if len(content) <= max_bytes else too_large(max_bytes), size)


def convert(content: bytes | Failure, size: int) -> bytes | Failure:
    """Convert an image file to a JPEG of `size` pixels; a failure stays a failure."""
    if isinstance(content, Failure):
        return content
    try:
        return to_jpeg(content, size)
    except ImageError as error:
        return Failure(str(error))


def path_inside(folder: Path, name: str) -> Path | None:
    """Return the path of `name` in `folder`, links resolved, or None where it is outside.

    A file may be a link to DVC's cache: `dvc add` makes such links where `cache.type` is symlink.
    """
    root = folder.resolve()
    try:
        path, above = (root / name).resolve(), (root / name).parent.resolve()
    except (OSError, ValueError, RuntimeError):  # links in a circle, a null character
        return None
    is_of_dvc = above.is_relative_to(root) and _OF_DVC.search(path.as_posix())
    return path if path.is_relative_to(root) or is_of_dvc else None


def path_below(folder: Path, name: str) -> Path | None:
    """Return the path of `name` in `folder`, or None where it is outside.

    Unlike with `path_inside`, it may be a link that leads outside: for what the settings name.
    """
    path = PurePath(name)
    if path.is_absolute() or ".." in path.parts:
        return path_inside(folder, name)
    return folder / path


def _file_inside(folder: Path, name: str) -> Path | Failure:
    """Return the file with a name; a link may lead outside, and what is listed may be no file."""
    path = path_inside(folder, name)
    if path is None:
        return Failure(f"outside {PLACE.name}")
    return path if _is_file(path) else Failure(PLACE.missing)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long, a folder that may not be read
        return False


def _names_below(folder: Path) -> Iterator[str]:
    """Yield the path of each file below `folder`, relative to it, with `/` between its parts."""
    for parent, _, files in os.walk(folder):
        above = Path(parent).relative_to(folder)
        yield from ((above / file).as_posix() for file in files)
