"""Small models of CLIP and SigLIP in the files that Transformers reads, with random weights."""

from pathlib import Path
from typing import Any

SIZE = 32  # pixels of an image
WORDS = ["a", "photo", "of", "red", "blue", "green", "ball", "box", "cup", "tv", "and", "for", "on"]
SMALL = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}


def write_clip(folder: Path, seed: int = 0) -> None:
    """Write a CLIP of vectors of 16 numbers, which reads texts of 20 tokens."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

    letters = sorted(ByteLevel.alphabet())
    tokens = [*letters, *(f"{letter}</w>" for letter in letters)]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: at for at, token in enumerate(tokens)}
    CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=20).save_pretrained(folder)
    _save_processor(CLIPImageProcessorPil, folder, {"shortest_edge": SIZE})
    text: dict[str, Any] = {"vocab_size": len(tokens), "max_position_embeddings": 20}
    text |= {"eos_token_id": len(tokens) - 1, "bos_token_id": len(tokens) - 2}
    config = CLIPConfig(
        text_config=SMALL | text,
        vision_config=SMALL | {"image_size": SIZE, "patch_size": 8},
        projection_dim=16,
    )
    _save_model(CLIPModel, config, folder, seed)


def write_siglip(folder: Path, seed: int = 0) -> None:
    """Write a SigLIP of vectors of 32 numbers, which knows WORDS and reads texts of 12 tokens.

    Its tokeniser keeps capitals, as that of SigLIP 2 does, and pads with its last token.
    """
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from tokenizers.processors import TemplateProcessing
    from transformers import (
        PreTrainedTokenizerFast,
        SiglipConfig,
        SiglipImageProcessorPil,
        SiglipModel,
    )

    known = {word: at for at, word in enumerate(["<unk>", "</s>", *WORDS])}
    tokenizer = Tokenizer(WordLevel(known, unk_token="<unk>"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing("$A </s>", special_tokens=[("</s>", 1)])
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="</s>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder)
    _save_processor(SiglipImageProcessorPil, folder, {"height": SIZE, "width": SIZE})
    config = SiglipConfig(
        text_config=SMALL
        | {"vocab_size": len(known), "max_position_embeddings": 12}
        | {"pad_token_id": 1, "bos_token_id": None, "eos_token_id": 1},
        vision_config=SMALL | {"image_size": SIZE, "patch_size": 8},
    )
    _save_model(SiglipModel, config, folder, seed)


def text_vectors(folder: Path, texts: list[str]) -> Any:
    """Return what Transformers makes of texts, of unit length: float32 of shape (n, size)."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    model = AutoModel.from_pretrained(folder).eval()
    length = model.config.text_config.max_position_embeddings
    lower = [text.lower() for text in texts]  # as the models' own tokenisers do
    tokens = AutoTokenizer.from_pretrained(folder)(
        lower, padding="max_length", max_length=length, truncation=True, return_tensors="pt"
    )
    with torch.inference_mode():
        found = model.get_text_features(input_ids=tokens["input_ids"]).pooler_output
    return torch.nn.functional.normalize(found).numpy()


def image_vectors(folder: Path, images: list[Any]) -> Any:
    """Return what Transformers makes of images, of unit length: float32 of shape (n, size)."""
    import torch
    from transformers import AutoImageProcessor, AutoModel

    processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
    pixels = processor(images, return_tensors="pt").pixel_values
    with torch.inference_mode():
        model = AutoModel.from_pretrained(folder).eval()
        found = model.get_image_features(pixel_values=pixels).pooler_output
    return torch.nn.functional.normalize(found).numpy()


def _save_processor(kind: Any, folder: Path, size: dict[str, int]) -> None:
    crop = {"crop_size": {"height": SIZE, "width": SIZE}} if "shortest_edge" in size else {}
    kind(size=size, **crop).save_pretrained(folder)


def _save_model(kind: Any, config: Any, folder: Path, seed: int) -> None:
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = kind(config)
        for name, parameter in model.named_parameters():
            if name.endswith("weight") and parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=0.3)  # so that inputs are far apart
    model.save_pretrained(folder)
