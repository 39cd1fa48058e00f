"""What a model predicts without one of its modalities."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from stages.fusion.features import Features


def modality_ablations(features: Features) -> Iterator[tuple[str, np.ndarray, Features]]:
    """Yield the ablated modality, the products, boolean of shape (n,), and their features.

    First all products with all that they have: the ablated modality is the empty string. Then,
    where the features are of image and text, the products that have both: without their image, and
    without their text.
    """
    yield "", np.ones(len(features.labels), dtype=bool), features
    modalities = sorted(set(features.inputs.values()))
    if len(modalities) < 2:
        return
    rows = features.has_all_modalities()
    for ablated in modalities:
        present = {
            name: there & (features.inputs[name] != ablated)
            for name, there in features.present.items()
        }
        yield ablated, rows, replace(features, present=present).select_rows(rows)
