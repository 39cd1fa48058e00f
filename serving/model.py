"""A model as it was loaded from its folder: its description, encoders and classifiers."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self

import numpy as np
from threadpoolctl import ThreadpoolController

from serving.answers import Neighbor
from serving.encoders import ProductEncoder, load_encoders
from serving.model_folder import check_files
from serving.neighbors import NeighborIndex
from serving.products import Product
from stages.common.blocks import InputBlock
from stages.common.errors import InputError
from stages.common.per_process import PerProcess
from stages.common.tables import Matrix
from stages.encoders.base import RemoteEncoder
from stages.fusion.ensemble import Ensemble, load_fitted
from stages.fusion.features import Features, unit_length
from stages.fusion.model import ALL, FusedModel
from stages.fusion.model_file import NEIGHBORS, ModelFile
from stages.packaging.neighbors import neighbor_vectors

# The number of its threads is of the process, whatever models there are.
_BLAS = PerProcess(threading.Lock)
SIDE_BY_SIDE = 64  # products whose images may be in memory for each encoder at once


@dataclass(frozen=True)
class Answers:
    """What a model says of n products.

    `probabilities`, float32 of shape (n, classes), are of all that a product has; `of_input` those
    of the image and the text alone. They are zeros where `has`, boolean of shape (n,) by input,
    says that there is nothing. `neighbors`, a list per product, are None unless asked for.
    """

    probabilities: np.ndarray
    of_input: dict[str, np.ndarray]
    has: dict[str, np.ndarray]
    neighbors: list[list[Neighbor]] | None


class ServedModel:
    """A model that several threads may ask."""

    def __init__(
        self,
        file: ModelFile,
        fitted: FusedModel | Ensemble,
        encoders: dict[str, ProductEncoder],
        index: NeighborIndex | None,
    ) -> None:
        self.file = file
        self.inputs = _inputs(file)
        self._fitted = fitted
        self._encoders = encoders
        self._index = index
        self._lock = PerProcess(threading.Lock)
        self._threads = ThreadpoolController()
        self._workers = PerProcess(partial(ThreadPoolExecutor, len(encoders), "encode"))

    @classmethod
    def load(cls, folder: Path, backend: str, precision: str) -> Self:
        """Load the model in `folder`; raises InputError where something is missing or damaged."""
        file = ModelFile.load(folder)
        check_files(file, folder)
        fitted = load_fitted(folder / file.folder)
        is_like = fitted.classes == file.labels and fitted.inputs == _inputs(file)
        if not is_like or not file.blocks.keys() <= fitted.preprocessor.means.keys():
            raise InputError(f"{folder / file.folder} is of another model: copy the model anew")
        encoders = load_encoders(file, folder, backend, precision)
        index = NeighborIndex.load(folder / NEIGHBORS, list(file.blocks))
        return cls(file, fitted, encoders, index)

    @property
    def remote_encoders(self) -> list[str]:
        """Return the blocks of encoders that run on other machines, such as OpenAI's."""
        found = self._encoders.items()
        return [name for name, one in found if isinstance(one.encoder, RemoteEncoder)]

    def hurry(self) -> None:
        """Ask encoders on other machines once for a vector, in place of trying for minutes."""
        for encoder in self._encoders.values():
            if isinstance(encoder.encoder, RemoteEncoder):
                encoder.encoder.hurry()

    def embed(self, products: Sequence[Product]) -> dict[str, tuple[Matrix, np.ndarray]]:
        """Return by block the products' vectors, and which there are, as the stages make them.

        While a network computes the vectors of a few products, the other encoders read theirs.
        """
        with self._lock():
            if len(products) > SIDE_BY_SIDE:
                return {name: encoder.encode(products) for name, encoder in self._encoders.items()}
            found = {
                name: self._workers().submit(encoder.encode, products)
                for name, encoder in self._encoders.items()
            }
            wait(found.values())  # also where one fails: each serves one call at a time
            return {name: rows.result() for name, rows in found.items()}

    def predict(self, products: Sequence[Product], n_neighbors: int = 0) -> Answers:
        """Classify products by all that they have, and by image and text alone.

        With `n_neighbors`, find so many of the training products most like each product; none where
        the model has no index, or the product nothing. BLAS has one thread meanwhile, as in the
        stages: with more it rounds differently.
        """
        features = self._features(products)
        with self._lock(), _BLAS(), self._threads.limit(limits=1, user_api="blas"):
            found = self._fitted.predict_each(self._fitted.preprocessor.transform(features))
        return Answers(
            found.pop(ALL),
            found,
            {name: features.has_modality(name) for name in found},
            self._neighbors(features, n_neighbors) if n_neighbors else None,
        )

    def _neighbors(self, features: Features, k: int) -> list[list[Neighbor]]:
        if self._index is None:
            return [[] for _ in features.labels]
        return self._index.find(neighbor_vectors(self._fitted.preprocessor, features), k)

    def _features(self, products: Sequence[Product]) -> Features:
        """Return the products' blocks, of unit length as the classifiers were trained on."""
        found, blocks = self.embed(products), self.file.blocks
        return Features(
            {name: unit_length(rows) for name, (rows, _) in found.items()},
            {name: present for name, (_, present) in found.items()},
            {name: block.weight for name, block in blocks.items()},
            {name: block.input for name, block in blocks.items()},
            np.full(len(products), ""),
            {name: n for name, block in blocks.items() if (n := block.svd_components)},
            self._raw_inputs(products),
        )

    def _raw_inputs(self, products: Sequence[Product]) -> dict[str, InputBlock]:
        """Return the texts or images of blocks of which the classifier reads them itself."""
        return {
            name: InputBlock(np.array(list(map(self._encoders[name].input_of, products)), object))
            for name, block in self.file.blocks.items()
            if block.encoder in self.file.reads_inputs_of
        }


def _inputs(file: ModelFile) -> frozenset[str]:
    return frozenset(block.input for block in file.blocks.values())
