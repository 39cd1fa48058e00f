"""A hash of what code does: of its syntax trees, and of the versions of the libraries it imports.

How it is written is left out: comments, docstrings, formatting, the order of import statements and
the names of the project's own modules.
"""

import ast
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
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


@dataclass(frozen=True)
class _Module:
    """What a module does: its syntax tree as text, without docstrings and import statements.

    `imported` has all names that it imports, each as a possible module; `statements` what each of
    its imports of a library says.
    """

    code: str
    imported: tuple[str, ...]
    statements: frozenset[str]


def code_hash(modules: Iterable[str], is_part: Callable[[str], bool], top: Path = TOP) -> str:
    """Return the hash of modules, of what they import of those that are part, and of libraries.

    NETWORKS are part of it wherever they are imported. `top` is the folder that holds the package
    `stages`.
    """
    found = _import_closure(modules, is_part, top)
    libraries = {_library(one) for module in found for one in module.statements}
    libraries -= {"stages", *NOT_COMPUTING, *sys.stdlib_module_names}
    code = sorted(
        json_hash(
            sorted(one for one in module.statements if _library(one) in libraries), module.code
        )
        for module in found
    )
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
) -> list[_Module]:
    """Return modules, and all that they import that is part of the hash."""
    found: dict[str, _Module] = {}
    pending = list(modules)
    while pending:
        name = pending.pop()
        file = top / f"{name.replace('.', '/')}.py"
        if name in found or not (name in NETWORKS or is_part(name)) or not file.is_file():
            continue
        found[name] = _read(file.read_bytes(), name.rpartition(".")[0])
        pending += found[name].imported
    return list(found.values())


@cache  # several keys are computed in a process, of the same modules
def _read(content: bytes, package: str) -> _Module:
    """Parse a module of a package."""
    tree = ast.parse(content)
    imported: list[str] = []
    statements: set[str] = set()  # not only names: functions of several libraries may have one
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported += [alias.name for alias in node.names]
            statements |= {f"{alias.name}  {alias.asname or ''}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (package or not node.level):
            module = resolve_name("." * node.level + (node.module or ""), package)
            imported += [module, *(f"{module}.{alias.name}" for alias in node.names)]
            if not node.level:
                statements |= {f"{module} {one.name} {one.asname or ''}" for one in node.names}
    return _Module(_dump(tree), tuple(imported), frozenset(statements))


def _library(statement: str) -> str:
    return statement.split(" ")[0].split(".")[0]


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
