"""The three requirements files differ where they must, and pin every package exactly."""

import pytest
from helpers.repository import TOP

FILES = {"requirements.txt": "tensorflow-cpu", "requirements_gpu.txt": "tensorflow[and-cuda]"}
FILES["requirements_mac.txt"] = "tensorflow"


def lines(name: str) -> list[str]:
    text = (TOP / name).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


@pytest.mark.parametrize("name", FILES)
def test_every_package_is_pinned_once(name):
    names, versions = zip(*(line.split("==") for line in lines(name)), strict=True)
    assert len(set(names)) == len(names)
    assert all(versions)


@pytest.mark.parametrize("name", FILES)
def test_they_differ_in_tensorflow_alone(name):
    version = "==2.21.0"
    common = [line for line in lines(name) if line != FILES[name] + version]
    assert common == [line for line in lines("requirements.txt") if "tensorflow" not in line]
    assert len(lines(name)) == len(common) + 1
