"""Components are found once for the same rows; the cache changes no bit of them."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from stages.fusion import components
from stages.fusion.components import leading_components, truncated_svd


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """Let each test have a cache of its own, which is empty at first."""
    monkeypatch.setattr(components, "cache_folder", lambda: tmp_path)


def sparse_rows(seed: int = 0, n: int = 50) -> csr_array:
    """Make rows of 40 numbers, most of them 0."""
    rng = np.random.default_rng(seed)
    return csr_array((rng.random((n, 40)) * (rng.random((n, 40)) < 0.3)).astype(np.float32))


@pytest.fixture
def searches(monkeypatch) -> list[int]:
    """Record the number of rows of each decomposition."""
    found: list[int] = []

    def counted(rows, *how):
        found.append(rows.shape[0])
        return truncated_svd(rows, *how)

    monkeypatch.setattr(components, "truncated_svd", counted)
    return found


@pytest.mark.parametrize("exact_up_to", [50, 49])
def test_components_are_found_once_and_have_the_same_bytes(searches, monkeypatch, exact_up_to):
    monkeypatch.setattr(components, "EXACT_UP_TO", exact_up_to)
    first = leading_components(sparse_rows(), 5, 42)
    again = leading_components(sparse_rows(), 5, 42)
    assert searches == [50]
    assert again.dtype == np.float32 and again.flags.c_contiguous
    assert first.tobytes() == again.tobytes() == truncated_svd(sparse_rows(), 5, 42).tobytes()


def test_components_of_anything_else_are_found_anew(searches):
    leading_components(sparse_rows(), 5, 42)
    entries = sparse_rows().tocoo()
    moved = csr_array((entries.data, (entries.row, (entries.col + 1) % 40)), entries.shape)
    for given in (
        (sparse_rows(1), 5, 42),
        (sparse_rows() * np.float32(2), 5, 42),
        (moved, 5, 42),
        (csr_array(sparse_rows(), shape=(50, 41)), 5, 42),
        (sparse_rows(), 6, 42),
        (sparse_rows(), 5, 43),
    ):
        found = leading_components(*given)
        assert found.tobytes() == truncated_svd(*given).tobytes()
    assert len(searches) == 7


def test_a_damaged_file_is_written_again(searches, tmp_path):
    wanted = leading_components(sparse_rows(), 5, 42)
    (file,) = (tmp_path / "components").iterdir()
    for damaged in (b"", b"no array", file.read_bytes()[:-1]):
        file.write_bytes(damaged)
        assert leading_components(sparse_rows(), 5, 42).tobytes() == wanted.tobytes()
    assert leading_components(sparse_rows(), 5, 42).tobytes() == wanted.tobytes()
    assert len(searches) == 4


def test_only_what_was_used_last_is_kept(searches, tmp_path, monkeypatch):
    monkeypatch.setattr(components, "MAX_KEPT", 2)
    for seed in (0, 1, 0, 2):
        leading_components(sparse_rows(seed), 5, 42)
    assert len(list((tmp_path / "components").iterdir())) == 2
    for seed in (0, 2):  # 1 was used longest ago
        leading_components(sparse_rows(seed), 5, 42)
    assert len(searches) == 3


def test_exact_components_are_those_of_an_approximation_that_has_all(monkeypatch):
    rows = sparse_rows().toarray().astype(np.float64)
    exact = truncated_svd(sparse_rows(), 40, 42)
    monkeypatch.setattr(components, "EXACT_UP_TO", 49)
    approximate = truncated_svd(sparse_rows(), 40, 42)
    for found in (exact, approximate):
        assert found.shape == (40, 40)
        np.testing.assert_allclose(rows @ found @ found.T, rows, atol=1e-4)
    signs = np.sign((exact * approximate).sum(axis=0))
    np.testing.assert_allclose(exact, approximate * signs, atol=1e-2)
