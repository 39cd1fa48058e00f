"""The record that goes with an encoder's weights: where they come from and which bytes they are."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from stages.common.errors import InputError
from stages.common.files import DESKTOP_FILES, sha256_of, write_json

MANIFEST_FILE = "manifest.json"


@dataclass(frozen=True)
class Manifest:
    """What an encoder's weights are.

    `kind` is pretrained (given by path, or from the hub or Keras' store), bundled (from an
    installed package), random, or none where an encoder has no weights or they stay elsewhere;
    `origin` says where from, `revision` which version of it (null where there is none) and `sha256`
    which bytes. `request` holds the settings that they were fetched for, `files` the SHA-256 of
    each file.
    """

    kind: str
    origin: str
    revision: str | None
    sha256: str
    request: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)

    def summary(self) -> dict[str, str | None]:
        """Return what goes with vectors and models: kind, origin, revision and sha256."""
        return {key: getattr(self, key) for key in ("kind", "origin", "revision", "sha256")}


def write_manifest(folder: Path, manifest: Manifest, request: Mapping[str, Any]) -> None:
    """Write a manifest beside the weights that were fetched for `request`."""
    complete = replace(manifest, request=request, files=_hashes(folder))
    write_json(folder / MANIFEST_FILE, asdict(complete))


def read_manifest(folder: Path) -> Manifest:
    """Read what `write_manifest` wrote.

    Raises InputError where no weights were fetched, or where something else is in its place.
    """
    path = folder / MANIFEST_FILE
    try:
        return Manifest(**json.loads(path.read_bytes()))
    except FileNotFoundError:
        raise InputError(f"{folder} holds no weights: `dvc repro` fetches them") from None
    except (ValueError, TypeError, RecursionError):
        raise InputError(f"{path} is no manifest: `dvc repro -f` writes it anew") from None


def is_intact(folder: Path, manifest: Manifest) -> bool:
    """Return whether `folder` holds the files of its manifest, unchanged, and no others."""
    return _hashes(folder) == manifest.files


def weight_files(folder: Path) -> list[Path]:
    """Return the files in a folder of weights, but for the manifest and what desktops leave."""
    others = {MANIFEST_FILE, *DESKTOP_FILES}
    return sorted(file for file in folder.iterdir() if file.is_file() and file.name not in others)


def _hashes(folder: Path) -> dict[str, str]:
    return {file.name: sha256_of(file) for file in weight_files(folder)}


def digest(folder: Path, pattern: str) -> str:
    """Return the SHA-256 of the weights in `folder`: of the file, or of all parts' names and sums.

    Raises InputError where no file there matches `pattern`.
    """
    files = sorted(folder.glob(pattern))
    if not files:
        raise InputError(f"{folder} holds no {pattern}: only weights in that format are loaded")
    if len(files) == 1:
        return sha256_of(files[0])
    lines = "".join(f"{sha256_of(file)}  {file.name}\n" for file in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def check_sha256(found: str, wanted: str | None, origin: str, key: str = "sha256") -> None:
    """Raise InputError unless the weights are the ones that params.yaml asks for.

    `key` is the setting of the encoder that has their SHA-256.
    """
    if wanted is not None and found != wanted:
        raise InputError(
            f"the weights from {origin} have sha256 {found}, not {wanted} as params.yaml says: "
            f"do not use them, or correct the encoder's {key} if you know them to be right"
        )


def package_folder(package: str, file: str) -> Path | None:
    """Return the folder of an installed package that holds `file`, without importing it.

    None where the package is not installed or ships no such file.
    """
    try:
        files = distribution(package).files or []
    except PackageNotFoundError:
        return None
    found = [Path(str(entry.locate())) for entry in files if entry.name == file]
    return found[0].parent if found else None
