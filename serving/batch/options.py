"""What the command line asks for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from serving.batch.parts import folder_of
from stages.catalog.sources.readers.cell_text import is_unicode
from stages.common.errors import InputError
from stages.common.file_content import is_encoding
from stages.common.image_ref import is_url
from stages.compute.selection import Compute

ENDINGS = (".parquet", ".csv")


@dataclass(frozen=True)
class Options:
    """The table to read, the model, the output to write, and how.

    `columns` has the columns that the command line names, by what they hold. `images` is the folder
    of the images; None stands for the folder of the table. `archive` is a path or a URL. `compute`
    is as in params.yaml.
    """

    table: Path
    output: Path
    model: Path = Path("models/best")
    accuracy: float = 0.95
    top: int = 3
    columns: Mapping[str, str] = field(default_factory=dict)
    images: Path | None = None
    archive: str | None = None
    sheet: str | None = None
    encoding: str | None = None
    overwrite: bool = False
    restart: bool = False
    compute: Compute = "local"

    def check(self) -> None:
        """Raise InputError where a path cannot be what it is named for."""
        self.check_flags()
        if not self.table.exists():
            raise InputError(
                f"{self.table} is not there: name the table of products to predict for"
            )
        output, table = self.output.resolve(), self.table.resolve()
        if table in (output, output.parent) and (table == output or table.is_dir()):
            raise InputError(
                f"--output is {self.output}, which is the table or in its folder: write elsewhere"
            )
        parts = folder_of(output)
        archive = [Path(self.archive)] if self.archive and not is_url(self.archive) else []
        for path in (self.table, self.image_folder, *archive):
            if path.resolve().is_relative_to(parts):
                raise InputError(
                    f"{path} is in {parts}, where the parts of the output are kept meanwhile: name "
                    "another output"
                )
        for path in (self.table, self.output, self.image_folder, self.model):
            if not is_unicode(str(path.resolve())):
                raise InputError(f"{path}: the name is not UTF-8: rename the file or folder")

    def check_flags(self) -> None:
        """Raise InputError where something is wrong that shows without the table."""
        if self.output.suffix.lower() not in ENDINGS:
            raise InputError(f"--output is {self.output}: its name has to end in .parquet or .csv")
        if self.output.is_dir():
            raise InputError(f"--output is {self.output}, which is a folder: name a file")
        if self.top < 1:
            raise InputError(f"--top is {self.top}: ask for 1 or more")
        if self.images is not None and not self.images.is_dir():
            raise InputError(f"--images is {self.images}, which is no folder")
        if self.archive is not None and "image_url" in self.columns:
            raise InputError(
                "--archive is read by a column of names, and --column names image_url: leave one "
                "of them out, or name the column with --column image_path=..."
            )
        if self.encoding is not None and not is_encoding(self.encoding):
            raise InputError(
                f"--encoding is {self.encoding!r}, which Python does not know: name another, such "
                "as cp1252"
            )
        archive = self.archive or ""
        if is_url(archive) and "@" in archive.partition("://")[2].partition("/")[0]:
            raise InputError("--archive has a user or password in it: put them in ~/.netrc")
        if self.archive is not None and not is_url(archive) and not Path(archive).is_file():
            raise InputError(
                f"--archive is {archive!r}, which is no file: name a zip or a tar, or a URL"
            )

    @property
    def image_folder(self) -> Path:
        """Return the folder that the paths of images start in."""
        return self.images or (self.table if self.table.is_dir() else self.table.parent)
