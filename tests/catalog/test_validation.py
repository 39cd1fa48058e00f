"""Each product is kept or rejected, whatever its text."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from stages.catalog.sources.product import RawProduct
from stages.catalog.validation import clean_product, data_metrics, reject_invalid

TEXTS = st.sampled_from([None, "", " ", "a", "b", "<br>", "a ", "&nbsp;"]) | st.text(max_size=3)


@settings(deadline=None, derandomize=True)
@given(st.lists(st.builds(RawProduct, *[TEXTS] * 6), max_size=40), st.integers(3, 6))
def test_nothing_is_lost(raws, smallest):
    products = [clean_product(raw) for raw in raws]
    kept, rejected = reject_invalid(products, smallest)
    rejected_rows = [product.row for product in rejected]
    assert kept == [p for row, p in enumerate(products, start=1) if row not in rejected_rows]
    assert rejected_rows == sorted(set(rejected_rows))
    assert [products[p.row - 1].sku for p in rejected] == [p.sku for p in rejected]
    assert len({product.sku for product in kept}) == len(kept)
    assert all(p.sku and p.label and (p.name or p.description) for p in kept)
    assert min(Counter(product.label for product in kept).values(), default=9) >= smallest
    metrics = data_metrics("table", kept, rejected)
    assert metrics["products"]["read"] == len(raws)
    assert metrics["products"]["kept"] + metrics["rejected"]["all"] == len(raws)
    assert sum(metrics["rejected"].values()) == 2 * metrics["rejected"]["all"]
    assert sum(metrics["classes"]["sizes"].values()) == metrics["products"]["kept"]
