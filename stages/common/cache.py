"""Where things are kept that outlive a run and may be deleted at any time."""

from pathlib import Path


def cache_folder() -> Path:
    """Return `.cache` at the top of the repository.

    An experiment that DVC runs elsewhere (`--temp`, `--queue`) runs in a copy below .dvc/tmp of the
    repository, and shares the repository's own.
    """
    working_folder = Path.cwd()
    for top in working_folder.parents:
        if working_folder.is_relative_to(top / ".dvc" / "tmp"):
            return top / ".cache"
    return Path(".cache")
