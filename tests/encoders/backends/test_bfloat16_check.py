"""A network is run in bfloat16 where that changes next to nothing, and only there."""

import numpy as np
import pytest

from stages.encoders.backends.base import Backend
from stages.encoders.backends.bfloat16_check import passes_bfloat16_check


class Stub:
    """An encoder of noise, and `error` times as much that bfloat16 adds to the last vector."""

    def __init__(self, backend, error):
        self.error = error if backend.precision == "bfloat16" else 0.0

    n_features = 384

    def encode(self, batch):
        return np.stack([self.vector(i, i == len(batch) - 1) for i, _ in enumerate(batch)])

    def vector(self, i, is_last):
        rng = np.random.default_rng(i)
        return (rng.normal(size=384) + is_last * self.error * rng.normal(size=384)).astype("f4")


@pytest.mark.parametrize("modality", ["text", "image"])
@pytest.mark.parametrize(("error", "is_true"), [(0.0, True), (0.005, True), (0.05, False)])
def test_one_vector_that_goes_astray_is_enough(modality, error, is_true):
    backend = Backend("openvino", "bfloat16")
    assert passes_bfloat16_check(lambda tried: Stub(tried, error), backend, modality) is is_true
