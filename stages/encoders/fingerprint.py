"""The key of a cached vector: a hash of all that the vector depends on beside its input.

Code is part of it as what it does, not as how it is written: comments, docstrings, formatting,
import statements and the names of modules are left out.
"""

import ast
import hashlib
import json
import os
import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple
from functools import cache
from importlib.metadata import packages_distributions, version
from importlib.util import resolve_name
from pathlib import Path
from typing import Any

from stages.common.files import sha256_of
from stages.encoders.backends.base import Backend
from stages.encoders.settings import EncoderSettings
from stages.encoders.weights.manifest import MANIFEST_FILE

ROOM = "stages.encoders"
TOP = Path(__file__).parents[2]
# Their results are in the key as values: bytes of weights, settings, the backend.
OPAQUE = {
    f"{ROOM}.{name}"
    for name in ("backends.base", "base", "table_encoder", "fingerprint", "settings", "weights")
}
# Of other rooms, all that a vector depends on.
OTHERS = {
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
NOT_COMPUTING = {"filelock", "pydantic"}  # libraries that change no number


def network_key(settings: EncoderSettings, folder: Path) -> str:
    """Return the hash of a network and of what prepares its input.

    That is: the encoder's settings, its weights in `folder`, the code of its kind and the versions
    of the libraries that this code imports. Of a network on another machine, it is the settings
    alone. A text's prefix is part of the input.
    """
    if settings.is_remote:
        return _hash(
            settings.model_dump(mode="json", exclude={"prefix", "fields", *settings.costs})
        )
    modules = [f"{ROOM}.{settings.kind}"]
    if getattr(settings, "tta", ["identity"]) != ["identity"]:
        modules.append(f"{ROOM}.augmentation")
    weights = [file for file in sorted(folder.iterdir()) if file.name != MANIFEST_FILE]
    return _hash(
        settings.model_dump(mode="json", exclude={"prefix"}),
        [(file.name, sha256_of(file)) for file in weights],
        code_key(modules),
    )


def vector_key(network: str, backend: Backend) -> str:
    """Return the hash of all that a vector of the network depends on beside its input."""
    return _hash(network, astuple(backend), processor(), *gpu(backend.device))


def gpu(device: str) -> list[str]:
    """Return the model of the GPU that `device` is, cpu, cuda or mps: it rounds in its own way."""
    if device != "cuda":
        return []
    import torch

    return [torch.cuda.get_device_name()]


def code_key(modules: Iterable[str], top: Path = TOP) -> str:
    """Return the hash of modules, of those of this room that they import, and of libraries.

    `top` is the folder that holds the package `stages`.
    """
    trees = _import_closure(modules, top)
    libraries = {name.split(".")[0] for tree in trees.values() for name in _imports(tree, "")}
    libraries -= {"stages", *NOT_COMPUTING, *sys.stdlib_module_names}
    if "transformers" in libraries:
        libraries |= {"timm", "torchvision"}  # networks that it runs, and what resizes for them
    code = sorted(_hash(_dump(tree)) for tree in trees.values())
    return _hash(code, _versions(libraries))


def _import_closure(modules: Iterable[str], top: Path) -> dict[str, ast.Module]:
    """Return the syntax trees of modules and of all that they import from this room."""
    trees: dict[str, ast.Module] = {}
    pending = list(modules)
    while pending:
        name = pending.pop()
        file = top / f"{name.replace('.', '/')}.py"
        is_opaque = any(name == module or name.startswith(f"{module}.") for module in OPAQUE)
        is_ours = name in OTHERS or (name.startswith(f"{ROOM}.") and not is_opaque)
        if name in trees or not is_ours or not file.is_file():
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


def _dump(tree: ast.Module) -> str:
    """Return a module's syntax tree as text, without docstrings and import statements."""
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


def _versions(libraries: Iterable[str]) -> list[tuple[str, str]]:
    """Return the versions of the installed distributions that libraries are imported from."""
    known = _distributions()
    names = {name for library in libraries for name in known.get(library, ())}
    return [(name, version(name)) for name in sorted(names)]


@cache
def _distributions() -> Mapping[str, Sequence[str]]:
    """Return which distributions each importable name comes from: half a second to find out."""
    return packages_distributions()


def _hash(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def processor() -> list[str]:
    """Return what is known of the processor: its kernels, and so its roundings, depend on it."""
    known = [platform.machine(), platform.processor(), str(os.cpu_count())]
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = ("vendor_id", "cpu family", "model", "model name", "stepping", "flags")
        first = cpuinfo.read_text(encoding="utf-8").split("\n\n")[0]
        known += [line for line in first.split("\n") if line.split("\t")[0].strip() in names]
    return known
