"""Networks that Transformers loads: their weights found on disk, in a package or on the hub.

Only safetensors are taken, and no code that comes with a model is run.
"""

import shutil
from pathlib import Path
from typing import Any

from stages.common.errors import InputError
from stages.encoders.weights.manifest import Manifest, check_sha256, digest, package_folder

WEIGHTS = "model*.safetensors"
_CONFIGURATION = ["*.json", "vocab.txt", "merges.txt", "*.model"]


class Unreachable(Exception):
    """The weights are nowhere on this machine, and the hub does not answer."""


def fetch(settings: Any, folder: Path) -> Manifest:
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


def from_folder(kind: Any, folder: Path, **options: Any) -> Any:
    """Have one of Transformers' Auto classes load what `folder` holds; the hub is not asked.

    Raises InputError where the folder lacks something, holds something else in its place, or needs
    code of its own to be run.
    """
    try:
        return kind.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, **options
        )
    except Exception as error:  # whatever Transformers stumbles over in files not its own
        reason = " ".join(str(error).split())
        raise InputError(
            f"{kind.__name__} cannot load {folder}: {reason} ({type(error).__name__})"
        ) from None


def network(folder: Path, uses_pooler: bool) -> Any:
    """Load the network in `folder`, in float32 and ready to run.

    Raises InputError where its file lacks weights that its output depends on: Transformers would
    draw them at random. The pooler's are among them if the encoder `uses_pooler`.
    """
    import torch
    from transformers import AutoModel

    quiet()
    options = {"dtype": torch.float32, "use_safetensors": True, "output_loading_info": True}
    found, report = from_folder(AutoModel, folder, ignore_mismatched_sizes=True, **options)
    unfit = {*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])}
    needed = sorted(key for key in unfit if uses_pooler or "pooler." not in key)
    if needed:
        raise InputError(
            f"the weights in {folder} lack {', '.join(needed[:3])}, which the network's output "
            f"needs: choose another model" + (" or pooling" if uses_pooler else "")
        )
    return found.eval()


def pooled(output: Any) -> Any:
    """Return a network's own pooled output, [batch, size]; raises InputError if it has none."""
    found = getattr(output, "pooler_output", None)
    if found is None:
        raise InputError(f"a network with {type(output).__name__} has no pooled output")
    return found.flatten(1)


def quiet() -> None:
    """Keep Transformers and the tracing of its networks from filling a stage's output."""
    import warnings

    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    warnings.filterwarnings("ignore", module="transformers")
    warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*")


def _snapshot(model: str, revision: str) -> tuple[Path, str]:
    """Download a model from the hub, or find it in the hub's cache: its folder and its commit.

    Raises InputError where the hub says no, Unreachable where it does not answer.
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
        cause = error.__cause__ if isinstance(error, LocalEntryNotFoundError) else error
        reason = " ".join(str(cause or error).split()) or type(cause or error).__name__
        status = cause.response.status_code if isinstance(cause, HfHubHTTPError) else None
        if status in (400, 401, 403, 404, 410, 451):
            raise InputError(f"the hub does not give {model} at {revision}: {reason}") from None
        raise Unreachable(f"the hub does not answer: {reason}") from None
    return Path(folder), Path(folder).name
