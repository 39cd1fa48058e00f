"""The rooms of stages/: who may import whom, how long scripts are, what an import does."""

import subprocess
import sys
import textwrap
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from helpers.imports import imported_files
from helpers.repository import TOP

# Each level imports from the levels below it alone; rooms of one level do not know each other.
LEVELS = [
    {"scripts"},
    {"params"},
    {"packaging"},
    {"fusion", "reporting"},
    {"classifiers", "encoders", "download", "catalog", "evaluation"},
    {"compute"},
    {"common"},
]
SCRIPTS = {"prepare", "download_images", "split", "fetch_weights", "embed_images", "embed_text"}
SCRIPTS |= {"fuse", "train", "ensemble", "evaluate", "package", "report"}
MODULES = sorted((TOP / "stages").rglob("*.py"))
HEAVY = [
    "torch",
    "tensorflow",
    "keras",
    "openvino",
    "sklearn",
    "skops",
    "transformers",
    "cleanlab",
    "ray",
]


def room_of(file: Path) -> str:
    parts = file.relative_to(TOP / "stages").with_suffix("").parts
    if len(parts) > 1:
        return parts[0]
    return "params" if parts[0] == "params" else "scripts"


def level_of(room: str) -> int:
    return next(i for i, rooms in enumerate(LEVELS) if room in rooms)


def is_package(file: Path) -> bool:
    return file.name == "__init__.py"


def test_every_folder_below_stages_is_a_room():
    assert {room_of(file) for file in MODULES} == set().union(*LEVELS)


def test_rooms_import_downwards_only():
    wrong = []
    for file in MODULES:
        for other in imported_files(file):
            here, there = room_of(file), room_of(other)
            if is_package(other) and here == "scripts" == there:
                continue
            if here != there and level_of(there) <= level_of(here):
                wrong.append(f"{file.relative_to(TOP)} imports {other.relative_to(TOP)}")
    assert wrong == []


def test_no_stage_imports_another_and_no_room_imports_params():
    for file in MODULES:
        others = {other for other in imported_files(file) if not is_package(other)}
        scripts = {other for other in others if room_of(other) == "scripts"}
        assert scripts == set(), file
        if room_of(file) != "scripts":
            assert TOP / "stages/params.py" not in others, file


def test_no_kind_of_classifier_imports_another():
    # A stage of dvc.yaml depends on the module of its own kind, and on base.
    kinds = {file for file in MODULES if file.parent == TOP / "stages" / "classifiers"}
    wrong = [
        (file.name, other.name)
        for file in kinds
        for other in imported_files(file) & kinds
        if not is_package(other)
    ]
    assert not wrong


def test_serving_imports_rooms_and_no_room_imports_serving():
    for file in sorted((TOP / "serving").rglob("*.py")):
        rooms = {
            room_of(other) for other in imported_files(file) if TOP / "stages" in other.parents
        }
        others = {other for other in imported_files(file) if other != TOP / "stages/__init__.py"}
        assert "params" not in rooms, file
        assert not {other for other in others if other.parent == TOP / "stages"}, file
    for file in MODULES:
        assert not {other for other in imported_files(file) if TOP / "serving" in other.parents}


def test_modules_import_each_other_in_no_circle():
    graph = {file: imported_files(file) for file in MODULES if not is_package(file)}
    TopologicalSorter(graph).prepare()  # raises CycleError


def test_only_scripts_lie_at_the_top_of_stages_and_they_are_short():
    lines = {
        file.stem: len(file.read_text(encoding="utf-8").splitlines())
        for file in (TOP / "stages").glob("*.py")
    }
    assert set(lines) == SCRIPTS | {"__init__", "params"}
    assert {name: n for name, n in lines.items() if n > 120 and name != "params"} == {}


def test_dvc_yaml_is_a_page_or_three():
    assert len((TOP / "dvc.yaml").read_text(encoding="utf-8").splitlines()) <= 220


@pytest.mark.parametrize("start", ["stages.params", "everything"])
def test_importing_the_stages_changes_nothing_in_the_process(start):
    names = [".".join(file.relative_to(TOP).with_suffix("").parts) for file in MODULES]
    wanted = [start] if start != "everything" else names
    # What runs networks imports its framework; nothing imports these before it is needed.
    heavy = HEAVY if start != "everything" else []
    code = f"""
    import importlib, os, sys, warnings
    environment, hook = dict(os.environ), sys.excepthook
    for name in {wanted}:
        importlib.import_module(name)
    changed = {{key for key in os.environ if os.environ[key] != environment.get(key)}}
    assert not changed, changed
    assert sys.excepthook is hook
    assert None not in sys.modules.values(), "a module is hidden from others"
    imported = set({heavy}) & set(sys.modules)
    assert not imported, imported
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=TOP, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
