"""Something large that each machine of a cluster loads once, where it would be the same there."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from stages.common.errors import InputError

Loaded = TypeVar("Loaded")

_loaded: dict[str, Any] = {}  # in a worker, what was loaded last, by its key


@dataclass(frozen=True)
class Loader(Generic[Loaded]):
    """How a machine loads something whose results depend on what `key` is the hash of.

    `key_here` returns that hash on the machine that it is called on.
    """

    load: Callable[[], Loaded]
    key: str
    key_here: Callable[[], str]

    def get(self) -> Loaded:
        """Return it, loaded where it is not there yet.

        Raises InputError where this machine would give other results.
        """
        if self.key not in _loaded:
            if self.key_here() != self.key:
                raise InputError(
                    "the machines of the cluster would give different results: they differ in "
                    "processors or GPUs, in versions of packages or in files of the project: take "
                    "machines of one kind, and one environment"
                )
            _loaded.clear()
            _loaded[self.key] = self.load()
        return cast(Loaded, _loaded[self.key])
