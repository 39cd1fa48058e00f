"""A loaded model's encoders work side by side, and a call ends when all of them have ended."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController

from serving.model import ServedModel
from serving.products import Product
from stages.common.errors import UnavailableError
from stages.fusion.model import ALL

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


class Fitted:
    """Runs something in place of classifying."""

    def __init__(self, work):
        self.work = work
        self.preprocessor = self

    def transform(self, features):
        return features

    def predict_each(self, features):
        self.work()
        return {ALL: np.zeros((len(features.labels), 2))}


@pytest.fixture
def blas():
    """BLAS with two threads, whatever the environment says."""
    blas = ThreadpoolController().select(user_api="blas")
    with ThreadPoolExecutor(1) as thread:  # only where its thread has ended may others set them
        limiter = thread.submit(blas.limit, limits=2).result()
    yield blas
    with ThreadPoolExecutor(1) as thread:
        thread.submit(limiter.restore_original_limits).result()


def test_models_that_are_asked_at_once_leave_blas_its_threads(predictor, blas):
    first_in, second_in, first_out = threading.Event(), threading.Event(), threading.Event()

    def first():
        first_in.set()
        second_in.wait(0.5)  # it comes in only where nothing keeps it out

    def second():
        second_in.set()
        assert first_out.wait(SECONDS)

    def predict(work):
        encoders = {name: Encoder(lambda: None) for name in predictor.file.blocks}
        model = ServedModel(predictor.file, Fitted(work), encoders, None)
        model.predict([Product(name="lamp")])

    threads = [threading.Thread(target=predict, args=[work]) for work in (first, second)]
    threads[0].start()
    assert first_in.wait(SECONDS)
    threads[1].start()
    threads[0].join()
    first_out.set()
    threads[1].join()
    assert second_in.is_set()
    assert {library["num_threads"] for library in blas.info()} == {2}
