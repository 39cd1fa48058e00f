"""The requirements files are those of pyproject.toml, pinned, and differ in TensorFlow alone."""

import re
import tomllib

import pytest
from helpers.repository import TOP
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
FILES = {"cpu": "requirements.txt", "mac": "requirements_mac.txt"}


def lines(name: str) -> list[str]:
    text = (TOP / name).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def pins(name: str) -> dict[str, Requirement]:
    return {canonicalize_name(pin.name): pin for pin in map(Requirement, lines(name))}


@pytest.mark.parametrize("name", FILES.values())
def test_every_package_is_pinned_once(name):
    found = [Requirement(line) for line in lines(name)]
    assert len({canonicalize_name(pin.name) for pin in found}) == len(found)
    assert all(re.fullmatch(r"==[\w.]+", str(pin.specifier)) for pin in found)


@pytest.mark.parametrize(("extra", "name"), FILES.items())
def test_every_direct_dependency_is_pinned_within_its_range(extra, name):
    found = pins(name)
    for wanted in map(Requirement, [*PROJECT["dependencies"], *EXTRAS[extra], *EXTRAS["dev"]]):
        pin = found[canonicalize_name(wanted.name)]
        assert wanted.specifier.contains(str(pin.specifier).removeprefix("=="), prereleases=True)
        assert wanted.extras <= pin.extras


@pytest.mark.parametrize("name", FILES.values())
def test_they_differ_in_tensorflow_alone(name):
    common = [line for line in lines(name) if not line.startswith("tensorflow")]
    assert common == [line for line in lines("requirements.txt") if "tensorflow" not in line]
    assert len(lines(name)) == len(common) + 1


@pytest.mark.parametrize("name", FILES.values())
def test_they_name_no_host_and_no_folder(name):
    assert not re.search(r"https?:|--|/", (TOP / name).read_text(encoding="utf-8"))
