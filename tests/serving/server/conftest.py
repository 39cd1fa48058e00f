"""The application without a network, with the models of tests/serving."""

import pytest
from fastapi.testclient import TestClient

from serving.server.app import create_app
from serving.server.settings import ServerSettings


@pytest.fixture(scope="session")
def client(predictor):
    with TestClient(create_app(predictor, ServerSettings(max_products=20))) as client:
        yield client


@pytest.fixture
def client_with(predictor):
    """Return a client of an application with other settings, or another predictor."""
    clients = []

    def make(model=predictor, **settings):
        client = TestClient(create_app(model, ServerSettings(**settings)))
        clients.append(client)
        return client.__enter__()

    yield make
    for client in clients:
        client.__exit__(None, None, None)
