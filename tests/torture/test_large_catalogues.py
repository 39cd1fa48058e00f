"""What is quick for a large catalogue finds what a slow count finds."""

import numpy as np

from stages.catalog.near_duplicates import MAX_HAMMING, close_pairs


def test_close_pairs_of_50_000_hashes_are_those_of_a_slow_count():
    rng = np.random.default_rng(3)
    hashes = rng.integers(0, 2**64, 50_000, dtype=np.uint64)
    for start in range(0, 40_000, 10_000):
        flips = np.uint64(1) << rng.integers(0, 64, 10_000).astype(np.uint64)
        hashes[start + 10_000 : start + 20_000] = hashes[start : start + 10_000] ^ flips
    wanted = []
    for start in range(0, len(hashes), 200):
        differing = np.bitwise_count(hashes[start : start + 200, None] ^ hashes)
        rows, others = np.nonzero(differing <= MAX_HAMMING)
        wanted.append(np.stack([start + rows, others]))
    pairs = np.concatenate(wanted, axis=1)
    found = close_pairs(hashes)
    assert np.array_equal(found, pairs[:, pairs[0] < pairs[1]])
    assert found.shape[1] > 40_000
