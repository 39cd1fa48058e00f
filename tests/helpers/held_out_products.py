"""Held-out products for tests: what a model makes of them, as stages read it."""

from collections.abc import Sequence

import numpy as np

from stages.evaluation.metrics import judge
from stages.evaluation.predictions import HeldOut


def held_out(
    truth: Sequence[int],
    predicted: Sequence[int],
    confidence: Sequence[float] | float = 0.8,
    groups: Sequence[str] | None = None,
    folds: Sequence[int] | None = None,
    classes: int = 3,
) -> HeldOut:
    """Make products s00, s01 and so on; what is over is spread evenly over the other classes."""
    count = len(truth)
    sure = np.broadcast_to(np.asarray(confidence, dtype=np.float64), (count,))
    probabilities = np.tile(((1 - sure) / (classes - 1))[:, None], (1, classes))
    probabilities[np.arange(count), predicted] = sure
    names = [f"c{at}" for at in range(classes)]
    judged = judge(names, [names[at] for at in truth], probabilities)
    skus = np.array([f"s{at:02}" for at in range(count)])
    return HeldOut(
        skus=skus,
        groups=skus if groups is None else np.array(groups),
        folds=np.zeros(count, dtype=np.int32) if folds is None else np.array(folds),
        judged=judged,
        uncalibrated=judged,
    )
