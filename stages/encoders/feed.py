"""Inputs prepared by several threads, ahead of the network that takes them."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from typing import TypeVar

Input = TypeVar("Input")
Prepared = TypeVar("Prepared")

PIECE = 8  # inputs that a thread takes at once: to hand over one costs as much as a short text


def prepared(
    prepare: Callable[[Input], Prepared], inputs: Iterable[Input], threads: int, ahead: int
) -> Generator[Prepared, None, None]:
    """Yield what `prepare` makes of each input, in their order.

    `threads` threads prepare up to `ahead` inputs before they are asked for. An input that is alone
    is prepared here, as all are without threads. An error in a thread is raised here. Close the
    iterator to end the threads before its end; they finish the inputs that they have begun.
    """
    rest = iter(inputs)
    first = list(islice(rest, 2))
    rest = chain(first, rest)
    if threads == 0 or len(first) < 2:
        yield from map(prepare, rest)
        return

    def prepare_piece(piece: list[Input]) -> list[Prepared]:
        return list(map(prepare, piece))

    pool = ThreadPoolExecutor(threads, "feed")
    pending: deque[Future[list[Prepared]]] = deque()
    try:
        while True:
            while len(pending) < max(1, ahead // PIECE) and (piece := list(islice(rest, PIECE))):
                pending.append(pool.submit(prepare_piece, piece))
            if not pending:
                return
            yield from pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
