"""Weights of networks that Transformers loads: found on disk, in a package or on the hub.

Only safetensors are taken, and no code that comes with a model is run.
"""

import shutil
from pathlib import Path

from stages.encoders.weights import Manifest, check_sha256, digest, package_folder
from stages.errors import InputError
from stages.params import HuggingFaceImageEncoder, HuggingFaceTextEncoder

WEIGHTS = "model*.safetensors"
_CONFIGURATION = ["*.json", "vocab.txt", "merges.txt", "*.model"]


class Unreachable(Exception):
    """The weights are nowhere on this machine, and the hub does not answer."""


def fetch(settings: HuggingFaceImageEncoder | HuggingFaceTextEncoder, folder: Path) -> Manifest:
    """Copy a network's weights and configuration into `folder` and say where they are from.

    They are looked for at the encoder's path, in its package, then on the hub. Raises InputError
    where what is there is not what params.yaml asks for, and Unreachable where nothing is there and
    the hub does not answer.
    """
    kind, revision = "pretrained", None
    if settings.path is not None:
        source, origin = settings.path, str(settings.path)
        if not source.is_dir():
            raise InputError(f"the path {source} of {settings.model} is not a folder")
    elif settings.package and (found := package_folder(settings.package, "model.safetensors")):
        source, kind, origin = found, "bundled", f"package {settings.package}"
    else:
        source, revision = _snapshot(settings.model, settings.revision)
        origin = f"huggingface.co/{settings.model}"
    check_sha256(digest(source, WEIGHTS), settings.sha256, origin)
    for pattern in [WEIGHTS, *_CONFIGURATION]:
        for file in sorted(source.glob(pattern)):
            shutil.copyfile(file, folder / file.name)
    return Manifest(kind, origin, revision, digest(folder, WEIGHTS))


def quiet() -> None:
    """Keep Transformers and the tracing of its networks from filling a stage's output."""
    import warnings

    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    warnings.filterwarnings("ignore", module="transformers")
    warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*")


def _snapshot(model: str, revision: str) -> tuple[Path, str]:
    """Download a model from the hub, or find it in the hub's cache: its folder and its commit."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        folder = snapshot_download(
            model, revision=revision, allow_patterns=[WEIGHTS, *_CONFIGURATION]
        )
    except (GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise InputError(
            f"the hub does not give {model} at {revision}: {' '.join(str(error).split())}"
        ) from None
    except (HfHubHTTPError, OSError) as error:
        raise Unreachable(f"the hub does not answer: {str(error).splitlines()[0]}") from None
    return Path(folder), Path(folder).name
