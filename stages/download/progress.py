"""Progress bars: of a file in bytes, and of many images with their failures."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

from stages.common.progress import progress_bar
from stages.download.failures import Failure


def byte_bar(name: str, total: int | None = None) -> tqdm:
    """Return a progress bar in bytes."""
    return progress_bar(name, "B", total, unit_scale=True, unit_divisor=1024)


@contextmanager
def image_bar(
    action: str, total: int, done: int = 0, failed: int = 0, *, is_shown: bool = True
) -> Iterator[Callable[[bytes | Failure | None], None]]:
    """Give a function to call with each image, failure, or None where there is no image."""
    with progress_bar(action, " images", total, initial=done, disable=not is_shown) as bar:
        bar.set_postfix(failed=failed)

        def show(result: bytes | Failure | None) -> None:
            nonlocal failed
            if isinstance(result, Failure):
                failed += 1
                bar.set_postfix(failed=failed, refresh=False)
            bar.update()

        yield show
