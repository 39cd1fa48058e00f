"""What the server does with products: read them, put them into batches, predict."""

import asyncio
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Self, TypeVar

from serving.answers import Prediction
from serving.products import Product
from serving.server.batching import Batcher
from serving.server.errors import Refusal, busy
from serving.server.metrics import Metrics
from serving.server.product_reader import ProductReader
from serving.server.schemas import RequestProduct
from serving.server.settings import ServerSettings
from stages.common.errors import UnavailableError

if TYPE_CHECKING:
    from serving.predictor import Predictor

T = TypeVar("T")

AT_ONCE = 2  # batches of one request that are in work, so that other requests get their turn
MAX_WAIT_S = 60
UNAVAILABLE_S = 10  # after which an encoder on another machine may answer again


@dataclass(frozen=True)
class Options:
    """What is asked of products: see PredictRequest."""

    accuracy: float = 0.95
    top: int = 3
    neighbors: int = 0


class Service:
    """A predictor that many requests share. Use it as an asynchronous context manager."""

    def __init__(self, predictor: "Predictor", settings: ServerSettings) -> None:
        predictor.hurry()
        self.predictor = predictor
        self.settings = settings
        self.metrics = Metrics(predictor.file)
        self.is_stopping = False  # no more requests come
        self._reader = ProductReader(predictor, settings)
        self._queued = 0
        self._batcher: Batcher[Product, Options, Prediction] | None = None

    async def __aenter__(self) -> Self:
        """Start to answer."""
        settings = self.settings
        self._batcher = Batcher(
            self._compute,
            size=settings.batch_size,
            batch_s=settings.batch_ms / 1000,
            wait_s=settings.batch_wait_ms / 1000,
            observe=self.metrics.batches.observe,
        )
        self._batcher.start()
        self._reader.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop."""
        await self._reader.stop()
        if self._batcher:
            await self._batcher.stop()

    @property
    def is_well(self) -> bool:
        """Whether it answers: it has started, and no batch takes longer than a request may."""
        batcher = self._batcher
        return batcher is not None and not batcher.is_stuck(self.settings.request_timeout_s)

    async def predict(
        self, products: Sequence[RequestProduct], options: Options
    ) -> Sequence[Prediction]:
        """Return a prediction per product, in their order.

        Raises Refusal where the accuracy is not one of the model's, there are too many products,
        too many wait already, it takes too long, or an encoder on another machine does not answer.
        """
        self._check(products, options)
        size = self._started.room
        turns = asyncio.Semaphore(AT_ONCE)

        async def answer(part: Sequence[RequestProduct]) -> Sequence[Prediction]:
            async with turns:
                return await self._started.run(await self._reader.read(part), options)

        with self._admitted(len(products)):
            starts = range(0, len(products), size)
            work = [asyncio.ensure_future(answer(products[i : i + size])) for i in starts]
            try:
                async with asyncio.timeout(self.settings.request_timeout_s):
                    parts = await asyncio.gather(*work)
            except TimeoutError:
                raise Refusal(
                    HTTPStatus.SERVICE_UNAVAILABLE,
                    f"no answer within {self.settings.request_timeout_s:g} seconds: try again, or "
                    "send fewer products",
                    {"Retry-After": str(self._wait_s())},
                ) from None
            except UnavailableError as error:
                raise Refusal(
                    HTTPStatus.SERVICE_UNAVAILABLE, str(error), {"Retry-After": str(UNAVAILABLE_S)}
                ) from None
            finally:
                for part in work:  # where one fails, nobody waits for the others
                    part.cancel()
        answers = [found for part in parts for found in part]
        self.metrics.count(answers)
        return answers

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Return what `work` returns, called in one of the threads that read."""
        return await self._reader.in_thread(work)

    def _check(self, products: Sequence[RequestProduct], options: Options) -> None:
        accuracies, limit = self.predictor.accuracies, self.settings.max_products
        if options.accuracy not in accuracies:
            known = ", ".join(map(str, accuracies))
            raise Refusal(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                f"accuracy: the model has no threshold for {options.accuracy}: one of {known}",
            )
        if len(products) > limit:
            raise Refusal(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"products: {len(products)}, and a request may have {limit}: send them in parts",
            )

    @contextmanager
    def _admitted(self, count: int) -> Iterator[None]:
        """Count products while they are in work; raise Refusal where there are too many."""
        if self._queued + count > self.settings.max_queue:
            raise busy(f"{self._queued} products wait already: try again later", self._wait_s())
        self._queued += count
        self.metrics.queue.set(self._queued)
        try:
            yield
        finally:
            self._queued -= count
            self.metrics.queue.set(self._queued)

    def _wait_s(self) -> int:
        """Return about how many seconds the products in work take."""
        return min(max(math.ceil(self._queued * self._started.item_s), 1), MAX_WAIT_S)

    @property
    def _started(self) -> "Batcher[Product, Options, Prediction]":
        if self._batcher is None:
            raise RuntimeError("the service is not started")
        return self._batcher

    def _compute(self, products: Sequence[Product], options: Options) -> Sequence[Prediction]:
        return self.predictor.predict_products(
            products, accuracy=options.accuracy, top=options.top, neighbors=options.neighbors
        )
