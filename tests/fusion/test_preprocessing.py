"""What is fitted to blocks is fitted to the products that it is given, and keeps unit length."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from scipy.sparse import csr_array
from sklearn.feature_extraction.text import TfidfTransformer

from stages.common.errors import InputError
from stages.fusion import components, preprocessing
from stages.fusion.features import Features, unit_length
from stages.fusion.preprocessing import BlockPreprocessor

N = 50
WITHOUT = [3, 17, 42]  # have no image


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """Let each test find components itself."""
    monkeypatch.setattr(components, "cache_folder", lambda: tmp_path / "cache")


def features() -> Features:
    """Make a block of an image far from the origin, and one of counts of few topics."""
    rng = np.random.default_rng(0)
    topics = rng.poisson(0.4, size=(4, 40)) + 0.0
    counts = rng.dirichlet(np.ones(4), size=N) @ topics
    blocks = {
        "photo": unit_length((rng.normal(size=(N, 6)) + 3).astype(np.float32)),
        "pieces": unit_length(csr_array(counts.astype(np.float32))),
    }
    present = {"photo": np.ones(N, dtype=bool), "pieces": np.ones(N, dtype=bool)}
    present["photo"][WITHOUT] = False
    blocks["photo"][WITHOUT] = 0
    return Features(
        blocks,
        present,
        dict.fromkeys(blocks, 0.5**0.5),
        {"photo": "image", "pieces": "text"},
        np.array(["a", "b"] * (N // 2)),
        {"pieces": 4},
    )


def without_some(given: Features, least: float) -> Features:
    """Take numbers out of the counts; a share of at least `least` of each column's stays.

    The rows then vary in as many ways as there are columns that several of them have.
    """
    some = np.random.default_rng(2).random((N, 40)) < np.linspace(least, 0.9, 40)
    counts = unit_length(csr_array(given.blocks["pieces"].toarray() * some))
    return replace(given, blocks=given.blocks | {"pieces": counts})


def changed(given: Features, name: str, at: int, row: np.ndarray) -> Features:
    rows = given.blocks[name]
    dense = rows.toarray() if isinstance(rows, csr_array) else rows.copy()
    dense[at] = row
    rows = csr_array(dense) if isinstance(rows, csr_array) else dense
    return replace(given, blocks=given.blocks | {name: rows})


def test_a_block_is_centred_on_the_products_that_have_it():
    given = features()
    wanted = given.blocks["photo"].astype(np.float64)
    wanted -= wanted[given.present["photo"]].mean(axis=0)
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    wanted[WITHOUT] = 0
    found = BlockPreprocessor(1).fit(given).transform(given).blocks["photo"]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_counts_are_weighted_by_how_few_products_have_them(tmp_path):
    given = without_some(features(), 0.02)
    counts = given.blocks["pieces"]
    BlockPreprocessor(1).fit(given).save(tmp_path)
    idf = load_file(tmp_path / preprocessing.FILE)["pieces/idf"]
    several = (counts.toarray() > 0).sum(axis=0) > 1
    wanted = TfidfTransformer().fit(counts).idf_
    np.testing.assert_allclose(idf, np.where(several, wanted, 0), rtol=1e-5)
    assert idf[several].max() > idf[several].min() and not several.all()


def test_what_one_product_alone_has_counts_for_nothing():
    given = features()
    alone = given.blocks["pieces"].toarray()
    alone[:, 0] = 0
    # Not of unit length, which would round what is left of the row in another way.
    alone[7, 0] = 1
    one, other = (
        replace(given, blocks=given.blocks | {"pieces": csr_array(rows)})
        for rows in (alone, np.where(np.arange(40) == 0, 0, alone))
    )
    np.testing.assert_allclose(
        *(BlockPreprocessor(1).fit(each).transform(each).blocks["pieces"] for each in (one, other)),
        atol=1e-6,
    )


def test_components_keep_what_there_is_of_a_few_topics():
    given = features()
    counts = given.blocks["pieces"].toarray().astype(np.float64)
    weighted = counts * TfidfTransformer().fit(counts).idf_
    weighted /= np.linalg.norm(weighted, axis=1, keepdims=True)
    centred = weighted - weighted.mean(axis=0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    found = BlockPreprocessor(1).fit(given).transform(given).blocks["pieces"]
    assert found.shape == (N, 4)
    # Four topics are four dimensions: what lies between products is what it was in forty.
    np.testing.assert_allclose(found @ found.T, centred @ centred.T, atol=1e-3)


def test_components_of_many_products_are_learnt_from_a_sample(monkeypatch):
    given = features()
    whole = BlockPreprocessor(1).fit(given).transform(given).blocks["pieces"]
    monkeypatch.setattr(preprocessing, "SAMPLE", 20)
    found = BlockPreprocessor(1).fit(given).transform(given).blocks["pieces"]
    # Four topics are as well told apart by twenty products as by fifty.
    np.testing.assert_allclose(found @ found.T, whole @ whole.T, atol=1e-3)
    other = changed(given, "pieces", 5, np.eye(40, dtype=np.float32)[0])
    again = BlockPreprocessor(1).fit(other).transform(other).blocks["pieces"]
    assert (again[:5] != found[:5]).any()  # through its mean, whether it is drawn or not


@pytest.mark.parametrize(("asked", "n", "kept"), [(2, N, 2), (1000, N, None), (1000, 12, 12)])
def test_there_are_no_more_components_than_numbers_or_products(asked, n, kept):
    given = without_some(features(), 0.3)
    if kept is None:
        kept = (given.blocks["pieces"].toarray().sum(axis=0) > 0).sum()
    given = replace(given, svd_components={"pieces": asked}).select_rows(np.arange(N) < n)
    assert BlockPreprocessor(1).fit(given).transform(given).blocks["pieces"].shape == (n, kept)


def test_there_are_no_more_components_than_products_differ_by():
    given = replace(features(), svd_components={"pieces": 1000})
    assert BlockPreprocessor(1).fit(given).transform(given).blocks["pieces"].shape == (N, 4)


def test_what_it_is_fitted_to_comes_out_as_by_a_transform_and_stays_as_it_was():
    given, kept = features(), features()
    found = BlockPreprocessor(1).fit_transform(given).blocks
    wanted = BlockPreprocessor(1).fit(given).transform(given).blocks
    for name in ("photo", "pieces"):
        np.testing.assert_array_equal(found[name], wanted[name])
    np.testing.assert_array_equal(given.blocks["photo"], kept.blocks["photo"])
    assert (given.blocks["pieces"] != kept.blocks["pieces"]).nnz == 0


def test_rows_are_of_unit_length_and_missing_ones_zeros():
    given = features()
    ready = BlockPreprocessor(1).fit(given).transform(given)
    assert not ready.blocks["photo"][WITHOUT].any()
    for name, rows in ready.blocks.items():
        there = ready.present[name]
        np.testing.assert_allclose(np.linalg.norm(rows[there], axis=1), 1, atol=1e-5)


def test_an_ablated_block_is_zeros_though_its_row_is_there():
    given = features()
    fitted = BlockPreprocessor(1).fit(given)
    nothing = np.zeros(N, dtype=bool)
    ready = fitted.transform(replace(given, present=given.present | {"photo": nothing}))
    assert not ready.blocks["photo"].any()
    np.testing.assert_array_equal(ready.blocks["pieces"], fitted.transform(given).blocks["pieces"])


@pytest.mark.parametrize("name", ["photo", "pieces"])
def test_a_product_that_it_is_not_fitted_on_changes_no_row_but_its_own(name):
    given, train = features(), np.arange(N) < 30
    other = changed(given, name, 40, np.eye(given.blocks[name].shape[1], dtype=np.float32)[0])
    before, after = (
        BlockPreprocessor(1).fit(each.select_rows(train)).transform(each) for each in (given, other)
    )
    differ = (before.blocks[name] != after.blocks[name]).any(axis=1)
    assert np.flatnonzero(differ).tolist() == [40]


@pytest.mark.parametrize("name", ["photo", "pieces"])
def test_a_product_that_it_is_fitted_on_counts_for_all(name):
    given, train = features(), np.arange(N) < 30
    other = changed(given, name, 5, np.eye(given.blocks[name].shape[1], dtype=np.float32)[0])
    before, after = (
        BlockPreprocessor(1).fit(each.select_rows(train)).transform(each) for each in (given, other)
    )
    differ = (before.blocks[name] != after.blocks[name]).any(axis=1)
    assert differ[given.present[name]].all()


def test_each_block_is_preprocessed_by_itself():
    given = features()
    alone = given.select_modalities({"text"})
    np.testing.assert_array_equal(
        BlockPreprocessor(1).fit(alone).transform(alone).blocks["pieces"],
        BlockPreprocessor(1).fit(given).transform(given).blocks["pieces"],
    )


def test_vectors_that_are_all_the_same_say_nothing():
    given = features()
    same = np.full((N, 4), 0.5, dtype=np.float32)
    given = replace(given, blocks=given.blocks | {"photo": same})
    assert not BlockPreprocessor(1).fit(given).transform(given).blocks["photo"].any()


def test_a_file_transforms_as_what_was_saved_and_has_the_same_bytes_each_time(tmp_path):
    given = features()
    for folder in ("one", "other"):
        fitted = BlockPreprocessor(1).fit(given)
        fitted.save(tmp_path / folder)
    wanted, loaded = fitted.transform(given), BlockPreprocessor.load(tmp_path / "one").transform(
        given
    )
    for name, rows in wanted.blocks.items():
        np.testing.assert_array_equal(loaded.blocks[name], rows)
    one, other = (tmp_path / folder / preprocessing.FILE for folder in ("one", "other"))
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("left", [0, 1])
def test_a_block_that_not_two_products_have_is_refused_by_name(left):
    given = features()
    there = np.arange(N) < left
    with pytest.raises(InputError, match="not two products to train on have a photo input"):
        BlockPreprocessor(1).fit(replace(given, present=given.present | {"photo": there}))


def test_a_file_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(InputError, match=r"preprocessing\.safetensors is not there"):
        BlockPreprocessor.load(tmp_path)


def test_what_is_no_file_of_arrays_is_refused(tmp_path: Path):
    (tmp_path / preprocessing.FILE).write_bytes(b"\x80\x04.")
    with pytest.raises(InputError, match=r"preprocessing\.safetensors holds no arrays"):
        BlockPreprocessor.load(tmp_path)


def test_some_of_the_blocks_are_selected():
    given = features()
    both = BlockPreprocessor(1).fit(given)
    alone = given.select_modalities({"image"})
    found = both.select_blocks({"photo"}).transform(alone).blocks
    assert list(found) == ["photo"]
    np.testing.assert_array_equal(found["photo"], both.transform(given).blocks["photo"])
