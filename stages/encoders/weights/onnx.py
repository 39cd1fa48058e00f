"""A network in an ONNX file of the user's, copied."""

import shutil
from pathlib import Path

from stages.common.errors import InputError
from stages.encoders.weights.manifest import Manifest, check_sha256, digest

WEIGHTS_FILE = "model.onnx"


def fetch_file(path: Path, sha256: str | None, folder: Path) -> Manifest:
    """Copy the file into `folder`.

    Raises InputError where it is not there, or where its sha256 is not the one asked for.
    """
    if not path.is_file():
        raise InputError(f"the ONNX file {path} is not there")
    shutil.copyfile(path, folder / WEIGHTS_FILE)
    found = digest(folder, WEIGHTS_FILE)
    check_sha256(found, sha256, str(path))
    return Manifest("pretrained", str(path), None, found)
