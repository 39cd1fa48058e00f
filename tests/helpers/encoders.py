"""What the tables of embeddings say of their encoders, for tests that make such tables."""

from typing import Any

SETTINGS = {"image": {"kind": "onnx", "path": "a.onnx"}, "text": {"kind": "hashed_ngrams"}}


def described_encoder(name: str, modality: str, **weights: Any) -> dict[str, Any]:
    """Return an encoder's description, random weights unless they are given."""
    weights = {"kind": "random", "origin": name, "revision": None, "sha256": "0" * 64} | weights
    own = {"image_size": 224} if modality == "image" else {"fields": ["name", "description"]}
    return {
        "encoder": name,
        "settings": SETTINGS[modality],
        "weights": weights,
        "backend": "openvino",
        "precision": "float32",
        **own,
    }
