"""The versions of what is installed are found by the names that code imports."""

from importlib.metadata import packages_distributions

import pytest

from stages.common.code_hash import NAMES, NETWORKS, TOP, distributions_of


@pytest.mark.parametrize(
    "library", [*NAMES, "keras", "numpy", "openvino", "scipy", "tokenizers", "torch", "yaml"]
)
def test_the_distributions_of_a_library_are_those_that_a_search_of_all_finds(library):
    assert set(distributions_of(library)) == set(packages_distributions()[library])


def test_a_library_that_is_not_installed_has_none():
    assert distributions_of("nobody_wrote_this") == ()


def test_the_modules_that_networks_depend_on_are_there():
    assert [name for name in NETWORKS if not (TOP / f"{name.replace('.', '/')}.py").is_file()] == []
