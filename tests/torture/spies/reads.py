"""Run a stage and write down which parameters it reads: python reads.py <file> <module> <options>.

A value counts as read once an attribute gives it; a mapping, such as `classifiers`, is touched.
"""

import json
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import stages.params as params_module
from stages.common.settings import Settings
from stages.params import Params

file, module, *options = sys.argv[1:]
places: dict[int, str] = {}
kept = []  # so that no other object gets the id of a section that is gone
read, touched = set(), set()


def sections(section: Settings, place: str) -> Iterator[tuple[str, Settings]]:
    """Yield a section and those in it, each with its place."""
    yield place, section
    for name in type(section).model_fields:
        value = section.__dict__[name]
        inner = value if isinstance(value, dict) else {"": value}
        for key, entry in inner.items():
            if isinstance(entry, Settings):
                yield from sections(entry, ".".join(filter(None, (place, name, key))))


def note(section: Settings, name: str) -> Any:
    """Return an attribute, having noted that it was read."""
    value = object.__getattribute__(section, name)
    place = places.get(id(section))
    if place is None:
        return value
    if name == "model_dump":
        for below, inner in sections(section, place):
            read.update(f"{below}.{field}" for field in type(inner).model_fields)
    elif name in type(section).model_fields and not isinstance(value, Settings):
        full = f"{place}.{name}".removeprefix(".")
        (touched if isinstance(value, dict) else read).add(full)
    return value


def load_params(*arguments: Any) -> Params:
    """Load the parameters and watch them from then on."""
    params = original(*arguments)
    kept.append(params)
    places.update((id(section), place) for place, section in sections(params, ""))
    return params


original = params_module.load_params
params_module.load_params = load_params
Settings.__getattribute__ = note
sys.argv = [module, *options]
try:
    runpy.run_module(module, run_name="__main__", alter_sys=True)
finally:
    Path(file).write_text(json.dumps({"read": sorted(read), "touched": sorted(touched)}))
