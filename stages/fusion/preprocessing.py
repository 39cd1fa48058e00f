"""What happens to a block between its encoder and a classifier; it is fitted on training products.

Each block is centred on the mean of the training products and scaled to unit length again: centring
removes what all products have in common (Mu and Viswanath 2018, All-but-the-Top), without which the
vectors of some networks almost coincide. A sparse block of hashed n-grams is first weighted by
inverse document frequency and reduced to its leading components: latent semantic analysis
(Deerwester et al. 1990).
"""

from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Self

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from scipy.sparse import csr_array

from stages.common.errors import InputError
from stages.common.files import atomic_file
from stages.common.large_arrays import empty_array, slices
from stages.common.tables import Matrix
from stages.fusion.components import leading_components
from stages.fusion.features import Features, unit_length

FILE = "preprocessing.safetensors"
SAMPLE = 10_000  # training products that components are learnt from, at most


class BlockPreprocessor:
    """The mean of each block, and the weights and components of those that have them."""

    def __init__(self, seed: int = 0) -> None:
        """Take the seed of the sample that components are learnt from."""
        self._seed = seed
        self._arrays: dict[str, np.ndarray] = {}  # <block>/mean, <block>/idf, <block>/components

    def fit(self, features: Features) -> Self:
        """Fit to the blocks of training products; return the preprocessor.

        A block that `features.svd_components` names has at most that many numbers afterwards.
        Raises InputError for a block that not two of the products have.
        """
        self.fit_transform(features)
        return self

    def fit_transform(self, features: Features) -> Features:
        """Do as `fit`, and return the features with each block preprocessed."""
        self._arrays = {}
        blocks: dict[str, Matrix] = {}
        for name, rows in features.blocks.items():
            present = features.present[name]
            there = np.flatnonzero(present)
            if len(there) < 2:
                raise InputError(
                    f"not two products to train on have a {name} input: give it to more products, "
                    "or to none, which leaves out the models that need it"
                )
            if n_components := features.svd_components.get(name):
                idf = self._arrays[f"{name}/idf"] = idf_weights(rows, len(there))
                drawn = rows[draw_sample(there, self._seed)]
                components = leading_components(
                    weight_columns(drawn, idf), n_components, self._seed
                )
                self._arrays[f"{name}/components"] = components
            dense = self._to_dense(name, rows)
            total = sum(
                dense[some][present[some]].sum(axis=0, dtype=np.float64)
                for some in slices(len(dense))
            )
            self._arrays[f"{name}/mean"] = (total / len(there)).astype(np.float32)
            blocks[name] = self._centre(name, rows, dense, present)
        return replace(features, blocks=blocks)

    def transform(self, features: Features) -> Features:
        """Return the features with each block preprocessed; a missing block stays zeros."""
        blocks: dict[str, Matrix] = {}
        for name, rows in features.blocks.items():
            dense = self._to_dense(name, rows)
            blocks[name] = self._centre(name, rows, dense, features.present[name])
        return replace(features, blocks=blocks)

    def _to_dense(self, name: str, rows: Matrix) -> np.ndarray:
        """Return the rows of a block; of a sparse one their components, float32 (n, size)."""
        if not isinstance(rows, csr_array):
            return rows
        components = self._arrays[f"{name}/components"]
        found = empty_array((rows.shape[0], components.shape[1]))
        for some in slices(len(found)):
            weighted = weight_columns(rows[some], self._arrays[f"{name}/idf"])
            found[some] = unit_length(weighted @ components)
        return found

    def _centre(
        self, name: str, rows: Matrix, dense: np.ndarray, present: np.ndarray
    ) -> np.ndarray:
        """Take the mean off what `_to_dense` made of `rows`, and scale each to unit length again.

        It is written over `dense`, unless that is `rows` itself, which stays as it is.
        """
        found = empty_array(dense.shape) if dense is rows else dense
        for some in slices(len(dense)):
            centred = dense[some] - self._arrays[f"{name}/mean"]
            centred[~present[some]] = 0
            found[some] = unit_length(centred)
        return found

    @property
    def means(self) -> dict[str, np.ndarray]:
        """The mean that is taken off each block, float32 of shape (size,)."""
        means = {key.rpartition("/"): array for key, array in self._arrays.items()}
        return {block: array for (block, _, part), array in means.items() if part == "mean"}

    def select_blocks(self, names: Collection[str]) -> "BlockPreprocessor":
        """Return the preprocessor of some of the blocks."""
        selected = BlockPreprocessor(self._seed)
        for key, array in self._arrays.items():
            if key.rpartition("/")[0] in names:
                selected._arrays[key] = array
        return selected

    @classmethod
    def joined(cls, parts: Iterable["BlockPreprocessor"]) -> "BlockPreprocessor":
        """Return the preprocessor of all blocks; those of one name were fitted to the same rows."""
        joined = cls()
        for one in parts:
            joined._arrays |= one._arrays
        return joined

    def save(self, folder: Path) -> None:
        """Write the arrays into `folder`."""
        with atomic_file(folder / FILE) as part:
            save_file(self._arrays, part)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Load what `save` wrote; raises InputError where it is missing or malformed."""
        path = folder / FILE
        if not path.is_file():
            raise InputError(f"{path} is not there: `dvc repro` builds it")
        try:
            arrays = load_file(path)
        except SafetensorError as error:
            raise InputError(
                f"{path} holds no arrays ({error}): `dvc repro -f` rebuilds it"
            ) from None
        preprocessor = cls()
        preprocessor._arrays = arrays
        return preprocessor


def idf_weights(rows: csr_array, n: int) -> np.ndarray:
    """Return the inverse document frequency of each column of counts, float32 of shape (size,).

    `n` is the number of rows that are not missing; those that are have no count.
    """
    holding = np.zeros(rows.shape[1], dtype=np.int64)
    for some in slices(len(rows.indices)):  # an index is once in a row
        holding += np.bincount(rows.indices[some], minlength=len(holding))
    idf = np.log((1 + n) / (1 + holding)) + 1
    # What one product alone has tells it from no class, and most columns are such.
    return np.where(holding < 2, 0, idf).astype(np.float32)


def weight_columns(rows: csr_array, weights: np.ndarray) -> csr_array:
    """Multiply the columns with weights, and scale the rows to unit length again."""
    data = rows.data * weights[rows.indices]
    return unit_length(csr_array((data, rows.indices, rows.indptr), rows.shape))


def draw_sample(rows: np.ndarray, seed: int) -> np.ndarray:
    """Return at most `SAMPLE` of some row numbers, in ascending order."""
    if len(rows) <= SAMPLE:
        return rows
    return rows[np.sort(np.random.default_rng(seed).permutation(len(rows))[:SAMPLE])]
