"""The training products that are most like a product, by the vectors that the classifier sees."""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa

from serving.answers import Neighbor
from stages.common.errors import InputError
from stages.common.tables import metadata_of, read_table
from stages.fusion.features import unit_length

COLUMNS = ("sku", "name", "label", "thumbnail")


class NeighborIndex:
    """The vectors of training products, of unit length, beside what is shown of them."""

    def __init__(self, table: pa.Table, vectors: np.ndarray) -> None:
        self._table = table
        self._vectors = vectors

    @classmethod
    def load(cls, path: Path, blocks: Sequence[str]) -> Self | None:
        """Load the index of a model that has `blocks`; None where it has none.

        Raises InputError where the file is no such index.
        """
        if not path.exists():
            return None
        table = read_table(path)
        lacking = {*COLUMNS, "vector"} - set(table.column_names)
        if lacking or metadata_of(table.schema).get("blocks") != list(blocks):
            raise InputError(f"{path} is no index of this model: copy the model anew, or remove it")
        column = table["vector"].combine_chunks()
        vectors = column.flatten().to_numpy().reshape(len(table), -1).astype(np.float32)
        return cls(table.select(COLUMNS), unit_length(vectors))

    def find(self, vectors: np.ndarray, k: int) -> list[list[Neighbor]]:
        """Return for each product the `k` training products that are most like it.

        `vectors` are those of `neighbor_vectors`. A product with a vector of zeros, which has no
        block, has no neighbours.
        """
        similarities = vectors @ self._vectors.T
        nearest = np.argsort(-similarities, axis=1, kind="stable")[:, :k]
        return [
            self._rows(vector, chosen) if vector.any() else []
            for vector, chosen in zip(vectors, nearest, strict=True)
        ]

    def _rows(self, vector: np.ndarray, chosen: np.ndarray) -> list[Neighbor]:
        """Return the chosen training products, the most similar first.

        A product of matrices rounds differently with other products beside this one. So their
        similarities are computed anew.
        """
        exact = self._vectors[chosen].astype(np.float64) @ vector.astype(np.float64)
        similarities = exact.astype(np.float32)
        order = np.argsort(-similarities, kind="stable")
        found = self._table.take(pa.array(chosen[order])).to_pylist()
        return [
            Neighbor(similarity=float(one), **row)
            for one, row in zip(similarities[order], found, strict=True)
        ]
