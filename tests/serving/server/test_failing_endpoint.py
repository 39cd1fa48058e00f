"""Where the endpoint that embeds texts fails, clients are told, and no text is paid for twice."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from helpers.embeddings_api import EmbeddingsApi, embeddings_api
from helpers.models import LABELS, image_of, make_model, row_of
from helpers.servers import in_json

from serving import Predictor
from serving.server.__main__ import warm_up
from serving.server.app import create_app
from serving.server.settings import ServerSettings

SECRET = "sk-secret-of-a-test"


def fails(status: int) -> Callable[[dict[str, Any]], Any]:
    return lambda asked: (status, {"Retry-After": "60"}, {"error": {"message": f"no {SECRET}"}})


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddingsApi]:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    with embeddings_api() as api:
        yield api


@pytest.fixture
def client(api: EmbeddingsApi, tmp_path: Path) -> Iterator[TestClient]:
    text = {"kind": "openai", "model": "small", "dimensions": 5, "base_url": api.url}
    predictor = Predictor.load(make_model(tmp_path / "model", text=text))
    with TestClient(create_app(predictor, ServerSettings())) as client:
        api.requests.clear()
        yield client


def ask(client: TestClient, number: int = 0, **changes: Any) -> Any:
    product = in_json({**row_of(LABELS[0], number), **changes})
    return client.post("/v1/predict", json={"products": [product]})


@pytest.mark.parametrize("status", [401, 429, 500])
def test_a_failure_is_said_at_once_and_the_server_stays_well(
    client: TestClient, api: EmbeddingsApi, status: int
) -> None:
    api.faults = [fails(status)]
    answer = ask(client)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "10")
    said = answer.json()["detail"]
    assert f"answers {status} for small" in said
    assert SECRET not in said and "kept" not in said
    assert api.requests == [] and api.faults == []  # it was asked once
    assert client.get("/health").status_code == 200
    assert ask(client).status_code == 200


def test_the_server_starts_without_asking_the_endpoint(api: EmbeddingsApi, tmp_path: Path) -> None:
    text = {"kind": "openai", "model": "small", "dimensions": 5, "base_url": api.url}
    predictor = Predictor.load(make_model(tmp_path / "model", text=text))
    api.requests.clear()
    warm_up(predictor)
    assert api.requests == []


def test_a_product_without_text_needs_no_endpoint(client: TestClient, api: EmbeddingsApi) -> None:
    api.faults = [fails(500)]
    answer = ask(client, name="", description="", image=image_of(LABELS[0], 0))
    assert answer.status_code == 200
    assert answer.json()["predictions"][0]["missing"] == ["text"]
    assert len(api.faults) == 1
