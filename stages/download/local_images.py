"""Images that need no network: files in the catalogue's folder, and drawings of the demo."""

from pathlib import Path

from stages.common.image_ref import ImageRef
from stages.download.failures import Failure, too_large
from stages.download.image_conversion import ImageError, to_jpeg


def load_local(reference: ImageRef, *, folder: Path, max_bytes: int, size: int) -> bytes | Failure:
    """Return the JPEG of a file in `folder` or of a drawing, or why there is none."""
    if reference.scheme == "demo":
        from stages.download.demo_images import draw

        return convert(draw(str(reference)), size)
    path = path_inside(folder, reference.location)
    if path is None:
        return Failure("outside data.folder")
    try:
        if not path.is_file():
            return Failure("no such file")
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
    """Return the path of `name` in `folder`, links resolved, or None where it is outside."""
    root = folder.resolve()
    try:
        path = (root / name).resolve()
    except (OSError, ValueError, RuntimeError):  # links in a circle, a null character
        return None
    return path if path.is_relative_to(root) else None
