"""The two towers of CLIP and SigLIP, through Transformers: images and texts in one space.

Radford et al. 2021, Learning Transferable Visual Models From Natural Language Supervision; Zhai et
al. 2023, Sigmoid Loss for Language Image Pre-Training. A tower is loaded without the other.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from stages.common import huggingface
from stages.common.errors import InputError

# By type of model: Transformers' classes of the towers, and what these call their vectors.
IMAGE_TOWERS = {
    "clip": ("CLIPVisionModelWithProjection", "image_embeds"),
    "siglip": ("SiglipVisionModel", "pooler_output"),
}
TEXT_TOWERS = {
    "clip": ("CLIPTextModelWithProjection", "text_embeds"),
    "siglip": ("SiglipTextModel", "pooler_output"),
}
TOKENS = {"clip": 77, "siglip": 64}  # that a text has, where config.json does not say it
PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")


def check_model(folder: Path, model: str, *files: str) -> None:
    """Raise InputError unless `folder` holds CLIP or SigLIP, and one of `files`."""
    model_type = _config(folder).get("model_type")
    if model_type not in TOKENS:
        raise InputError(
            f"{model} is of type {model_type}, and clip or siglip is needed: choose another model"
        )
    if not any((folder / file).is_file() for file in files):
        raise InputError(f"{model} comes without {' or '.join(files)}: choose another model")


def count_tokens(folder: Path) -> int:
    """Return how many tokens a text has, as the tower in `folder` takes it: it is padded or cut."""
    config = _config(folder)
    own = config.get("text_config") or {}
    return own.get("max_position_embeddings", TOKENS[config["model_type"]])


def load_image_tower(folder: Path) -> Any:
    """Return the tower of images as a module that gives vectors of unit length.

    It takes `pixel_values`, float32 of shape (n, 3, height, width).
    """
    return _tower(folder, IMAGE_TOWERS, "vision_config")


def load_text_tower(folder: Path) -> Any:
    """Return the tower of texts as a module that gives vectors of unit length.

    It takes `input_ids`, int64 of shape (n, `count_tokens`).
    """
    return _tower(folder, TEXT_TOWERS, "text_config")


def load_tokenizer(folder: Path) -> Any:
    """Return the model's tokeniser; it pads and cuts texts as the model was trained.

    SigLIP reads lower case: what its tokeniser leaves of capitals is made small. Raises InputError
    where the tokeniser cannot be loaded or cannot pad.
    """
    from tokenizers.normalizers import Lowercase, Sequence
    from transformers import PreTrainedTokenizerFast

    # Not AutoTokenizer: of SigLIP it takes classes that need other files, or keep capitals.
    found = huggingface.from_folder(PreTrainedTokenizerFast, folder)
    if found.pad_token_id is None:
        raise InputError(f"the tokeniser in {folder} names no token that pads: give a `pad_token`")
    tokenizer, length = found.backend_tokenizer, count_tokens(folder)
    tokenizer.enable_truncation(length, direction=found.truncation_side)
    tokenizer.enable_padding(
        direction=found.padding_side,
        pad_id=found.pad_token_id,
        pad_token=found.pad_token,
        length=length,
    )
    if _config(folder)["model_type"] == "siglip":
        own = [tokenizer.normalizer] if tokenizer.normalizer is not None else []
        tokenizer.normalizer = Sequence([Lowercase(), *own])
    return tokenizer


def encode_texts(folder: Path, texts: Iterable[str]) -> np.ndarray:
    """Return the vectors that the tower of texts gives in PyTorch, float32 of shape (n, size)."""
    import torch

    tokenizer, module = load_tokenizer(folder), load_text_tower(folder)
    with torch.inference_mode():
        rows = [module(torch.tensor([tokenizer.encode(text).ids])) for text in texts]
        return torch.cat(rows).numpy()


def _tower(folder: Path, towers: dict[str, tuple[str, str]], part: str) -> Any:
    """Return a tower as a module; `part` has its configuration."""
    import torch
    import transformers

    config = huggingface.from_folder(transformers.AutoConfig, folder)
    kind, output = towers[config.model_type]
    own = getattr(config, part)
    if hasattr(config, "projection_dim"):  # of the whole model; the part's own may be a default
        own.projection_dim = config.projection_dim
    loaded = huggingface.load_network(folder, False, getattr(transformers, kind), config=own)

    class Tower(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = loaded

        def forward(self, inputs: Any) -> Any:
            return torch.nn.functional.normalize(getattr(self.network(inputs), output))

    return Tower()


def _config(folder: Path) -> dict[str, Any]:
    """Read the model's configuration; raises InputError where there is none."""
    path = folder / "config.json"
    try:
        return dict(json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        raise InputError(f"{path} does not describe a model: choose another model") from None
