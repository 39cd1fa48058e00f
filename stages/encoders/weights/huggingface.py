"""Weights that Transformers loads: found on disk, in a package or on the hub.

Only safetensors are taken, and no code that comes with a model.
"""

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any, Protocol

from stages.common.errors import InputError
from stages.common.huggingface import quiet
from stages.common.images import DEFAULT_SIZE
from stages.common.process import is_not_written
from stages.encoders.weights.manifest import Manifest, check_sha256, digest, package_folder
from stages.encoders.weights.unreachable import Unreachable

WEIGHTS = "model*.safetensors"
_POOLINGS = ("cls", "mean")  # that Sentence Transformers has too, under the same names
_CONFIGURATION = ["*.json", "vocab.txt", "merges.txt", "*.model"]

# What an image goes through where the weights are random and no processor came with them: what most
# networks that were trained on ImageNet use.
_PLAIN_PROCESSOR: dict[str, Any] = {
    "crop_pct": 0.875,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
    "size": {"shortest_edge": DEFAULT_SIZE},
}


class Source(Protocol):
    """Settings that say where a network is."""

    @property
    def model(self) -> str:
        """The model's name on the hub."""

    @property
    def revision(self) -> str:
        """The branch, tag or commit on the hub."""

    @property
    def path(self) -> Path | None:
        """A folder that holds the network."""

    @property
    def package(self) -> str | None:
        """An installed package that ships the network."""

    @property
    def sha256(self) -> str | None:
        """What the weights must be."""


def fetch(source: Source, folder: Path, remedy: str) -> Manifest:
    """Copy a network's weights and configuration into `folder` and say where they are from.

    They are looked for at the encoder's path, in its package, then on the hub. Raises InputError
    where what is there is not what params.yaml asks for, and Unreachable, with `remedy`, where
    nothing is there and the hub does not answer.
    """
    kind, revision = "pretrained", None
    if source.path is not None:
        found, origin = source.path, str(source.path)
        if not found.is_dir():
            raise InputError(f"the path {found} of {source.model} is not a folder")
    elif source.package and (place := package_folder(source.package, "model.safetensors")):
        _check_package(source.model, source.package)
        found, kind, origin = place, "bundled", f"package {source.package}"
    else:
        found, revision = _snapshot(source.model, source.revision, remedy)
        origin = f"huggingface.co/{source.model}"
    check_sha256(digest(found, WEIGHTS), source.sha256, origin)
    _warn_of_pooling(source, found)
    for pattern in [WEIGHTS, *_CONFIGURATION]:
        for file in sorted(found.glob(pattern)):
            shutil.copyfile(file, folder / file.name)
    return Manifest(kind, origin, revision, digest(folder, WEIGHTS))


def _check_package(model: str, package: str) -> None:
    """Raise InputError where a package is not named after the model.

    Otherwise an edit of `model` alone would leave the weights, and all figures, as they were.
    """
    name, called = (re.sub(r"[-_.]+", "-", text).lower() for text in (model, package))
    if name.rpartition("/")[2] not in called:
        raise InputError(
            f"the package {package} is not named after {model}: set the encoder's package and "
            "sha256 to null to take the model from the hub, or name the package's model"
        )


def _warn_of_pooling(source: Source, found: Path) -> None:
    """Say it where a network of Sentence Transformers was trained with another pooling."""
    pooling = getattr(source, "pooling", None)
    try:
        said = dict(json.loads((found / "1_Pooling" / "config.json").read_bytes()))
    except (FileNotFoundError, ValueError, TypeError):
        return
    # Older versions have a key for each pooling, such as pooling_mode_cls_token.
    modes = [str(mode) for key, mode in said.items() if key == "pooling_mode"] or [
        key.removeprefix("pooling_mode_").removesuffix("s").removesuffix("_token")
        for key, is_used in said.items()
        if key.startswith("pooling_mode_") and is_used is True
    ]
    if pooling in _POOLINGS and modes and modes != [pooling]:
        trained = " and ".join(modes)
        remedy = f"set it to {trained}" if trained in _POOLINGS else "choose another model"
        print(
            f"warning: {source.model} was trained with pooling {trained}, and its encoder has "
            f"pooling {pooling}: {remedy}",
            file=sys.stderr,
        )


def draw_image_network(architecture: str, folder: Path, seed: int) -> Manifest:
    """Put an image network of random weights into `folder`, with a plain image processor.

    Raises InputError where Transformers knows no such architecture, or lacks a package for it.
    """
    import torch
    from transformers import AutoConfig, AutoModel, ConvNextImageProcessorPil

    quiet()
    torch.manual_seed(seed)
    try:
        network = AutoModel.from_config(AutoConfig.for_model(architecture))
    except ValueError:
        raise InputError(
            f"Transformers knows no architecture {architecture!r}: name one of its model types, "
            f"such as convnextv2"
        ) from None
    except ImportError as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"the architecture {architecture} needs a package that is not installed ({reason}): "
            "install it, or name another"
        ) from None
    network.save_pretrained(folder)
    ConvNextImageProcessorPil(**_PLAIN_PROCESSOR).save_pretrained(folder)
    return Manifest("random", f"seed {seed}", None, digest(folder, WEIGHTS))


def _snapshot(model: str, revision: str, remedy: str) -> tuple[Path, str]:
    """Download a model from the hub, or find it in the hub's cache: its folder and its commit.

    Raises InputError where the hub says no, Unreachable where it does not answer, and hf_xet's own
    RuntimeError where its cache cannot be written.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        HTTPError,
        LocalEntryNotFoundError,
    )

    try:
        folder = snapshot_download(
            model, revision=revision, allow_patterns=[WEIGHTS, *_CONFIGURATION]
        )
    except HFValidationError as error:
        raise InputError(f"{model} is no name of a model on the hub: {error}") from None
    except (HTTPError, LocalEntryNotFoundError, RuntimeError) as error:
        # A RuntimeError is what hf_xet raises where the hub's store of large files does not answer.
        if is_not_written(error):
            raise
        cause = error.__cause__ if isinstance(error, LocalEntryNotFoundError) else error
        reason = " ".join(str(cause or error).split()) or type(cause or error).__name__
        status = cause.response.status_code if isinstance(cause, HfHubHTTPError) else None
        if status in (400, 401, 403, 404, 410, 451):
            raise InputError(f"the hub does not give {model} at {revision}: {reason}") from None
        raise Unreachable(model, f"the hub does not answer: {reason}", remedy) from None
    except ImportError as error:  # of what a SOCKS proxy takes
        raise Unreachable(model, f"the hub cannot be asked: {error}", remedy) from None
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        # What huggingface_hub stumbles over in an answer of another, such as a proxy's page.
        reason = f"something else answers in its place ({type(error).__name__}: {error})"
        raise Unreachable(model, f"the hub does not answer: {reason}", remedy) from None
    return Path(folder), Path(folder).name
