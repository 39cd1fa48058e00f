"""A network is run in bfloat16 where that changes next to nothing, and only there."""

import numpy as np
import pytest

from stages.encoders.backends.bfloat16_check import passes_bfloat16_check
from stages.encoders.backends.selection import Backend


class Stub:
    """An encoder of noise that is all its own, and `error` times as much that bfloat16 adds."""

    def __init__(self, engine, error):
        self.error = error if engine.precision == "bfloat16" else 0.0

    def encode(self, inputs):
        inputs = list(inputs)
        for at, _ in enumerate(inputs):
            rng = np.random.default_rng(at)
            is_last = at == len(inputs) - 1
            yield (rng.normal(size=384) + is_last * self.error * rng.normal(size=384)).astype("f4")


@pytest.mark.parametrize("is_text", [True, False])
@pytest.mark.parametrize(("error", "is_true"), [(0.0, True), (0.005, True), (0.05, False)])
def test_one_vector_that_goes_astray_is_enough(is_text, error, is_true):
    engine = Backend("openvino", "bfloat16")
    assert passes_bfloat16_check(lambda tried: Stub(tried, error), engine, is_text) is is_true
