"""Texts are embedded by an endpoint: each is paid for once, within a limit, whatever goes wrong."""

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from helpers.embeddings_api import EmbeddingsApi, embeddings_api, good, vector_of
from helpers.repository import TOP
from ruamel.yaml import YAML

from stages import embed_text, fetch_weights
from stages.common.cache import cache_folder
from stages.common.errors import InputError, UnavailableError
from stages.common.paths import PRODUCTS, embeddings
from stages.common.tables import PRODUCTS as SCHEMA
from stages.common.tables import from_arrow, metadata_of, read_table, write_table
from stages.encoders import openai as kind
from stages.encoders.backends.base import Backend
from stages.encoders.backends.selection import select_backend
from stages.encoders.embedding_cache import Part
from stages.encoders.openai import OpenAIEncoder, Settings
from stages.encoders.settings import CacheSettings
from stages.encoders.table_encoder import PAID_FILE, open_encoder

SECRET = "sk-secret-of-a-test"
DIMENSIONS = 5
TEXTS = ["a cable", "a charger, black", "abba", "x", "a toaster for two slices"]


@pytest.fixture
def api(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(kind.KEY, SECRET)
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.001)
    monkeypatch.setattr(kind, "FIRST_PAUSE_S", 0.0001)
    with embeddings_api() as api:
        yield api


def settings_for(api: EmbeddingsApi, **changes: Any) -> Settings:
    entry = {"kind": "openai", "model": "small", "dimensions": DIMENSIONS, "base_url": api.url}
    return Settings.model_validate(entry | changes)


def encoder_for(api: EmbeddingsApi, **changes: Any) -> OpenAIEncoder:
    settings = settings_for(api, **changes)
    return kind.load(settings, Path(), select_backend(settings, "auto", "auto"))


def vectors_of(texts: list[str]) -> np.ndarray:
    return np.array([vector_of(text, DIMENSIONS) for text in texts], dtype=np.float32)


def embed(api: EmbeddingsApi, texts: list[str], max_gb: float = 1, **changes: Any) -> np.ndarray:
    """Embed texts through the cache, as the stage does."""
    settings, limits = settings_for(api, **changes), CacheSettings(max_gb=max_gb)
    Path("weights").mkdir(exist_ok=True)
    with open_encoder(settings, Path("weights"), "auto", "auto", limits) as (
        encoder,
        backend,
    ):
        assert (backend.name, backend.precision) == ("openai", "float32")
        hashes = [f"hash of {text}" for text in texts]
        encoder.check_cost(texts, hashes)
        part = Part(pa.chunked_array([hashes]), texts, hashes)
        [(_, vectors)] = encoder.encode([part], lambda n: None)
        return vectors


def test_each_text_has_its_vector_whatever_the_order_of_the_answer(api):
    encoder = encoder_for(api, batch_size=2)
    found = encoder.encode(TEXTS)
    assert found.dtype == np.float32 and encoder.n_features == DIMENSIONS
    np.testing.assert_array_equal(found, vectors_of(TEXTS))
    assert [len(request["input"]) for request in api.requests] == [2, 2, 1]
    assert {request["path"] for request in api.requests} == {"/v1/embeddings"}
    assert {request["dimensions"] for request in api.requests} == {DIMENSIONS}
    assert set(api.keys) == {f"Bearer {SECRET}"}
    assert encoder.encode([]).shape == (0, DIMENSIONS)


def test_a_long_text_is_cut(api):
    encoder_for(api, max_chars=4).encode(["abcdefgh"])
    assert api.texts == ["abcd"]


def refused(status: int, **headers: str):
    return lambda asked: (status, headers, {"error": {"message": f"no {SECRET}"}})


def changed(change) -> Any:
    """Return an answer that is 200 and wrong."""

    def fault(asked):
        status, headers, body = good(asked)
        change(body["data"])
        return status, headers, body

    return fault


