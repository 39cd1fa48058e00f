"""Networks that Transformers loads from a folder; no code that comes with a model is run."""

from pathlib import Path
from typing import Any

from stages.common.errors import InputError


def quiet() -> None:
    """Keep Transformers and the tracing of its networks from filling a stage's output."""
    import warnings

    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    warnings.filterwarnings("ignore", module="transformers")
    warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*")
    warnings.filterwarnings("ignore", message="Converting a tensor to a Python")  # while traced


def from_folder(kind: Any, folder: Path, **options: Any) -> Any:
    """Have one of Transformers' Auto classes load what `folder` holds; the hub is not asked.

    Raises InputError where the folder lacks something, holds something else in its place, needs
    code of its own to be run, or packages that are not installed.
    """
    quiet()
    try:
        return kind.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, **options
        )
    except Exception as error:  # whatever Transformers stumbles over in files not its own
        reason = " ".join(str(error).split())
        is_of_package = isinstance(error, ImportError | RuntimeError)
        if is_of_package and ("timm" in reason or "torchvision" in reason):
            raise InputError(
                f"{folder} holds a network of timm: install the packages timm and torchvision, "
                f"torchvision from where torch is, or choose another model ({reason})"
            ) from None
        raise InputError(
            f"{kind.__name__} cannot load {folder}: {reason} ({type(error).__name__})"
        ) from None


def load_network(folder: Path, uses_pooler: bool, kind: Any = None, **options: Any) -> Any:
    """Load the network in `folder`, in float32 and ready to run, by AutoModel or another `kind`.

    Raises InputError where its file lacks weights that its output depends on: Transformers would
    draw them at random. The pooler's are among them if the encoder `uses_pooler`.
    """
    import torch
    from transformers import AutoModel

    options |= {"dtype": torch.float32, "use_safetensors": True, "output_loading_info": True}
    found, report = from_folder(kind or AutoModel, folder, ignore_mismatched_sizes=True, **options)
    unfit = {*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])}
    needed = sorted(key for key in unfit if uses_pooler or "pooler." not in key)
    if needed:
        raise InputError(
            f"the weights in {folder} lack {', '.join(needed[:3])}, which the network's output "
            f"needs: choose another model" + (" or pooling" if uses_pooler else "")
        )
    return found.eval()


def unfit(model: str, given: str, error: Exception) -> InputError:
    """Return an error that says of a network that it stumbled over what it was given."""
    reason = " ".join(str(error).split())
    return InputError(
        f"{model} makes no vector of {given} ({type(error).__name__}: {reason}): choose another "
        "model"
    )


def pooled_output(output: Any) -> Any:
    """Return a network's own pooled output, [batch, size]; raises InputError if it has none."""
    found = getattr(output, "pooler_output", None)
    if found is None:
        raise InputError(f"a network with {type(output).__name__} has no pooled output")
    return found.flatten(1)
