"""A loaded model's encoders work side by side, and a call ends when all of them have ended."""

import threading

import numpy as np
import pytest

from serving.model import ServedModel
from serving.products import Product
from stages.common.errors import UnavailableError

SECONDS = 30


class Encoder:
    """Runs something, then gives each product the vector [1]."""

    def __init__(self, work):
        self.work = work
        self.ended = 0

    def encode(self, products):
        try:
            self.work()
        finally:
            self.ended += 1
        return np.ones((len(products), 1), dtype=np.float32), np.full(len(products), True)


def model_of(predictor, **encoders):
    return ServedModel(predictor.file, None, encoders, None)


def test_encoders_work_side_by_side_on_a_few_products(predictor):
    met = threading.Barrier(2, timeout=SECONDS)  # which both have to reach
    model = model_of(predictor, one=Encoder(met.wait), other=Encoder(met.wait))
    found = model.embed([Product(name="lamp")] * 2)
    assert [*found] == ["one", "other"]
    assert all(rows.shape == (2, 1) for rows, _ in found.values())


def test_an_encoder_that_fails_leaves_no_other_at_work(predictor):
    has_failed = threading.Event()

    def fail():
        has_failed.set()
        raise UnavailableError("nobody answers")

    def work():
        assert has_failed.wait(SECONDS)
        threading.Event().wait(0.2)

    slow = Encoder(work)
    model = model_of(predictor, remote=Encoder(fail), slow=slow)
    for calls in (1, 2):
        with pytest.raises(UnavailableError, match="nobody answers"):
            model.embed([Product(name="lamp")])
        assert slow.ended == calls