@pytest.mark.parametrize(
    "fault",
    [
        refused(429, **{"Retry-After": "0.01"}),
        refused(500),
        refused(503),
        changed(lambda data: data.pop()),
        changed(lambda data: data[0].update(index=7)),
        changed(lambda data: data[0]["embedding"].__setitem__(0, float("nan"))),
        changed(lambda data: data[0]["embedding"].__setitem__(0, None)),
        changed(lambda data: data[0].pop("index")),
        lambda asked: (200, {"Content-Type": "text/html"}, {"sign": "in"}),
        lambda asked: (200, {}, b'{"data": [{"ind'),
        lambda asked: (200, {}, b'{"data": "\xff"}'),
        lambda asked: (200, {}, b""),
    ],
    ids=[
        *("429", "500", "503", "half an answer", "another index", "not a number", "null"),
        *("no index", "a page", "cut JSON", "no UTF-8", "an empty body"),
    ],
)
def test_a_passing_fault_is_got_over(api, fault):
    api.faults = [fault, fault]
    np.testing.assert_array_equal(encoder_for(api).encode(TEXTS), vectors_of(TEXTS))


@pytest.mark.parametrize(
    ("fault", "times", "said"),
    [
        (refused(401), 1, rf"answers 401 for small \(.*\): see {kind.KEY}"),
        (refused(400), 1, "answers 400 for small .* see the encoder's entry"),
        (refused(500), 9, "answers 500 .* try again later"),
        (refused(429, **{"Retry-After": "3600"}), 1, "answers 429 .* try again later"),
        (lambda asked: (200, {}, b"{"), 9, "answers with something else than vectors"),
        (changed(lambda data: data.pop()), 9, "answers with 4 vectors for 5 texts"),
        (
            changed(lambda data: [one.update(index=one["index"] + 1) for one in data]),
            9,
            "answers with indices other than 0 to 4",
        ),
        (
            changed(lambda data: [one.pop("index") for one in data]),
            9,
            "answers with vectors without an index, which says of which text each is: see",
        ),
        (
            changed(lambda data: [one["embedding"].pop() for one in data]),
            1,
            "small gives vectors of 4 numbers, not of 5: correct the encoder's dimensions",
        ),
    ],
    ids=[
        *("no key", "bad request", "always 500", "a long wait", "always cut JSON", "always half"),
        *("counted from 1", "no index", "wrong dimensions"),
    ],
)
def test_a_lasting_fault_is_said_without_the_key(api, fault, times, said):
    api.faults = [fault] * times
    with pytest.raises(InputError, match=said) as caught:
        encoder_for(api).encode(TEXTS)
    assert SECRET not in str(caught.value)


def test_a_key_is_not_shown_where_a_long_message_is_cut(api):
    message = "x" * 290 + SECRET
    api.faults = [lambda asked: (401, {}, {"error": {"message": message}})]
    with pytest.raises(InputError) as caught:
        encoder_for(api).encode(TEXTS)
    assert SECRET[:5] not in str(caught.value)


@pytest.mark.parametrize("key", ["two words", "kéy"])
def test_what_can_be_no_key_is_refused(api, monkeypatch, key):
    monkeypatch.setenv(kind.KEY, key)
    with pytest.raises(InputError, match=f"the environment variable {kind.KEY} holds no key"):
        encoder_for(api).encode(TEXTS)
    monkeypatch.setenv(kind.KEY, f"{SECRET}\n")
    encoder_for(api).encode(TEXTS)
    assert api.keys == [f"Bearer {SECRET}"]


def test_an_endpoint_that_does_not_answer_is_named(api, monkeypatch):
    monkeypatch.setattr(kind, "MAX_RETRIES", 0)
    with pytest.raises(InputError, match=r"127\.0\.0\.1:9/v1 does not answer"):
        encoder_for(api, base_url="http://127.0.0.1:9/v1").encode(TEXTS)


@pytest.mark.parametrize("scheme", ["socks5", "ftp"])
def test_a_proxy_that_cannot_be_used_is_said(api, monkeypatch, scheme):
    if scheme == "socks5" and find_spec("socksio"):
        pytest.skip("socksio is installed")
    monkeypatch.setenv("HTTPS_PROXY", f"{scheme}://127.0.0.1:9")
    with pytest.raises(InputError, match=r"/v1 cannot be asked \(.*proxy.*variables HTTPS_PROXY"):
        encoder_for(api)


