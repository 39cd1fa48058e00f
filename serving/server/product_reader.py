"""Products of requests as the predictor takes them: their images fetched, decoded, converted."""

import asyncio
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from serving.products import Product
from serving.server.images import check_pixels, decode
from serving.server.schemas import RequestProduct
from serving.server.settings import ServerSettings
from stages.download.image_conversion import ImageError

if TYPE_CHECKING:
    from serving.predictor import Predictor
    from serving.server.image_hosts import ImageHosts

T = TypeVar("T")

READERS = max(2, os.cpu_count() or 1)  # threads
FETCHED = 16  # images that are fetched, or wait fetched to be decoded: they fill the memory


class ProductReader:
    """Reads products in threads, away from the event loop."""

    def __init__(self, predictor: "Predictor", settings: ServerSettings) -> None:
        self._predictor = predictor
        self._settings = settings
        self._threads = ThreadPoolExecutor(READERS, "read")
        self._fetched = asyncio.Semaphore(FETCHED)
        self._hosts: ImageHosts | None = None

    def start(self) -> None:
        """Get ready to fetch, in the loop that runs."""
        settings = self._settings
        if settings.image_hosts:
            from serving.server.image_hosts import ImageHosts

            self._hosts = ImageHosts(
                settings.image_hosts,
                max_bytes=settings.max_image_bytes,
                timeout_s=settings.request_timeout_s / 2,
                allow_private=settings.private_image_hosts,
            )

    async def stop(self) -> None:
        """Close connections and end the threads."""
        if self._hosts:
            await self._hosts.close()
        self._threads.shutdown(wait=True, cancel_futures=True)

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Return what `work` returns, called in one of the threads."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def read(self, products: Sequence[RequestProduct]) -> Sequence[Product]:
        """Return products as the predictor takes them, each image read in a thread.

        Nothing is raised for an image: `image_error` says what is wrong with it.
        """
        if not any(map(self._has_image, products)):
            return await self.in_thread(lambda: [self._product(p, None) for p in products])
        return await asyncio.gather(*map(self._read_one, products))

    async def _read_one(self, product: RequestProduct) -> Product:
        if not product.image_url or not self._has_image(product):
            return await self.in_thread(partial(self._product, product, product.image))
        async with self._fetched:
            image = await self._fetch(product.image_url, product.image)
            return await self.in_thread(partial(self._product, product, image))

    async def _fetch(self, url: str, image: str | bytes | None) -> bytes | ImageError:
        if image:
            return ImageError("both image and image_url: give one of them")
        if self._hosts is None:
            return ImageError("the server fetches no images: send the file as image, in base64")
        try:
            return await self._hosts.fetch(url)
        except ImageError as error:
            return error

    def _has_image(self, product: RequestProduct) -> bool:
        """Return whether there is an image that the model sees."""
        return "image" in self._predictor.inputs and bool(product.image or product.image_url)

    def _product(self, given: RequestProduct, image: str | bytes | ImageError | None) -> Product:
        row = given.model_dump(include={"sku", "name", "description", "manufacturer"})
        if image is None or not self._has_image(given):
            return self._predictor.read(row)
        try:
            if isinstance(image, ImageError):
                raise image
            content = decode(image, self._settings.max_image_bytes)
            check_pixels(content, self._settings.max_megapixels)
        except ImageError as error:
            return replace(self._predictor.read(row), image_error=str(error))
        return self._predictor.read({**row, "image": content})
