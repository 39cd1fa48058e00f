"""The products to predict for, as the predictor takes them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Product:
    """A product whose texts are clean and whose image is the JPEG that the encoders take.

    `jpeg` is None where it has no image or where `image_error` says why that could not be used.
    `error` says why the row as a whole could not be read.
    """

    sku: str | None = None
    name: str = ""
    description: str = ""
    manufacturer: str = ""
    jpeg: bytes | None = None
    image_error: str | None = None
    error: str | None = None
