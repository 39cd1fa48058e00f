"""What a place is where work is done."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol, TypeVar

Item = TypeVar("Item", contravariant=True)
Result = TypeVar("Result", covariant=True)


class RunUnits(Protocol):
    """Calls independent units of work, several at a time."""

    @property
    def places(self) -> int:
        """How many of them are under way at a time, where there are so many."""

    def __call__(self, units: Sequence[Callable[[], Result]], /) -> Iterator[Result]:
        """Yield what the units return, in their order and as soon as it is there."""


class Workers(Protocol):
    """Other machines, each of which does one thing at a time with all its cores."""

    @property
    def n(self) -> int:
        """How many there are."""

    def call(self, function: Callable[[], Result]) -> Result:
        """Return what a function returns on one of them."""

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield what a function returns for each item, in their order.

        Few items are taken ahead of what was yielded. What a lost machine had is done by another.
        """

    def map_unordered(
        self, function: Callable[[Item], Result], items: Iterable[Item], at_most: int
    ) -> Iterator[Result]:
        """Yield what a function returns for each item, as soon as it is there.

        No more than `at_most` items are under way, on however many machines. What a lost machine
        had is done by another.
        """
