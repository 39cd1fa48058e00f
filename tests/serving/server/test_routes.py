"""The routes beside /v1/predict."""

import re

import pytest
from helpers.models import LABELS, THRESHOLDS

from serving.server.schemas import RequestProduct


def test_labels_say_what_the_model_knows_and_promises(client, predictor):
    found = client.get("/v1/labels").json()
    assert (found["labels"], found["inputs"]) == (LABELS, ["image", "text"])
    promised = {str(entry["accuracy"]): entry["threshold"] for entry in found["accuracies"]}
    assert promised == THRESHOLDS
    assert (found["model"], found["has_random_weights"]) == (predictor.file.name, False)


def test_health_is_said(client):
    assert client.get("/health").json() == {"status": "ok"}


@pytest.mark.parametrize(
    "path", ["/", "/health", "/metrics", "/docs", "/openapi.json", "/v1/labels"]
)
def test_a_probe_may_ask_with_head(client, path):
    answer = client.head(path)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["Content-Type"] == client.get(path).headers["Content-Type"]


def test_metrics_count_requests_products_and_batches(client_with):
    client = client_with()
    client.post("/v1/predict", json={"products": [{"name": "Lamp"}, {"name": "Radio"}]})
    client.post("/v1/predict", json={})
    for number in range(5):
        client.get(f"/no/such/path/{number}")
    lines = client.get("/metrics").text.splitlines()
    name = "product_classifier"
    assert f'{name}_requests_total{{route="/v1/predict",status="200"}} 1.0' in lines
    assert f'{name}_requests_total{{route="/v1/predict",status="422"}} 1.0' in lines
    assert f'{name}_requests_total{{route="other",status="404"}} 5.0' in lines
    assert f'{name}_batch_products_bucket{{le="1.0"}} 0.0' in lines
    assert f'{name}_batch_products_bucket{{le="2.0"}} 1.0' in lines
    assert f"{name}_queue_products 0.0" in lines
    assert any(line.startswith(f'{name}_request_seconds_count{{route="/v1/pre') for line in lines)


def test_metrics_count_a_request_that_is_refused_at_the_door_under_its_route(client_with):
    client = client_with(api_key="right", max_body_bytes=100)
    key = {"Authorization": "Bearer right"}
    assert client.post("/v1/predict", json={}).status_code == 401
    assert client.post("/v1/predict", content=bytes(101), headers=key).status_code == 413
    lines = client.get("/metrics", headers=key).text.splitlines()
    for status in (401, 413):
        counter = f'requests_total{{route="/v1/predict",status="{status}"}}'
        assert f"product_classifier_{counter} 1.0" in lines


def test_metrics_say_where_new_products_are_unlike_those_of_the_training(client_with, predictor):
    client = client_with()
    products = [{"name": "Lamp"}, {"name": "Radio"}, {"sku": "7"}]
    found = client.post("/v1/predict", json={"products": products}).json()["predictions"]
    decisions = [one["decision"] for one in found[:2]]
    lines = client.get("/metrics").text.splitlines()
    name = "product_classifier"
    for decision in set(decisions):
        count = float(decisions.count(decision))
        assert f'{name}_products_total{{decision="{decision}"}} {count}' in lines
    assert f'{name}_products_total{{decision="error"}} 1.0' in lines
    labels = [one["label"] for one in found[:2]]
    for label in set(labels):
        count = float(labels.count(label))
        assert f'{name}_predictions_total{{label="{label}"}} {count}' in lines
    assert f"{name}_probability_count 2.0" in lines
    assert f"{name}_probability_sum {sum(one['probability'] for one in found[:2])}" in lines
    assert f'{name}_missing_total{{input="image"}} 3.0' in lines
    assert f'{name}_missing_total{{input="text"}} 1.0' in lines
    model = f'name="{predictor.file.name}",version="{predictor.file.version}"'
    assert f"{name}_model_info{{{model}}} 1.0" in lines


def test_answers_tell_the_model_from_another_of_its_name(client, predictor):
    answer = client.post("/v1/predict", json={"products": [{"name": "Lamp"}]}).json()
    assert answer["version"] == client.get("/v1/labels").json()["version"]
    trained_anew = predictor.file.model_copy(update={"provenance": {"data": "of next month"}})
    assert trained_anew.name == answer["model"]
    assert trained_anew.version != answer["version"]


def test_docs_list_routes_and_fields_and_load_nothing(client):
    page = client.get("/docs").text
    for said in ("POST /v1/predict", "GET /v1/labels", *RequestProduct.model_fields, "429"):
        assert said in page
    assert re.findall(r"(?:src|href)=\"([^\"]*)", page) == ["/openapi.json"]
    assert "<script" not in page


def test_openapi_has_both_bodies_and_every_answer(client):
    route = client.get("/openapi.json").json()["paths"]["/v1/predict"]["post"]
    bodies = route["requestBody"]["content"]
    product = bodies["application/json"]["schema"]["properties"]["products"]["items"]
    assert set(product["properties"]) == set(RequestProduct.model_fields)
    assert "image" in bodies["multipart/form-data"]["schema"]["properties"]
    assert {"200", "401", "413", "415", "422", "429", "503"} <= set(route["responses"])
    example = bodies["application/json"]["example"]
    assert client.post("/v1/predict", json=example).status_code == 200


def test_openapi_says_where_the_key_is_needed(client, client_with):
    found = client_with(api_key="right").get("/openapi.json").json()
    assert found["components"]["securitySchemes"] == {"key": {"type": "http", "scheme": "bearer"}}
    routes = {path: next(iter(methods.values())) for path, methods in found["paths"].items()}
    locked = {path for path, route in routes.items() if route.get("security") == [{"key": []}]}
    assert locked == routes.keys() - {"/health"}
    assert all("401" in routes[path]["responses"] for path in locked)
    assert "security" not in client.get("/openapi.json").text


def test_other_paths_and_methods_are_refused_in_json(client):
    assert client.get("/nothing").json() == {"detail": "Not Found"}
    assert client.get("/v1/predict").status_code == 405
    assert client.head("/v1/predict").status_code == 405
    for path in ("/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/v1/..%2f..%2fetc/passwd"):
        assert client.get(path).status_code == 404
