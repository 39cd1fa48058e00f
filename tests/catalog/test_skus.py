"""SKUs that a spreadsheet has rounded are refused before any work."""

import pytest

from stages.catalog.skus import check_skus
from stages.common.errors import InputError


@pytest.mark.parametrize("rounded", ["4.00638E+12", "4,00638E+12", "4E+12", "1.234e+15"])
def test_rounded_skus_are_refused_with_how_many_an_example_and_the_fix(rounded):
    with pytest.raises(InputError) as caught:
        check_skus(["4006381333931", rounded, "12", rounded])
    said = str(caught.value)
    assert "2 of 4 SKUs" in said
    assert f"{rounded!r} of product 2" in said
    assert "as text" in said


@pytest.mark.parametrize(
    "skus",
    [[], ["4.00638E+12", "1"], ["1E5", "2E7", "3e10"], ["A1.5E+12", "B1.5E+12"], ["1.5", "00123"]],
)
def test_other_skus_are_only_skus(skus):
    check_skus(skus)
