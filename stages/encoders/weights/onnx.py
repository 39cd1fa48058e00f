"""A network in an ONNX file of the user's, copied, and of texts its tokeniser."""

import shutil
from pathlib import Path

from stages.common.errors import InputError
from stages.common.files import sha256_of
from stages.common.text_tokens import TOKENIZER_FILE
from stages.encoders.weights.manifest import Manifest, check_sha256, digest

WEIGHTS_FILE = "model.onnx"


def fetch_file(path: Path, sha256: str | None, folder: Path) -> Manifest:
    """Copy the file into `folder`.

    Raises InputError where it is not there, or where its sha256 is not the one asked for.
    """
    _copy("ONNX file", path, folder / WEIGHTS_FILE)
    found = digest(folder, WEIGHTS_FILE)
    check_sha256(found, sha256, str(path))
    return Manifest("pretrained", str(path), None, found)


def fetch_text_files(
    path: Path,
    tokenizer: Path,
    sha256: str | None,
    tokenizer_sha256: str | None,
    folder: Path,
) -> Manifest:
    """Copy a text network and its tokeniser into `folder`; the manifest's SHA-256 is of both.

    Raises InputError as `fetch_file` does.
    """
    network = fetch_file(path, sha256, folder)
    _copy("tokeniser", tokenizer, folder / TOKENIZER_FILE)
    found = sha256_of(folder / TOKENIZER_FILE)
    check_sha256(found, tokenizer_sha256, str(tokenizer), "tokenizer_sha256")
    return Manifest(network.kind, f"{path}, {tokenizer}", None, digest(folder, "*"))


def _copy(what: str, path: Path, place: Path) -> None:
    if not path.is_file():
        raise InputError(f"the {what} {path} is not there")
    shutil.copyfile(path, place)
