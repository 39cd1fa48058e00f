"""What a process makes for itself: a fork takes along no threads, and locks as they were held."""

import ctypes
import os
import threading
import weakref
from collections.abc import Callable
from typing import Generic, TypeVar

Made = TypeVar("Made")


class PerProcess(Generic[Made]):
    """What `make` returns: made when it is first asked for, and anew in a process that forks off.

    Several threads may ask for it.
    """

    def __init__(self, make: Callable[[], Made]) -> None:
        self._make = make
        self._made: list[Made] = []
        self._making = threading.Lock()
        _ALL.add(self)

    def __call__(self) -> Made:
        """Return it."""
        if not self._made:
            with self._making:
                if not self._made:
                    self._made.append(self._make())
        return self._made[0]

    def _forget(self) -> None:
        """Let go of what another process made, without ending it: it would wait for its threads."""
        for made in self._made:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(made))
        self._made = []
        self._making = threading.Lock()


_ALL: "weakref.WeakSet[PerProcess]" = weakref.WeakSet()


def _forget_all() -> None:
    for one in list(_ALL):
        one._forget()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_forget_all)
