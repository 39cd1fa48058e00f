"""What a request and its answer look like: the types behind /openapi.json."""

import base64
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer
from pydantic.json_schema import SkipJsonSchema

MAX_CHARACTERS = 50_000  # of a text

Text = Annotated[str, Field(max_length=MAX_CHARACTERS)]
Thumbnail = Annotated[
    bytes, PlainSerializer(lambda jpeg: base64.b64encode(jpeg).decode(), return_type=str)
]


class RequestProduct(BaseModel):
    """A product to predict for. Each part may be missing."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra={"title": "Product"})

    sku: Text | None = Field(None, description="comes back with the answer")
    name: Text | None = None
    description: Text | None = None
    manufacturer: Text | None = None
    image: str | SkipJsonSchema[bytes] | None = Field(
        None, description="the image file in base64, or as a data: URL"
    )
    image_url: Text | None = Field(
        None, description="where the image is, on one of the hosts that the server's settings name"
    )


class PredictRequest(BaseModel):
    """Products, and what to say of them."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    products: list[RequestProduct] = Field(min_length=1)
    accuracy: float = Field(0.95, description="one of those that /v1/labels lists")
    top: int = Field(3, ge=1, le=100, description="how many classes to name")
    neighbors: int = Field(0, ge=0, le=10, description="how many training products to show")


class LabelProbability(BaseModel):
    """A class and its calibrated probability."""

    model_config = ConfigDict(from_attributes=True)

    label: str
    probability: float


class NearProduct(BaseModel):
    """A training product that is much like the one asked for; `thumbnail` is a JPEG in base64."""

    model_config = ConfigDict(from_attributes=True)

    sku: str
    name: str
    label: str
    similarity: float
    thumbnail: Thumbnail | None


class ProductPrediction(BaseModel):
    """What the model says of a product.

    `decision` is `file` where the probability reaches the threshold of the accuracy, else `ask`: a
    person should look. `image` and `text` say what each would be without the other. `missing` names
    the inputs that the product lacks, `image_error` why its image could not be used, `error` why
    there is no answer. `neighbors` is null unless they were asked for.
    """

    model_config = ConfigDict(from_attributes=True)

    sku: str | None
    label: str | None
    probability: float | None
    decision: Literal["file", "ask"]
    top: list[LabelProbability]
    image: LabelProbability | None
    text: LabelProbability | None
    missing: list[str]
    image_error: str | None
    error: str | None
    neighbors: list[NearProduct] | None = None


class PredictResponse(BaseModel):
    """The model, the accuracy that decides, and a prediction per product, in their order.

    `version` tells the model from another one of the same name, such as last month's.
    """

    model: str
    version: str
    accuracy: float
    predictions: list[ProductPrediction]


class AccuracyThreshold(BaseModel):
    """An accuracy, and the lowest probability above which it is promised; null where none is."""

    accuracy: float
    threshold: float | None


class LabelsResponse(BaseModel):
    """What the model knows, and which inputs of a product it sees."""

    model: str
    version: str
    labels: list[str]
    inputs: list[str]
    accuracies: list[AccuracyThreshold]
    has_random_weights: bool


class HealthResponse(BaseModel):
    """Whether the server answers."""

    status: Literal["ok"]


class ErrorResponse(BaseModel):
    """Why there is no answer."""

    detail: str
