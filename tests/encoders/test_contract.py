"""Every kind of encoder, also one that is added, keeps to what the stages take for granted."""

from collections.abc import Callable, Iterator

import pytest
from helpers.encoder_contract import CHECKS, MAKERS, Case, case_of, kinds

from stages.encoders.backends.openvino import has_bfloat16
from stages.encoders.base import module_of

KINDS = kinds()
NETWORKS = [kind for kind in KINDS if hasattr(module_of(kind), "convert")]


@pytest.fixture(
    scope="module",
    params=[*((kind, "float32") for kind in KINDS), *((kind, "bfloat16") for kind in NETWORKS)],
    ids="-".join,
)
def case(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Case]:
    """An encoder of each kind, in each precision that this processor computes in."""
    kind, precision = request.param
    if precision == "bfloat16" and not has_bfloat16():
        pytest.skip("this processor does not compute in bfloat16")
    assert kind in MAKERS, f"give {kind} an example in MAKERS of tests/helpers/encoder_contract.py"
    with case_of(kind, precision, tmp_path_factory.mktemp(kind)) as found:
        yield found


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_each_kind(case: Case, check: Callable[[Case], None]) -> None:
    """An encoder passes each check."""
    check(case)
