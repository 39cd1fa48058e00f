"""The card of a model says what is in it, whatever classes are called and hashes look like."""

import pytest

from stages.fusion.model_file import ModelFile
from stages.packaging.model_card import model_card


def card(labels: list[str], sha256: str, threshold: float | None = None) -> str:
    """Return the card of a model of texts with one encoder."""
    weights = {"kind": "pretrained", "origin": "a hub", "revision": None, "sha256": sha256}
    encoder = {"kind": "huggingface_text", "model": "a/b"}
    model = {
        **{"format": 1, "modality": "text", "classifier": {"kind": "svm"}, "fusion": "early"},
        **{"labels": labels, "folder": "fold-1", "is_refit": False, "n_products": 9, "seed": 42},
        "blocks": {
            "minilm": {
                **{"encoder": "minilm", "input": "text", "n_features": 4},
                **{"svd_components": None, "weight": 1.0},
            }
        },
        "encoders": {
            "minilm": {
                **{"settings": encoder, "weights": weights, "fields": ["name"]},
                **{"backend": "openvino", "precision": "float32"},
            }
        },
        **{"image_size": None, "thresholds": {"0.95": threshold}, "versions": {}, "provenance": {}},
    }
    return model_card(ModelFile.model_validate(model), "table")


@pytest.mark.parametrize("start", ["1234567890e1", "001234567890", "12345678901a"])
def test_a_hash_that_looks_like_a_number_is_written_as_it_is(start):
    assert f"| {start} |" in card(["a"], start + "f" * 52)


def test_classes_are_shown_apart_and_as_they_are():
    labels = ["TV, Audio & Video", "<img src=x>", "_a_", "*b*", "`c`"]
    shown = "`TV, Audio & Video`, `<img src=x>`, `_a_`, `*b*`, `` `c` ``."
    assert f"Classes: {shown}" in card(labels, "f" * 64)


def test_a_threshold_below_1_is_not_shown_as_1():
    for number, shown in ((0.99996, "0.9999600"), (0.99999994, "0.9999999")):
        assert f"| 95 % | {shown} |" in " ".join(card(["a"], "f" * 64, number).split())