def test_openai_needs_a_key_and_an_endpoint_of_one_s_own_does_not(api, monkeypatch):
    monkeypatch.delenv(kind.KEY)
    with pytest.raises(InputError, match=f"set the environment variable {kind.KEY}"):
        encoder_for(api, base_url=f"{kind.OPENAI}/").encode(TEXTS)
    settings = settings_for(api, base_url=kind.OPENAI)
    with pytest.raises(InputError, match=f"set the environment variable {kind.KEY}"):
        kind.load(settings, Path(), Backend("openai", "float32", low_latency=True))  # to predict
    assert len(encoder_for(api).encode(TEXTS)) == len(TEXTS)
    assert api.keys == [None]


def test_texts_and_key_go_nowhere_else(api):
    with embeddings_api() as other:
        api.faults = [lambda asked: (307, {"Location": f"{other.url}/embeddings"}, {})]
        with pytest.raises(InputError, match=r"answers 307 .* base_url"):
            encoder_for(api).encode(TEXTS)
        assert other.keys == []


def test_whose_account_it_is_says_only_openai(api, monkeypatch):
    monkeypatch.setenv("OPENAI_ORG_ID", "org-of-a-test")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "project-of-a-test")
    encoder = encoder_for(api)
    encoder.encode(TEXTS[:1])
    encoder.hurry()
    encoder.encode(TEXTS[1:])
    assert len(api.headers) == 2
    assert not [
        value
        for headers in api.headers
        for value in headers.values()
        if "of-a-test" in value and "sk-" not in value
    ]


def test_no_text_is_paid_for_twice_where_a_later_request_fails(api):
    api.faults = [good, refused(400)]
    with pytest.raises(InputError, match="what was embedded so far is kept"):
        embed(api, TEXTS, batch_size=2)
    assert len(api.texts) == 2
    found = embed(api, TEXTS, batch_size=2, max_usd=9.0, usd_per_million_tokens=1.0)  # other costs
    np.testing.assert_array_equal(found, vectors_of(TEXTS))
    assert sorted(api.texts) == sorted(TEXTS)


def test_no_text_is_paid_for_twice_where_the_cache_of_vectors_is_small(api):
    for _ in range(2):
        embed(api, TEXTS, max_gb=1e-6, batch_size=2)
    assert sorted(api.texts) == sorted(TEXTS)


def test_what_an_answer_brought_is_kept_before_the_next_request(api):
    kept = []

    def looks(asked):
        with closing(sqlite3.connect(cache_folder() / PAID_FILE)) as paid:
            kept.extend(paid.execute("SELECT count(*) FROM rows").fetchone())
        return good(asked)

    api.faults = [looks, looks, looks]
    embed(api, TEXTS, batch_size=2)
    assert kept == [0, 2, 4]


def test_another_model_is_asked_anew_and_other_fields_or_a_slash_are_not(api):
    embed(api, TEXTS)
    embed(api, TEXTS, fields=["name"], base_url=f"{api.url}/", batch_size=1)
    assert len(api.texts) == len(TEXTS)
    embed(api, TEXTS, model="large")
    assert len(api.texts) == 2 * len(TEXTS)


def test_a_model_of_one_size_is_not_asked_for_another(api):
    found = encoder_for(api, asks_dimensions=False).encode(TEXTS)
    np.testing.assert_array_equal(found, vectors_of(TEXTS))
    assert "dimensions" not in api.requests[0]


def test_a_request_has_no_more_text_than_an_endpoint_takes(api, monkeypatch):
    monkeypatch.setattr(kind, "MAX_BYTES", 16)
    found = encoder_for(api).encode(TEXTS)
    np.testing.assert_array_equal(found, vectors_of(TEXTS))
    sizes = [sum(len(text.encode()) for text in one["input"]) for one in api.requests]
    assert len(sizes) > 2 and all(
        size <= 16 or len(one["input"]) == 1 for size, one in zip(sizes, api.requests, strict=True)
    )


def test_a_run_that_would_cost_too_much_sends_nothing(api):
    with pytest.raises(InputError, match=r"5 texts have about \d+ tokens, .* raise .* max_usd"):
        embed(api, TEXTS, usd_per_million_tokens=1e6, max_usd=5.0)
    assert api.requests == []


