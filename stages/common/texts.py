"""A product's text, as encoders of texts read it: its fields as one line."""

from collections.abc import Iterable, Sequence

import pyarrow as pa


def join_fields(values: Iterable[str], prefix: str = "") -> str:
    """Return the values that are not empty as one text: "name. description".

    `prefix` is put in front of a text that is not empty.
    """
    text = ". ".join(filter(None, values))
    return prefix + text if text else ""


def texts_of(products: pa.Table, fields: Sequence[str], prefix: str = "") -> list[str]:
    """Return the text of each product of a table that has the columns `fields`."""
    columns = [products[field].to_pylist() for field in fields]
    return [join_fields(values, prefix) for values in zip(*columns, strict=True)]
