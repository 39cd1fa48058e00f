"""A hash of what code does: of its syntax trees, and of the versions of the libraries it imports.

How it is written is left out: comments, docstrings, formatting, the order of import statements and
the names of the project's own modules.
"""

import ast
import sys
from collections.abc import Callable, Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions, version
from importlib.util import find_spec, resolve_name
from pathlib import Path

from stages.common.files import json_hash

TOP = Path(__file__).parents[2]
# Of this room, all that what a network computes depends on.
NETWORKS = {
    f"stages.common.{name}"
    for name in (
        "clip_network",
        "huggingface",
        "image_network",
        "image_steps",
        "images",
        "keras_network",
        "keras_weights",
        "openvino",
        "openvino_conversion",
        "text_network",
        "text_tokens",
    )
}
NOT_COMPUTING = {"filelock", "pydantic", "tqdm"}  # libraries that change no number
# Distributions that are named otherwise than what is imported from them.
NAMES = {
    "PIL": ("pillow",),
    "sklearn": ("scikit-learn",),
    "tensorflow": ("tensorflow", "tensorflow-cpu"),
}


def code_hash(modules: Iterable[str], is_part: Callable[[str], bool], top: Path = TOP) -> str:
    """Return the hash of modules, of what they import of those that are part, and of libraries.

    NETWORKS are part of it wherever they are imported. `top` is the folder that holds the package
    `stages`.
    """
    trees = _import_closure(modules, is_part, top)
    libraries = {name.split(".")[0] for tree in trees.values() for name in _imports(tree, "")}
    libraries -= {"stages", *NOT_COMPUTING, *sys.stdlib_module_names}
    code = sorted(json_hash(_imports_of(libraries, tree), _dump(tree)) for tree in trees.values())
    if "transformers" in libraries:
        libraries |= {"timm", "torchvision"}  # networks that it runs, and what resizes for them
    names = {name for library in libraries for name in distributions_of(library)}
    return json_hash(code, [(name, version(name)) for name in sorted(names)])


@cache
def distributions_of(library: str) -> tuple[str, ...]:
    """Return the names of the installed distributions that a library is imported from."""
    for name in NAMES.get(library, (library,)):
        try:
            return (distribution(name).metadata["Name"],)
        except PackageNotFoundError:
            continue
    if find_spec(library) is None:
        return ()
    return tuple(packages_distributions().get(library, ()))  # reads all that is installed


def _import_closure(
    modules: Iterable[str], is_part: Callable[[str], bool], top: Path
) -> dict[str, ast.Module]:
    """Return the syntax trees of modules and of all that they import that is part of the hash."""
    trees: dict[str, ast.Module] = {}
    pending = list(modules)
    while pending:
        name = pending.pop()
        file = top / f"{name.replace('.', '/')}.py"
        if name in trees or not (name in NETWORKS or is_part(name)) or not file.is_file():
            continue
        trees[name] = ast.parse(file.read_bytes())
        pending += _imports(trees[name], name.rpartition(".")[0])
    return trees


def _imports(tree: ast.Module, package: str) -> list[str]:
    """Return all names that a module imports, wherever in its text, each as a possible module."""
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and (package or not node.level):
            module = resolve_name("." * node.level + (node.module or ""), package)
            names += [module, *(f"{module}.{alias.name}" for alias in node.names)]
    return names


def _imports_of(libraries: set[str], tree: ast.Module) -> list[str]:
    """Return what a module imports of libraries: functions of several may have one name."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {(alias.name, "", alias.asname or "") for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {(node.module, alias.name, alias.asname or "") for alias in node.names}
    return sorted(" ".join(one) for one in found if one[0].split(".")[0] in libraries)


def _dump(tree: ast.Module) -> str:
    """Return a module's syntax tree as text, without docstrings and import statements.

    They are taken out of the tree.
    """
    for node in ast.walk(tree):
        for field in ("body", "orelse", "finalbody"):
            statements = getattr(node, field, None)
            if isinstance(statements, list):
                setattr(node, field, [one for one in statements if not _says_nothing(one)])
    return ast.dump(tree)


def _says_nothing(statement: ast.stmt) -> bool:
    is_text = (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )
    return is_text or isinstance(statement, ast.Import | ast.ImportFrom)
