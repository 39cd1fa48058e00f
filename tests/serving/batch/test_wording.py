"""No message of the rooms sends the user of the command line to params.yaml."""

import ast

import pytest
from helpers.repository import TOP

from serving.batch.wording import in_flags

ROOMS = ("stages/catalog/sources", "stages/download")
FILES = [file for room in ROOMS for file in sorted((TOP / room).rglob("*.py"))]
FILES += [TOP / "stages/catalog/image_reasons.py"]
NOT_REACHED = {"bestbuy.py", "demo.py", "image_counts.py"}


def messages(file):
    """Return the texts in a module that are no docstrings, as they are written."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    docstrings = {
        node.body[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(x.value if isinstance(x, ast.Constant) else "X" for x in node.values)
        elif isinstance(node, ast.Constant) and node not in docstrings:
            yield str(node.value)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_messages_name_flags(file):
    if file.name in NOT_REACHED:
        return
    for text in messages(file):
        said = in_flags(text)
        assert "data.table" not in said and "data.mirror" not in said, said
        assert "data.folder" not in said and "dvc repro" not in said, said