def test_a_run_that_costs_more_than_was_estimated_stops_and_keeps_what_was_paid_for(api):
    def dear(asked):
        status, headers, body = good(asked)
        body["usage"]["total_tokens"] = 10**6
        return status, headers, body

    api.faults = [dear]
    with pytest.raises(InputError, match=r"1,000,000 tokens cost 2\.0000 USD, more than"):
        embed(api, TEXTS, batch_size=2, usd_per_million_tokens=2.0, max_usd=1.5)
    assert len(api.texts) == 2
    embed(api, TEXTS, batch_size=2, usd_per_million_tokens=2.0, max_usd=1.5)
    assert sorted(api.texts) == sorted(TEXTS)


def test_malformed_answers_are_paid_for_up_to_the_limit(api):
    def half(asked):
        status, headers, body = changed(lambda data: data.pop())(asked)
        body["usage"]["total_tokens"] = 10**6
        return status, headers, body

    api.faults = [half] * 9
    with pytest.raises(InputError, match=r"2,000,000 tokens cost 2\.0000 USD, more than"):
        embed(api, TEXTS, usd_per_million_tokens=1.0, max_usd=1.5)
    assert len(api.requests) == 2


@pytest.mark.parametrize("usage", [None, {"prompt_tokens": 3}, {"total_tokens": "many"}])
def test_tokens_that_are_not_reported_are_estimated(api, usage):
    def silent(asked):
        status, headers, body = good(asked)
        return status, headers, body | {"usage": usage}

    api.faults = [silent] * 9
    encoder = encoder_for(api)
    np.testing.assert_array_equal(encoder.encode(TEXTS), vectors_of(TEXTS))
    assert len(api.requests) == 1 and encoder.tokens >= len(TEXTS)


def test_answers_that_cannot_be_read_are_paid_for_up_to_the_limit(api):
    api.faults = [lambda asked: (200, {}, b"{")] * 9
    with pytest.raises(InputError, match="more than the encoder's max_usd"):
        embed(api, TEXTS, usd_per_million_tokens=1e6, max_usd=40.0)
    assert len(api.requests) == 2


def test_new_products_are_not_limited_by_what_a_run_may_cost(api, capsys):
    encoder = encoder_for(api, usd_per_million_tokens=1e6, max_usd=0.5)
    for _ in range(3):
        encoder.encode(TEXTS)
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "")


def test_requests_keep_their_distance(api, monkeypatch):
    waits: list[float] = []
    monkeypatch.setattr(kind.time, "sleep", waits.append)
    encoder_for(api, batch_size=1, requests_per_minute=2).encode(TEXTS[:3])
    assert waits[0] == 0 and all(29 < wait <= 30 for wait in waits[1:]) and len(waits) == 3


def test_requests_that_are_sent_again_keep_their_distance(api, monkeypatch):
    waits: list[float] = []
    monkeypatch.setattr(kind.time, "sleep", waits.append)
    api.faults = [refused(429, **{"Retry-After": "0.01"}), refused(500), changed(lambda d: d.pop())]
    encoder_for(api, requests_per_minute=2).encode(TEXTS)
    assert not api.faults and len(api.headers) == 4
    assert [29 < wait <= 30 for wait in waits if wait > 1] == [True] * 3


def test_somebody_who_waits_is_told_rather_than_kept_waiting(api, monkeypatch):
    waits: list[float] = []
    monkeypatch.setattr(kind.time, "sleep", waits.append)
    encoder = encoder_for(api, requests_per_minute=2)
    encoder.hurry()
    encoder.encode(TEXTS[:1])
    with pytest.raises(UnavailableError, match=r"asked too often: .* is 2, .* sent in (29|30) s"):
        encoder.encode(TEXTS[1:2])
    assert waits == [0] and len(api.requests) == 1


def write_inputs(api, names, **changes):
    """Write what the stage reads: parameters, products of these names, and weights."""
    params = YAML(typ="safe").load(TOP / "params.yaml")
    params["encoders"]["small"] = settings_for(api, **changes).model_dump(mode="json")
    params["text"]["encoders"] = ["small"]
    with Path("params.yaml").open("w") as file:
        YAML().dump(params, file)
    n = len(names)
    skus = [f"s{at}" for at in range(n)]
    columns = [skus, names, [""] * n, [""] * n, ["x"] * n, [None] * n]
    arrays = [pa.array(c, f.type) for c, f in zip(columns, SCHEMA, strict=True)]
    write_table(PRODUCTS, pa.table(arrays, schema=SCHEMA))
    fetch_weights.main()


