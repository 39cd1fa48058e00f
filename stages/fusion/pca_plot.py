"""The plot of the products on the first two principal components of what a modality sees."""

from collections.abc import Mapping

import numpy as np

from stages.common.errors import InputError
from stages.common.paths import FEATURES
from stages.fusion.features import read_features
from stages.fusion.preprocessing import BlockPreprocessor

COLUMNS = ["sku", "label", "x", "y"]
PLOTTED = 2000  # products in the plot: more would hide each other and swell the repository


def pca_points(
    block_weights: Mapping[str, float],
    present: Mapping[str, np.ndarray],
    skus: np.ndarray,
    labels: np.ndarray,
    training: np.ndarray,
    seed: int,
) -> list[dict[str, str]]:
    """Return the products, or a sample of them, on their first two components, as rows of COLUMNS.

    `present`, boolean, has which products have a block; the components are those of the products
    that `training`, boolean, holds for. These, `skus` and `labels` are of shape (n,), for the
    products of data/features.parquet. Raises InputError where fewer than two training products have
    a block.
    """
    for name in block_weights:
        if (present[name] & training).sum() < 2:
            raise InputError(
                f"not two products to train on have a {name} input: give it to more products, or "
                "to none, which leaves out the models that need it"
            )
    seen = np.flatnonzero(np.logical_or.reduce([present[name] for name in block_weights]))
    shuffled = np.random.default_rng(seed).permutation(seen)
    # First those without which a block that few products have could not be preprocessed.
    needed = [np.flatnonzero(present[name] & training)[:2] for name in block_weights]
    order = list(dict.fromkeys(np.concatenate([*needed, shuffled]).tolist()))
    drawn = np.zeros(len(labels), dtype=bool)
    drawn[order[:PLOTTED]] = True
    features, rows = read_features(FEATURES, block_weights, labels, drawn)
    preprocessor = BlockPreprocessor(seed).fit(features.select_rows(training[rows]))
    matrix = preprocessor.transform(features).concatenate()
    points = principal_components(matrix, training[rows], seed)
    return [
        {"sku": sku, "label": label, "x": f"{x:.4f}", "y": f"{y:.4f}"}
        for sku, label, (x, y) in zip(
            skus[rows].tolist(), features.labels.tolist(), points, strict=True
        )
    ]


def principal_components(rows: np.ndarray, training: np.ndarray, seed: int) -> np.ndarray:
    """Project `rows`, of shape (n, size), on their first two principal components.

    The components are those of the rows for which `training`, boolean of shape (n,), holds. Return
    an array of shape (n, 2); the second is 0 where a product has only one number.
    """
    from sklearn.decomposition import PCA

    if rows.shape[1] < 2:
        rows = np.pad(rows, ((0, 0), (0, 1)))
    return PCA(2, svd_solver="randomized", random_state=seed).fit(rows[training]).transform(rows)
