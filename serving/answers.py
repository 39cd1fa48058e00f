"""What the predictor answers, a row per product."""

from dataclasses import dataclass, field
from typing import Final, Literal

FILE: Final = "file"
ASK: Final = "ask"


@dataclass(frozen=True)
class Candidate:
    """A class that a product may belong to, and its calibrated probability."""

    label: str
    probability: float


@dataclass(frozen=True)
class Neighbor:
    """A training product; `similarity` is the cosine to what was asked for, from -1 to 1."""

    sku: str
    name: str
    label: str
    similarity: float
    thumbnail: bytes | None  # a small JPEG


@dataclass(frozen=True)
class Prediction:
    """What the model says of one product.

    `decision` is `file` where the probability reaches the threshold of the accuracy that was asked
    for, else `ask`: a person should look. `top` has the most probable classes, the answer first.
    `image` and `text` say what each would be without the other, None where it is missing or the
    model does not see it. `missing` names the inputs of the model that the product lacks,
    `image_error` why an image that it names could not be used. `error` says why there is no answer
    at all: then label and probability are None, `top` is empty and the decision is `ask`.
    `neighbors` are the training products most like it, nearest first; None unless asked for.
    """

    sku: str | None
    label: str | None
    probability: float | None
    decision: Literal["file", "ask"]
    top: list[Candidate] = field(default_factory=list)
    image: Candidate | None = None
    text: Candidate | None = None
    missing: list[str] = field(default_factory=list)
    image_error: str | None = None
    error: str | None = None
    neighbors: list[Neighbor] | None = None
