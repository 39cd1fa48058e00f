"""The README's figures are those of the committed metrics, and its commands are real."""

import json
import re

import pytest
from helpers.repository import TOP
from ruamel.yaml import YAML

from stages.report import table

README = (TOP / "README.md").read_text(encoding="utf-8")


def test_the_table_of_the_demo_is_that_of_the_committed_metrics():
    models, headline = (
        json.loads((TOP / "metrics" / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("models", "headline")
    )
    assert table(models, headline) in README


def test_every_target_of_make_that_it_names_is_there():
    targets = set(re.findall(r"\bmake ([a-z]+)", README))
    there = set(re.findall(r"^([a-z]+):", (TOP / "Makefile").read_text(), re.MULTILINE))
    assert targets and targets <= there


@pytest.mark.parametrize("key", sorted(set(re.findall(r"-S '?([a-z_]+(?:\.\w+)*)=", README))))
def test_every_parameter_that_it_sets_is_there(key):
    value = YAML(typ="safe").load(TOP / "params.yaml")
    for part in key.split("."):
        value = value[part]


def test_every_test_that_it_names_is_there():
    named = set(re.findall(r"`(tests/[\w/]+\.py)`", README))
    assert named and all((TOP / name).is_file() for name in named)


def test_every_direct_dependency_has_its_reason():
    direct = (TOP / "requirements.txt").read_text(encoding="utf-8").split("# What those need")[0]
    names = re.findall(r"^([A-Za-z][\w.-]*)==", direct, re.MULTILINE)
    reasons = README.split("## Why each dependency")[1].split("\n## ")[0]
    missing = [
        name for name in names if name.replace("tensorflow-cpu", "tensorflow") not in reasons
    ]
    assert names and not missing
