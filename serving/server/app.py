"""The application: its routes, and what stands before them."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.routing import Route

from serving.server.bodies import read_predict_request
from serving.server.errors import Refusal, response_to_wrong_option
from serving.server.guard import OPEN, Guard, HungUp
from serving.server.head import HeadAsGet
from serving.server.metrics import HUNG_UP, MeasuredApp
from serving.server.openapi import REFUSALS, add_key, request_body, routes_page
from serving.server.page import mount_page
from serving.server.schemas import (
    AccuracyThreshold,
    HealthResponse,
    LabelsResponse,
    PredictResponse,
    ProductPrediction,
)
from serving.server.service import Options, Service
from serving.server.settings import ServerSettings

if TYPE_CHECKING:
    from serving.predictor import Predictor

T = TypeVar("T")

TITLE = "Product classifier"
DESCRIPTION = (
    "Sorts products into classes by their image and their text, and says of each how sure it is."
)


def create_app(predictor: "Predictor", settings: ServerSettings) -> FastAPI:
    """Return the application that serves `predictor`."""
    service = Service(predictor, settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with service:
            yield

    app = FastAPI(
        title=TITLE,
        description=DESCRIPTION,
        docs_url=None,  # FastAPI's own page loads its scripts from another host
        redoc_url=None,
        redirect_slashes=False,  # to the host that the request names, whatever it is
        lifespan=lifespan,
    )
    _add_predict(app, service)
    _add_routes(app, service)
    mount_page(app, service)
    if settings.api_key is not None:
        add_key(app.openapi(), OPEN)
    app.state.service = service
    app.add_exception_handler(RequestValidationError, response_to_wrong_option)
    app.add_middleware(Guard, settings=settings)
    routes = [route.path for route in app.routes if isinstance(route, Route)]
    app.add_middleware(MeasuredApp, metrics=service.metrics, routes=routes)
    app.add_middleware(HeadAsGet)
    return app


def _add_predict(app: FastAPI, service: Service) -> None:
    file = service.predictor.file
    model, version = file.name, file.version

    @app.post(
        "/v1/predict",
        summary="Predict",
        response_model=PredictResponse,
        responses=REFUSALS,
        openapi_extra=request_body(),
    )
    async def predict(request: Request) -> Response:
        """Say where products belong: one or many in JSON, or one in a form with its image file.

        There is an answer per product, in their order. A product that cannot be read, or whose
        image cannot, says so in its own answer and harms no other.
        """
        asked = await read_predict_request(request, service)
        options = Options(asked.accuracy, asked.top, asked.neighbors)
        try:
            answers = await _while_connected(request, service.predict(asked.products, options))
        except HungUp:
            return Response(status_code=HUNG_UP)
        predictions = [ProductPrediction.model_validate(answer) for answer in answers]
        found = PredictResponse(
            model=model, version=version, accuracy=asked.accuracy, predictions=predictions
        )
        return Response(found.model_dump_json(), media_type="application/json")


def _add_routes(app: FastAPI, service: Service) -> None:
    labels = _labels(service.predictor)

    @app.get("/v1/labels", summary="Labels", responses={n: REFUSALS[n] for n in (401, 429)})
    async def list_labels() -> LabelsResponse:
        """Return the model's classes, its inputs, and the accuracies that may be asked for."""
        return labels

    @app.get("/health", summary="Health", responses={503: REFUSALS[503]})
    async def health() -> HealthResponse:
        """Return whether the server answers."""
        if not service.is_well:
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "the model does not answer: restart")
        return HealthResponse(status="ok")

    @app.get("/metrics", summary="Metrics", responses={401: REFUSALS[401]})
    async def metrics() -> Response:
        """Return counters in Prometheus' text format."""
        return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(routes_page(app.openapi()))


def has_random_weights(predictor: "Predictor") -> bool:
    """Return whether an encoder has weights that were drawn, because none could be obtained."""
    return any(entry.weights.kind == "random" for entry in predictor.file.encoders.values())


def _labels(predictor: "Predictor") -> LabelsResponse:
    thresholds = predictor.file.thresholds.items()
    return LabelsResponse(
        model=predictor.file.name,
        version=predictor.file.version,
        labels=predictor.labels,
        inputs=sorted(predictor.inputs),
        accuracies=[AccuracyThreshold(accuracy=float(a), threshold=p) for a, p in thresholds],
        has_random_weights=has_random_weights(predictor),
    )


async def _while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Return what `work` returns; give it up with HungUp when the client hangs up."""
    working = asyncio.ensure_future(work)
    watching = asyncio.ensure_future(_hang_up(request))
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise HungUp
        return working.result()
    finally:
        working.cancel()
        watching.cancel()


async def _hang_up(request: Request) -> None:
    """Return when the client hangs up."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
