"""Which files of the repository a module imports, by its text."""

import ast
from collections.abc import Collection
from functools import cache
from pathlib import Path

from helpers.repository import TOP


@cache
def imported_files(file: Path) -> frozenset[Path]:
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
    return frozenset(path for path in found if path.is_file())


def closure(files: Collection[Path], opaque: Collection[Path] = ()) -> set[Path]:
    """Return the files and all that they import, directly or not, but for the `opaque` ones."""
    seen: set[Path] = set()
    todo = set(files)
    while todo:
        file = todo.pop()
        seen.add(file)
        todo |= imported_files(file) - seen - set(opaque)
    return seen
