"""dvc.yaml names the modules that each stage imports: no more, or too much reruns; no less."""

import ast
from pathlib import Path

import pytest
from ruamel.yaml import YAML

TOP = Path(__file__).parents[2]
STAGES = YAML(typ="safe").load(TOP / "dvc.yaml")["stages"]

# The kinds that a stage may import by the name in params.yaml, through module_of.
IMAGE_KINDS = {"keras", "huggingface_image", "onnx"}
TEXT_KINDS = {"huggingface_text", "hashed_ngrams"}
KINDS = {
    "fetch_image_weights": {f"stages/encoders/{kind}.py" for kind in IMAGE_KINDS},
    "fetch_text_weights": {f"stages/encoders/{kind}.py" for kind in TEXT_KINDS},
    "embed_images": {f"stages/encoders/{kind}.py" for kind in IMAGE_KINDS},
    "embed_text": {f"stages/encoders/{kind}.py" for kind in TEXT_KINDS},
}
# What a stage's modules import only in functions that it does not call.
NOT_CALLED = {
    "fetch_image_weights": {"stages/encoders/torch_network.py"},
    "fetch_text_weights": {
        "stages/cache.py",
        "stages/encoders/batches.py",
        "stages/encoders/openvino_network.py",
        "stages/encoders/torch_network.py",
    },
}
CLASSIFIER = "stages/classifiers/${item.classifier}.py"


def imported(file: Path) -> set[Path]:
    """Return the files of the repository that a module imports itself, wherever in its text."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            path = TOP / name.replace(".", "/")
            found |= {path.with_suffix(".py"), path / "__init__.py"}
    return {path for path in found if path.is_file()}


def closure(files: set[Path]) -> set[Path]:
    """Return the files and all that they import, directly or not, packages included."""
    seen: set[Path] = set()
    todo = set(files)
    while todo:
        file = todo.pop()
        seen.add(file)
        packages = {parent / "__init__.py" for parent in file.parents if parent != TOP}
        todo |= {path for path in imported(file) | packages if path.is_file()} - seen
    return seen


def module_of(stage: dict) -> str:
    """Return the file of the module that a stage runs."""
    return stage["cmd"].split()[2].replace(".", "/") + ".py"


@pytest.mark.parametrize("name", STAGES)
def test_every_stage_names_the_modules_that_it_imports(name):
    stage = STAGES[name].get("do", STAGES[name])
    declared = {dep for dep in stage["deps"] if dep.startswith("stages/")}
    starts = {module_of(stage)} | KINDS.get(name, set())
    if CLASSIFIER in declared:
        declared.remove(CLASSIFIER)
        kinds = {f"stages/classifiers/{kind.stem}.py" for kind in classifiers()}
        starts |= kinds
        declared |= kinds
    needed = {str(path.relative_to(TOP)) for path in closure({TOP / start for start in starts})}
    assert declared == needed - NOT_CALLED.get(name, set())


def classifiers() -> list[Path]:
    """Return the modules that params.yaml can name as classifiers."""
    names = YAML(typ="safe").load(TOP / "params.yaml")["classifiers"]
    return [TOP / "stages/classifiers" / f"{name}.py" for name in names]


def test_the_modules_of_the_kinds_are_all_there_are():
    there = {path.stem for path in (TOP / "stages/encoders").glob("*.py")}
    shared = {"__init__", "batches", "engine", "huggingface", "identity", "openvino_network"}
    shared |= {"torch_network", "trial", "views", "weights"}
    assert there - shared == IMAGE_KINDS | TEXT_KINDS


def test_dependencies_are_sorted_so_that_a_diff_shows_what_changed():
    for name, stage in STAGES.items():
        modules = [dep for dep in stage.get("do", stage)["deps"] if dep.startswith("stages/")]
        assert modules == sorted(modules), name
