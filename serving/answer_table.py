"""Predictions as a table: a row per product, in their order."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from serving.answers import Candidate, Prediction

if TYPE_CHECKING:
    import pandas as pd

CANDIDATE = pa.struct([("label", pa.string()), ("probability", pa.float64())])
SCHEMA = pa.schema(
    [
        pa.field("sku", pa.string()),
        pa.field("label", pa.string()),
        pa.field("probability", pa.float64()),
        pa.field("decision", pa.string(), nullable=False),
        pa.field("top", pa.list_(CANDIDATE), nullable=False),
        pa.field("image_label", pa.string()),  # what the image says without the text
        pa.field("image_probability", pa.float64()),
        pa.field("text_label", pa.string()),
        pa.field("text_probability", pa.float64()),
        pa.field("missing", pa.list_(pa.string()), nullable=False),
        pa.field("image_error", pa.string()),
        pa.field("error", pa.string()),
    ]
)

# One more column where they were asked for.
NEIGHBOR = pa.struct(
    [
        ("sku", pa.string()),
        ("name", pa.string()),
        ("label", pa.string()),
        ("similarity", pa.float64()),
        ("thumbnail", pa.binary()),
    ]
)
NEIGHBORS = pa.field("neighbors", pa.list_(NEIGHBOR))


def to_table(predictions: Sequence[Prediction], has_neighbors: bool = False) -> pa.Table:
    """Return predictions as a table of SCHEMA, with NEIGHBORS if they were asked for."""
    return pa.Table.from_pylist([_row(one) for one in predictions], schema=_schema(has_neighbors))


def to_frame(
    predictions: Sequence[Prediction], index: "pd.Index", has_neighbors: bool = False
) -> "pd.DataFrame":
    """Return predictions as a DataFrame with the columns of `to_table`, and with `index`."""
    import pandas as pd

    rows = [_row(one) for one in predictions]
    return pd.DataFrame(rows, columns=_schema(has_neighbors).names, index=index)


def _schema(has_neighbors: bool) -> pa.Schema:
    return SCHEMA.append(NEIGHBORS) if has_neighbors else SCHEMA


def _row(one: Prediction) -> dict[str, Any]:
    return {
        "sku": one.sku,
        "label": one.label,
        "probability": one.probability,
        "decision": one.decision,
        "top": [_candidate(each) for each in one.top],
        **_alone("image", one.image),
        **_alone("text", one.text),
        "missing": one.missing,
        "image_error": one.image_error,
        "error": one.error,
        "neighbors": None if one.neighbors is None else [vars(near) for near in one.neighbors],
    }


def _candidate(one: Candidate) -> dict[str, Any]:
    return {"label": one.label, "probability": one.probability}


def _alone(name: str, one: Candidate | None) -> dict[str, Any]:
    return {
        f"{name}_label": one.label if one else None,
        f"{name}_probability": one.probability if one else None,
    }
