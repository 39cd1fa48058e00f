"""What the server does with products: read them, put them into batches, predict."""

import asyncio
import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Self, TypeVar

from serving.answers import Prediction
from serving.products import Product
from serving.server.batching import Batcher
from serving.server.errors import Refusal, busy
from serving.server.images import check_pixels, decode
from serving.server.metrics import Metrics
from serving.server.schemas import RequestProduct
from serving.server.settings import ServerSettings
from stages.download.image_conversion import ImageError

if TYPE_CHECKING:
    from serving.neighbors import Neighbor
    from serving.predictor import Predictor
    from serving.server.image_hosts import ImageHosts

T = TypeVar("T")

READERS = max(2, os.cpu_count() or 1)  # threads that read products and their images
AT_ONCE = 2  # batches of one request that are in work, so that other requests get their turn
MAX_WAIT_S = 60


@dataclass(frozen=True)
class Options:
    """What is asked of products: see PredictRequest."""

    accuracy: float = 0.95
    top: int = 3
    neighbors: int = 0


@dataclass(frozen=True)
class Answer:
    """What the model says of a product; `neighbors` is None unless they were asked for."""

    prediction: Prediction
    neighbors: "list[Neighbor] | None"


class Service:
    """A predictor that many requests share. Use it as an asynchronous context manager."""

    def __init__(self, predictor: "Predictor", settings: ServerSettings) -> None:
        self.predictor = predictor
        self.settings = settings
        self.metrics = Metrics()
        self._readers = ThreadPoolExecutor(READERS, "read")
        self._queued = 0
        self._batcher: Batcher[Product, Options, Answer] | None = None
        self._hosts: ImageHosts | None = None

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
        if settings.image_hosts:
            from serving.server.image_hosts import ImageHosts

            self._hosts = ImageHosts(
                settings.image_hosts,
                max_bytes=settings.max_image_bytes,
                timeout_s=settings.request_timeout_s / 2,
                allow_private=settings.private_image_hosts,
            )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop."""
        if self._hosts:
            await self._hosts.close()
        if self._batcher:
            await self._batcher.stop()
        self._readers.shutdown(wait=True, cancel_futures=True)

    @property
    def is_well(self) -> bool:
        """Whether it answers: it has started, and no batch takes longer than a request may."""
        batcher = self._batcher
        return batcher is not None and not batcher.is_stuck(self.settings.request_timeout_s)

    async def predict(
        self, products: Sequence[RequestProduct], options: Options
    ) -> Sequence[Answer]:
        """Return an answer per product, in their order.

        Raises Refusal where the accuracy is not one of the model's, there are too many products,
        too many wait already, or it takes too long.
        """
        self._check(products, options)
        size = self._started.room
        turns = asyncio.Semaphore(AT_ONCE)

        async def answer(part: Sequence[RequestProduct]) -> Sequence[Answer]:
            async with turns:
                return await self._started.run(await self._read(part), options)

        with self._admitted(len(products)):
            try:
                async with asyncio.timeout(self.settings.request_timeout_s):
                    starts = range(0, len(products), size)
                    parts = await asyncio.gather(*[answer(products[i : i + size]) for i in starts])
            except TimeoutError:
                raise Refusal(
                    HTTPStatus.SERVICE_UNAVAILABLE,
                    f"no answer within {self.settings.request_timeout_s:g} seconds: try again, or "
                    "send fewer products",
                    {"Retry-After": str(self._wait_s())},
                ) from None
        self.metrics.products.inc(len(products))
        return [found for part in parts for found in part]

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Return what `work` returns, called in one of the threads that read."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, work)

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
    def _started(self) -> "Batcher[Product, Options, Answer]":
        if self._batcher is None:
            raise RuntimeError("the service is not started")
        return self._batcher

    async def _read(self, products: Sequence[RequestProduct]) -> Sequence[Product]:
        """Read products, each image in a thread; texts alone are read together."""
        if not any(self._has_image(product) for product in products):
            return await self.in_thread(lambda: [self._product(p, None) for p in products])
        return await asyncio.gather(*map(self._read_one, products))

    async def _read_one(self, product: RequestProduct) -> Product:
        image: str | bytes | ImageError | None = product.image
        if self._has_image(product) and product.image_url:
            image = await self._fetch(product)
        return await self.in_thread(partial(self._product, product, image))

    async def _fetch(self, product: RequestProduct) -> bytes | ImageError:
        if product.image:
            return ImageError("both image and image_url: give one of them")
        if self._hosts is None:
            return ImageError("the server fetches no images: send the file as image, in base64")
        try:
            return await self._hosts.fetch(product.image_url or "")
        except ImageError as error:
            return error

    def _has_image(self, product: RequestProduct) -> bool:
        """Return whether there is an image that the model sees."""
        return "image" in self.predictor.inputs and bool(product.image or product.image_url)

    def _product(self, given: RequestProduct, image: str | bytes | ImageError | None) -> Product:
        """Return a product as the predictor takes it; its `image_error` says what is wrong."""
        row = given.model_dump(include={"sku", "name", "description", "manufacturer"})
        if not image or "image" not in self.predictor.inputs:
            return self.predictor.read(row)
        try:
            if isinstance(image, ImageError):
                raise image
            content = decode(image, self.settings.max_image_bytes)
            check_pixels(content, self.settings.max_megapixels)
        except ImageError as error:
            return replace(self.predictor.read(row), image_error=str(error))
        return self.predictor.read({**row, "image": content})

    def _compute(self, products: Sequence[Product], options: Options) -> Sequence[Answer]:
        predictions = self.predictor.predict_products(
            products, accuracy=options.accuracy, top=options.top
        )
        if not options.neighbors:
            return [Answer(prediction, None) for prediction in predictions]
        near = self.predictor.neighbors(products, options.neighbors)
        return [Answer(*pair) for pair in zip(predictions, near, strict=True)]
