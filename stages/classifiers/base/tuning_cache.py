"""Tuned networks that are kept in .cache: what was tuned once is not tuned again.

Two members of a model tune one network to the same texts, and a run that was killed goes on from
the networks that were done, and from checkpoints of the others. The vectors that a network has
computed are kept beside it. The cache may be deleted at any time.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from stages.classifiers.base.checkpoints import SUFFIX, remove_old
from stages.classifiers.base.epochs import History
from stages.classifiers.base.saved_network import SavedNetwork
from stages.classifiers.base.vector_cache import CachedNetwork
from stages.common.cache import cache_folder, remove_unused
from stages.common.code_hash import TOP, code_hash
from stages.common.devices import processor
from stages.common.errors import InputError
from stages.common.files import (
    DESKTOP_FILES,
    atomic_folder,
    json_hash,
    read_json,
    sha256_of,
    write_json,
)
from stages.common.image_network import ImageNetwork
from stages.common.keras_network import KerasNetwork
from stages.common.keras_weights import load_variables, save_variables
from stages.common.text_network import TextNetwork

Network = TextNetwork | ImageNetwork | KerasNetwork

MAX_TUNED = 32  # networks that are kept: those used last
ROOM = "stages.classifiers"
# What they do changes no tuned network, or is in the key as values.
OPAQUE = {f"{ROOM}.base.{name}" for name in ("checkpoints", "interface", "tuning_cache")}
ARRAYS_FILE = "head.safetensors"
HISTORY_FILE = "history.json"


@dataclass(frozen=True)
class Tuned:
    """A tuned network, the linear layer that was trained on it, and how that went."""

    network: SavedNetwork | CachedNetwork
    variables: dict[str, np.ndarray]
    history: History


def tuned_once(
    key: Any,
    network: Network,
    tune: Callable[[Path], Tuned],
    load: Callable[[Path], SavedNetwork],
) -> Tuned:
    """Return what `tune` returns for a network in its folder, from the cache if it is there.

    `key`, which can be written as JSON, is all that the result depends on beside the network, the
    code and the libraries. `tune` is given a file for its checkpoint, which is removed once it is
    done. `load` loads what a SavedNetwork saved.
    """
    folder = cache_folder() / "tuned" / _hash(key, network)
    try:
        found = _read(folder, load)
    except (InputError, LookupError, TypeError, AttributeError):  # not there, or damaged
        checkpoint = folder.with_name(f".{folder.name}{SUFFIX}")
        made = tune(checkpoint)
        with atomic_folder(folder) as part:
            made.network.save(part)
            save_variables(made.variables, part / ARRAYS_FILE)
            shapes = {name: list(array.shape) for name, array in made.variables.items()}
            write_json(part / HISTORY_FILE, {"history": made.history, "shapes": shapes})
        checkpoint.unlink(missing_ok=True)
        remove_old(folder.parent)
        found = _read(folder, load)
    remove_unused(folder, MAX_TUNED)
    return found


def _read(folder: Path, load: Callable[[Path], SavedNetwork]) -> Tuned:
    """Read what was kept; raises InputError where it is missing or damaged."""
    described = read_json(folder / HISTORY_FILE)
    shapes = {
        name: (tuple(shape), np.dtype(np.float32)) for name, shape in described["shapes"].items()
    }
    variables = load_variables(folder / ARRAYS_FILE, shapes)
    return Tuned(CachedNetwork(load(folder), folder), variables, described["history"])


def _hash(key: Any, network: Network) -> str:
    """Return the hash of all that a tuned network depends on."""
    files = sorted(file for file in network.folder.iterdir() if file.is_file())
    return json_hash(
        key,
        {name: value for name, value in asdict(network).items() if name != "folder"},
        [(file.name, sha256_of(file)) for file in files if file.name not in DESKTOP_FILES],
        code_key(),
        processor(),
    )


@cache
def code_key(top: Path = TOP) -> str:
    """Return the hash of the code that tunes networks, and of the libraries that it imports."""
    modules = [f"{ROOM}.base.{name}" for name in ("image_classifier", "text_classifier")]
    return code_hash(modules, _is_part, top)


def _is_part(name: str) -> bool:
    return name.startswith(f"{ROOM}.") and name not in OPAQUE
