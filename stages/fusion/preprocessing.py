"""What is fitted to the blocks themselves before a classifier sees them, on training products.

Each block is centred on the mean of the training products and scaled to unit length again: centring
takes away what all products have in common (Mu and Viswanath 2018, All-but-the-Top), without which
the vectors of some networks all but coincide. A block of hashed n-grams is weighted by inverse
document frequency and brought to its leading components first: latent semantic analysis (Deerwester
et al. 1990).
"""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from scipy.sparse import csr_array

from stages.common.errors import InputError
from stages.common.files import atomic_file
from stages.common.tables import Matrix
from stages.fusion.features import Features, unit_length
from stages.fusion.fits import Fits

FILE = "projection.safetensors"
SAMPLE = 10_000  # training products that components are learnt from, at most


class Projection:
    """The means, and where a block has them the components, of blocks of training products."""

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        """Take what `fit` found: `<block>/mean`, `<block>/idf` and `<block>/components`."""
        self._arrays = arrays

    def apply(self, features: Features) -> Features:
        """Return the features with each block projected; a missing block stays zeros."""
        blocks = {}
        for name, rows in features.blocks.items():
            if f"{name}/components" in self._arrays:
                rows = unit_length(_weighted(rows, self._arrays[f"{name}/idf"]))
                rows = unit_length(rows @ self._arrays[f"{name}/components"])
            centred = rows - self._arrays[f"{name}/mean"]
            centred[~features.present[name]] = 0
            blocks[name] = unit_length(centred)
        return replace(features, blocks=blocks)

    def save(self, folder: Path) -> None:
        """Write the arrays into `folder`."""
        with atomic_file(folder / FILE) as part:
            save_file(self._arrays, part)


def fit(features: Features, seed: int, fits: Fits) -> Projection:
    """Fit to the blocks of training products; raises InputError for a block that none of them has.

    A block that `features.components` names has at most that many numbers afterwards.
    """
    arrays = {}
    for name, rows in features.blocks.items():
        there = features.present[name]
        if there.sum() < 2:
            raise InputError(f"not two products to train on have a {name} input")
        if not there.all():
            rows = rows[there]
        components = features.components.get(name)
        fit_one = partial(_fitted, rows, components, seed)
        found = fits.once(fit_one, "projection", rows, f"{components} {seed}")
        arrays |= {f"{name}/{key}": array for key, array in found.items()}
    return Projection(arrays)


def _fitted(rows: Matrix, components: int | None, seed: int) -> dict[str, np.ndarray]:
    """Return a block's mean and, where it is brought to `components` numbers, how."""
    arrays = {}
    if components:
        holding = np.bincount(rows.indices, minlength=rows.shape[1])  # no place twice in a row
        idf = np.log((1 + rows.shape[0]) / (1 + holding)) + 1
        # What one product alone has tells it from no class; and most places are such.
        arrays["idf"] = np.where(holding < 2, 0, idf).astype(np.float32)
        rows = unit_length(_weighted(rows, arrays["idf"]))
        arrays["components"] = leading_components(rows, components, seed)
        rows = unit_length(rows @ arrays["components"])
    arrays["mean"] = rows.mean(axis=0, dtype=np.float64).astype(np.float32)
    return arrays


def _weighted(rows: csr_array, weights: np.ndarray) -> csr_array:
    return csr_array((rows.data * weights[rows.indices], rows.indices, rows.indptr), rows.shape)


def leading_components(rows: csr_array, components: int, seed: int) -> np.ndarray:
    """Return the leading right singular vectors of `rows`, float32 of shape (n, size).

    They are those of a sample where `rows` are many. The result is float32 of shape (size, at most
    `components`).
    """
    from sklearn.utils.extmath import randomized_svd

    if rows.shape[0] > SAMPLE:
        drawn = np.random.default_rng(seed).permutation(rows.shape[0])[:SAMPLE]
        rows = rows[np.sort(drawn)]
    wanted = min(components, *rows.shape)
    _, _, vectors = randomized_svd(rows, wanted, n_iter=4, random_state=seed)
    return np.ascontiguousarray(vectors.T, dtype=np.float32)


def load(folder: Path) -> Projection:
    """Load what `Projection.save` wrote; raises InputError where something else or nothing is."""
    path = folder / FILE
    if not path.is_file():
        raise InputError(f"{path} is not there: `dvc repro` builds it")
    try:
        return Projection(load_file(path))
    except SafetensorError as error:
        raise InputError(f"{path} holds no arrays ({error}): `dvc repro -f` rebuilds it") from None
