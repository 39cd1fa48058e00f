"""dvc.yaml names the scripts and rooms that each stage imports, no more and no less."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.imports import closure
from helpers.repository import TOP
from ruamel.yaml import YAML

STAGES = YAML(typ="safe").load(TOP / "dvc.yaml")["stages"]
CLASSIFIER = "stages/classifiers/${item.classifier}.py"
# They decide nothing that is written: params.py can only refuse, and where work is done changes no
# byte; the package does nothing.
DECLARED_NOWHERE = {TOP / "stages/params.py", TOP / "stages/__init__.py"}
DECLARED_NOWHERE |= set((TOP / "stages/compute").glob("*.py"))
USES_A_KIND = {"fetch_image_weights", "fetch_text_weights", "embed_images", "embed_text"}


def says_something(file: Path) -> bool:
    """Say whether a module holds more than its docstring."""
    return len(ast.parse(file.read_text(encoding="utf-8")).body) > 1


def code_of(stage: dict) -> list[str]:
    return [dep for dep in stage["deps"] if dep.startswith("stages/")]


@pytest.mark.parametrize("name", STAGES)
def test_what_a_stage_imports_lies_in_what_it_declares(name):
    stage = STAGES[name].get("do", STAGES[name])
    script = stage["cmd"].split()[2].replace(".", "/") + ".py"
    starts = {TOP / script}
    if name in USES_A_KIND:
        starts |= set((TOP / "stages/encoders").glob("*.py"))
    declared = code_of(stage)
    if CLASSIFIER in declared:
        files = (TOP / "stages/classifiers").glob("*.py")
        kinds = sorted(file.stem for file in files if file.stem != "__init__")
        starts |= {TOP / f"stages/classifiers/{kind}.py" for kind in kinds}
        declared.remove(CLASSIFIER)
        declared += [f"stages/classifiers/{kind}.py" for kind in kinds]
    needed = {file for file in closure(starts, DECLARED_NOWHERE) if says_something(file)}
    undeclared = {
        str(file.relative_to(TOP))
        for file in needed
        if not any(file.is_relative_to(TOP / place) for place in declared)
    }
    unused = {place for place in declared if not any(f.is_relative_to(TOP / place) for f in needed)}
    assert (undeclared, unused) == (set(), set())


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_has_at_most_five_code_dependencies_in_alphabetical_order(name):
    code = code_of(STAGES[name].get("do", STAGES[name]))
    assert len(code) <= 5
    assert code == sorted(code)


def test_how_requests_are_sent_reruns_only_the_stage_that_fetches_images():
    stages = {name: stage.get("do", stage).get("params", []) for name, stage in STAGES.items()}
    assert [name for name, keys in stages.items() if "download" in keys] == ["download_images"]


def test_what_a_desktop_leaves_in_a_folder_reruns_nothing():
    left = ["data/catalogue/.DS_Store", "data/images/Thumbs.db", "data/embeddings/desktop.ini"]
    command = [sys.executable, "-m", "dvc", "check-ignore", *left, "data/catalogue/products.csv"]
    found = subprocess.run(command, cwd=TOP, capture_output=True, text=True)
    assert found.stdout.splitlines() == left
