"""The leading components of a block of n-grams, which .cache keeps.

Each classifier needs those of the same training products, and so does each experiment that changes
a classifier. The cache may be deleted at any time.
"""

import hashlib
from functools import cache
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from stages.common.cache import cache_folder, remove_unused
from stages.common.code_hash import code_hash
from stages.common.devices import processor
from stages.common.files import atomic_file, json_hash

EXACT_UP_TO = 3_000  # rows, of which all components are found sooner than some
MAX_KEPT = 32  # files: as many as five folds of five turns have, and the model of all products


def leading_components(rows: csr_array, n_components: int, seed: int) -> np.ndarray:
    """Return what `truncated_svd` does, from the cache if it is there.

    The cache keeps what was used last.
    """
    file = cache_folder() / "components" / f"{_key(rows, n_components, seed)}.npy"
    found = _read(file)
    if found is None:
        found = truncated_svd(rows, n_components, seed)
        with atomic_file(file) as part, part.open("wb") as opened:
            np.save(opened, found, allow_pickle=False)
    remove_unused(file, MAX_KEPT)
    return found


def _read(file: Path) -> np.ndarray | None:
    """Return what a file of the cache holds; None where it is not there, or damaged."""
    try:
        return np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None


def _key(rows: csr_array, n_components: int, seed: int) -> str:
    """Return the hash of all that the components depend on."""
    digest = hashlib.sha256()
    for array in (rows.data, rows.indices, rows.indptr):
        digest.update(np.ascontiguousarray(array).data)
    return json_hash(digest.hexdigest(), rows.shape, n_components, seed, _code_key(), processor())


@cache
def _code_key() -> str:
    return code_hash([__name__], lambda name: name == __name__)


def truncated_svd(rows: csr_array, n_components: int, seed: int) -> np.ndarray:
    """Return the leading right singular vectors of `rows`, float32 of shape (n, size).

    Above `EXACT_UP_TO` rows they are approximate (Halko et al. 2011). The result is float32 of
    shape (size, at most `n_components`).
    """
    from sklearn.utils.extmath import randomized_svd
    from threadpoolctl import threadpool_limits

    wanted = min(n_components, *rows.shape)
    with threadpool_limits(1, "blas"):  # the bytes are those of a stage wherever it is called
        if rows.shape[0] <= EXACT_UP_TO:
            return _exact_svd(rows, wanted)
        _, _, vectors = randomized_svd(rows, wanted, n_iter=4, random_state=seed)
    return np.ascontiguousarray(vectors.T, dtype=np.float32)


def _exact_svd(rows: csr_array, n_components: int) -> np.ndarray:
    """Return the leading right singular vectors by the eigenvectors of the rows' inner products.

    Directions in which the rows do not differ by more than rounding are left out.
    """
    from scipy.linalg import eigh
    from sklearn.utils.extmath import svd_flip

    products = (rows @ rows.T).toarray()
    count = len(products)
    values, vectors = eigh(products, subset_by_index=[count - n_components, count - 1])
    found = values > values[-1] * count * np.finfo(values.dtype).eps
    left = (vectors[:, found] / np.sqrt(values[found]))[:, ::-1]
    _, right = svd_flip(left, np.ascontiguousarray((rows.T @ left).T), u_based_decision=False)
    return np.ascontiguousarray(right.T, dtype=np.float32)
