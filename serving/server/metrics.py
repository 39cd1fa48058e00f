"""What /metrics tells of the server."""

import time
from collections.abc import Collection, Sequence

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.answers import Prediction
from stages.fusion.model_file import ModelFile

PREFIX = "product_classifier"
SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
PROBABILITIES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 1)
ERROR = "error"
UNKNOWN = "other"
HUNG_UP = 499  # the client did not wait


class Metrics:
    """The counters of one application, and which model it serves."""

    def __init__(self, file: ModelFile) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self.requests = Counter(
            f"{PREFIX}_requests", "requests", ["route", "status"], registry=self._registry
        )
        self.seconds = Histogram(
            f"{PREFIX}_request_seconds",
            "seconds from a request's headers to its answer",
            ["route"],
            buckets=SECONDS,
            registry=self._registry,
        )
        info = Info(f"{PREFIX}_model", "the model that is served", registry=self._registry)
        info.info({"name": file.name, "version": file.version})
        self._products = Counter(
            f"{PREFIX}_products",
            "products that were predicted, by what is to be done with them",
            ["decision"],
            registry=self._registry,
        )
        self._classes = Counter(
            f"{PREFIX}_predictions", "predictions of a class", ["label"], registry=self._registry
        )
        self._probabilities = Histogram(
            f"{PREFIX}_probability",
            "probability of the class that is predicted",
            buckets=PROBABILITIES,
            registry=self._registry,
        )
        self._missing = Counter(
            f"{PREFIX}_missing",
            "products without an input that the model sees",
            ["input"],
            registry=self._registry,
        )
        self.batches = Histogram(
            f"{PREFIX}_batch_products",
            "products that were predicted together",
            buckets=SIZES,
            registry=self._registry,
        )
        self.queue = Gauge(
            f"{PREFIX}_queue_products", "products without their answer", registry=self._registry
        )

    def count(self, predictions: Sequence[Prediction]) -> None:
        """Count predictions by what changes where new products are unlike those of the training."""
        for one in predictions:
            self._products.labels(ERROR if one.error else one.decision).inc()
            for name in one.missing:
                self._missing.labels(name).inc()
            if one.label is not None and one.probability is not None:
                self._classes.labels(one.label).inc()
                self._probabilities.observe(one.probability)

    def text(self) -> bytes:
        """Return all of them in Prometheus' text format."""
        return generate_latest(self._registry)


class MeasuredApp:
    """Counts the requests of an application by route and status, and times them.

    `routes` are the paths that exist: any other would make a label that stays for ever.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, routes: Collection[str]) -> None:
        self._app = app
        self._metrics = metrics
        self._routes = frozenset(routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status = time.perf_counter(), 0

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watch)
            status = status or HUNG_UP  # nobody else gets no answer
        finally:
            route = scope["path"] if scope["path"] in self._routes else UNKNOWN
            self._metrics.requests.labels(route, str(status or 500)).inc()
            self._metrics.seconds.labels(route).observe(time.perf_counter() - start)
