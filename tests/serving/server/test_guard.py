"""What no request may do, and what the others notice of it."""

import threading

import pytest
from helpers.servers import HeldPredictor

from stages.common.errors import UnavailableError

LAMP = {"products": [{"name": "Lamp"}]}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Basic s3cret"},
        {"Authorization": "Bearer"},
        {"Authorization": b"Bearer s3cret\xff"},
    ],
)
def test_without_the_key_there_is_no_answer(client_with, headers):
    client = client_with(api_key="s3cret")
    for path in ("/v1/labels", "/metrics", "/nothing"):
        answer = client.get(path, headers=headers)
        assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert client.post("/v1/predict", json=LAMP, headers=headers).status_code == 401


def test_with_the_key_there_is_one_and_health_needs_none(client_with):
    client = client_with(api_key="s3cret")
    key = {"Authorization": "Bearer s3cret"}
    assert client.get("/v1/labels", headers=key).status_code == 200
    assert client.post("/v1/predict", json=LAMP, headers=key).status_code == 200
    assert client.get("/health").status_code == 200


def test_a_key_that_was_read_with_its_line_break_opens(client_with):
    client = client_with(api_key=" s3cret\n")
    key = {"Authorization": "Bearer s3cret"}
    assert client.get("/v1/labels", headers=key).status_code == 200


def test_a_large_body_is_refused_with_and_without_its_length(client_with):
    client = client_with(max_body_bytes=1000)
    kind = {"Content-Type": "application/json"}
    for content in (b" " * 1001, iter([b" " * 600] * 2)):
        answer = client.post("/v1/predict", content=content, headers=kind)
        assert (answer.status_code, "1,000 bytes" in answer.text) == (413, True)
    whole = b'{"products": [{"name": "Lamp"}]}'.ljust(1000)
    assert client.post("/v1/predict", content=whole, headers=kind).status_code == 200


def in_threads(count, work):
    """Call `work` in so many threads; return what it returns."""
    found = []
    threads = [threading.Thread(target=lambda: found.append(work())) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads, found


def test_what_is_too_much_is_told_to_come_again_and_the_others_are_answered(client_with, predictor):
    held = HeldPredictor(predictor)
    client = client_with(held, max_queue=4, max_products=4)
    threads, found = in_threads(12, lambda: client.post("/v1/predict", json=LAMP))
    while len(found) < 8:  # four are held
        threads[0].join(0.01)
    assert client.get("/health").status_code == 200
    held.gate.set()
    for thread in threads:
        thread.join()
    assert sorted(answer.status_code for answer in found) == [200] * 4 + [429] * 8
    for answer in found:
        if answer.status_code == 429:
            assert int(answer.headers["Retry-After"]) >= 1
        else:
            assert answer.json()["predictions"][0]["label"] == "Lamps"


def test_no_more_requests_are_answered_at_once_than_the_settings_say(client_with, predictor):
    held = HeldPredictor(predictor)
    client = client_with(held, max_requests=2)
    threads, found = in_threads(5, lambda: client.post("/v1/predict", json=LAMP))
    while len(found) < 3:
        threads[0].join(0.01)
    assert client.get("/health").status_code == 200
    assert client.get("/v1/labels").status_code == 429
    held.gate.set()
    for thread in threads:
        thread.join()
    assert sorted(answer.status_code for answer in found) == [200, 200, 429, 429, 429]


def test_what_takes_too_long_is_given_up_and_then_health_says_so(client_with, predictor):
    held = HeldPredictor(predictor)
    client = client_with(held, request_timeout_s=0.2)
    try:
        answer = client.post("/v1/predict", json=LAMP)
        assert (answer.status_code, "0.2 seconds" in answer.text) == (503, True)
        assert "Retry-After" in answer.headers
        while not held.batches:  # on a slow machine the time may end before the batch begins
            assert client.post("/v1/predict", json=LAMP).status_code == 503
        threading.Event().wait(0.3)  # from the start of the batch, not of the request
        assert client.get("/health").status_code == 503
    finally:
        held.gate.set()
    while client.get("/health").status_code != 200:
        threading.Event().wait(0.01)
    assert client.post("/v1/predict", json=LAMP).status_code == 200


def test_a_fault_of_the_model_is_500_for_what_caused_it_alone(client_with, predictor):
    class Faulty(HeldPredictor):
        def predict_products(self, products, **options):
            found = super().predict_products(products, **options)
            if any(product.name == "bad" for product in products):
                raise RuntimeError("no luck")
            return found

    held = Faulty(predictor)
    client = client_with(held)
    client._transport.raise_server_exceptions = False
    names = iter(["bad", *["Lamp"] * 5])
    threads, found = in_threads(
        6, lambda: client.post("/v1/predict", json={"products": [{"name": next(names)}]})
    )
    while not held.batches:
        threads[0].join(0.01)
    held.gate.set()
    for thread in threads:
        thread.join()
    assert sorted(answer.status_code for answer in found) == [200] * 5 + [500]


def test_of_a_request_that_has_failed_nothing_more_is_computed(client_with, predictor):
    asked = []

    class Failing(HeldPredictor):
        def predict_products(self, products, **options):
            asked.extend(product.name for product in products)
            if "bad" in asked[-len(products) :]:
                raise UnavailableError("its endpoint does not answer")
            return self._predictor.predict_products(products, **options)

    client = client_with(Failing(predictor), batch_size=1)
    answer = client.post("/v1/predict", json={"products": [{"name": "bad"}] * 12})
    assert answer.status_code == 503
    for _ in range(12):  # what was left would be computed between these
        assert client.post("/v1/predict", json=LAMP).status_code == 200
    assert asked.count("bad") < 6  # two are in work at once
