"""What the rooms say of params.yaml, in the words of the command line."""

from collections.abc import Iterator
from contextlib import contextmanager

from stages.common.errors import InputError

# In this order: what comes first may contain what comes later.
_WORDS = (
    (" (data.table.path)", ""),
    ("data.table.path is", "the table is"),
    (", or correct data.table.path", ""),
    (" or correct data.table.path", ""),
    (", or correct the names under data.table", ""),
    ("correct the names under data.table", "correct the names in --column"),
    (": set it to null", ": leave it out"),
    (", or set data.mirror to a host that has the file", ""),
    ("data.table.sheet", "--sheet"),
    ("name its encoding in data.table.encoding", "name its encoding with --encoding"),
    ("data.table.encoding", "--encoding"),
    ("data.table.archive", "--archive"),
    ("data.table.image_path", "--column image_path=..."),
    ("data.table.image_url", "--column image_url=..."),
    ("data.folder", "--images"),
    ("`compute: ray`", "`--compute ray`"),
    ("set `compute: local`", "leave out `--compute ray`"),
    ("run `dvc repro` again", "run the same command again"),
    ("run `dvc repro`", "run the same command again"),
)


def in_flags(text: str) -> str:
    """Return a message with the flags of serving.predict where it names keys of params.yaml."""
    for key, flag in _WORDS:
        text = text.replace(key, flag)
    return text


@contextmanager
def errors_in_flags() -> Iterator[None]:
    """Raise an InputError of the block again, in the words of the command line."""
    try:
        yield
    except InputError as error:
        raise InputError(in_flags(str(error))) from error