def test_a_killed_run_pays_again_for_what_was_under_way_alone(api, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["stage", "--encoder", "small"])
    write_inputs(api, TEXTS, batch_size=2)
    answered = []

    def kills(asked):
        answered.extend(api.texts)
        process.kill()
        return good(asked)

    api.faults = [good, kills]
    process = subprocess.Popen(
        [sys.executable, "-m", "stages.embed_text", "--encoder", "small"],
        env=os.environ | {"PYTHONPATH": str(TOP)},
        stderr=subprocess.DEVNULL,
    )
    assert process.wait(60) == -signal.SIGKILL
    api.requests.clear()
    embed_text.main()
    assert len(answered) == 2
    assert sorted(api.texts) == sorted(set(TEXTS) - set(answered))


def test_two_runs_at_once_pay_for_each_text_once(api, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["stage", "--encoder", "small"])
    write_inputs(api, TEXTS, batch_size=1)

    others, first_lines = [], []

    def starts_another(asked):
        others.append(
            subprocess.Popen(
                [sys.executable, "-m", "stages.embed_text", "--encoder", "small"],
                env=os.environ | {"PYTHONPATH": str(TOP)},
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        first_lines.append(others[0].stderr.readline())
        return good(asked)

    api.faults = [starts_another]
    embed_text.main()
    (other,) = others
    said = other.communicate(timeout=60)[1]
    assert other.returncode == 0, said
    assert first_lines == ["waiting for another run, which embeds by an endpoint\n"]
    assert sorted(api.texts) == sorted(TEXTS)


def test_the_stage_embeds_with_it_and_the_key_is_written_nowhere(api, monkeypatch, capfd):
    monkeypatch.setattr(sys, "argv", ["stage", "--encoder", "small"])
    write_inputs(api, ["a cable", "", "abba"], usd_per_million_tokens=0.02)
    embed_text.main()
    table = read_table(embeddings("text", "small"))
    rows, present = from_arrow(table["embedding"])
    assert present.tolist() == [True, False, True]
    np.testing.assert_array_equal(rows[present], vectors_of(["a cable", "abba"]))
    assert metadata_of(table.schema)["weights"]["kind"] == "none"
    said = capfd.readouterr()
    assert "small: 3 tokens, 0.0000 USD" in said.out
    assert SECRET not in said.out + said.err
    written = [file for file in Path().rglob("*") if file.is_file()]
    assert any(cache_folder() in file.parents for file in written)
    assert not [file for file in written if SECRET.encode() in file.read_bytes()]


def test_no_key_is_needed_where_all_vectors_are_in_the_cache(api, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["stage", "--encoder", "small"])
    monkeypatch.setattr(kind, "OPENAI", api.url)
    write_inputs(api, TEXTS)
    embed_text.main()
    monkeypatch.delenv(kind.KEY)
    before = embeddings("text", "small").read_bytes()
    embed_text.main()
    assert embeddings("text", "small").read_bytes() == before and len(api.requests) == 1
    write_inputs(api, [*TEXTS, "a new one"])
    with pytest.raises(InputError, match=f"set the environment variable {kind.KEY}"):
        embed_text.main()
    assert len(api.requests) == 1


def test_texts_that_are_alike_where_they_are_read_are_paid_for_once(api, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["stage", "--encoder", "small"])
    names = ["a cable, black", "a cable, white", "a charger"]
    write_inputs(api, names, max_chars=7)
    embed_text.main()
    assert sorted(api.texts) == ["a cable", "a charg"]
    table = read_table(embeddings("text", "small"))
    wanted = vectors_of([name[:7] for name in names])
    np.testing.assert_array_equal(from_arrow(table["embedding"])[0], wanted)
    # Their vector is still said to be one of several texts, and what makes it so.
    said = capsys.readouterr()
    words = "3 different texts have 2 different vectors, 2 texts share one; 3 are cut"
    assert words in said.out
    assert "raise encoders.small.max_tokens or max_chars if it has that key" in said.err


def test_another_limit_asks_for_those_texts_alone_that_it_cuts_elsewhere(api, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["stage", "--encoder", "small"])
    names = ["a cable", "a charger, black"]
    for max_chars in (8000, 9):
        write_inputs(api, names, max_chars=max_chars)
        embed_text.main()
    assert sorted(api.texts) == ["a cable", "a charger", "a charger, black"]
