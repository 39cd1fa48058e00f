"""Put products of requests that arrive together into one batch."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from stages.common.errors import UnavailableError

SMALLEST = 8  # items that a batch may have, however long they take: fewer would be slower

Item = TypeVar("Item")
Options = TypeVar("Options")
Answer = TypeVar("Answer")
Compute = Callable[[Sequence[Item], Options], Sequence[Answer]]


@dataclass(eq=False)
class _Job(Generic[Item, Options, Answer]):
    items: Sequence[Item]
    options: Options
    answers: asyncio.Future[Sequence[Answer]] = field(default_factory=asyncio.Future)


class Batcher(Generic[Item, Options, Answer]):
    """Calls `compute` in a thread of its own with the items of one or more jobs.

    A job that comes when the thread is free starts at once. Those that come meanwhile make the next
    batch, in their order, as far as they have the same options and there is room, so nothing ever
    waits for a batch to fill unless `wait_s` says so.
    """

    def __init__(
        self,
        compute: Compute[Item, Options, Answer],
        *,
        size: int,
        batch_s: float = 1,
        wait_s: float = 0,
        observe: Callable[[int], None] = lambda size: None,
    ) -> None:
        """Make batches of at most `size` items, which take about `batch_s` seconds.

        `observe` is called with the size of each batch.
        """
        self._compute = compute
        self._size = size
        self._batch_s = batch_s
        self._wait_s = wait_s
        self._observe = observe
        self._jobs: deque[_Job[Item, Options, Answer]] = deque()
        self._thread = ThreadPoolExecutor(1, "predict")
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._busy_since: float | None = None
        self.item_s = 0.0  # seconds that an item of the last batch took

    @property
    def room(self) -> int:
        """How many items the next batch may have: as many as take the time of a batch."""
        in_time = int(self._batch_s / self.item_s) if self.item_s else 0
        return min(max(in_time, SMALLEST), self._size)

    def start(self) -> None:
        """Start to work, in the loop that runs."""
        self._task = asyncio.create_task(self._work())

    async def stop(self) -> None:
        """Stop; what still waits is given up."""
        if self._task:
            self._task.cancel()
        self._thread.shutdown(wait=True, cancel_futures=True)

    def is_stuck(self, after_s: float) -> bool:
        """Return whether it has ended, or works at one batch for longer than `after_s`."""
        is_slow = self._busy_since is not None and time.monotonic() - self._busy_since > after_s
        return self._task is None or self._task.done() or is_slow

    async def run(self, items: Sequence[Item], options: Options) -> Sequence[Answer]:
        """Return what `compute` says of `items`; raise what it raises for them alone.

        Where that is an UnavailableError, nothing of its batch is computed again. If the caller is
        cancelled, they leave the queue.
        """
        job = _Job[Item, Options, Answer](items, options)
        self._jobs.append(job)
        self._wake.set()
        return await job.answers

    async def _work(self) -> None:
        while True:
            await self._wake.wait()
            if self._wait_s and sum(len(job.items) for job in self._jobs) < self.room:
                await asyncio.sleep(self._wait_s)
            if jobs := self._take():
                await self._answer(jobs)

    def _take(self) -> list[_Job[Item, Options, Answer]]:
        """Return the jobs of the next batch, at least one if any waits, and remove them."""
        taken: list[_Job[Item, Options, Answer]] = []
        left: deque[_Job[Item, Options, Answer]] = deque()
        room = self.room
        for job in self._jobs:
            if job.answers.done():  # cancelled
                continue
            is_like = not taken or job.options == taken[0].options
            if is_like and (not taken or len(job.items) <= room):
                taken.append(job)
                room -= len(job.items)
            else:
                left.append(job)
        self._jobs = left
        if not left:
            self._wake.clear()
        return taken

    async def _answer(self, jobs: Sequence[_Job[Item, Options, Answer]]) -> None:
        items = [item for job in jobs for item in job.items]
        self._observe(len(items))
        self._busy_since = start = time.monotonic()
        try:
            answers = await asyncio.get_running_loop().run_in_executor(
                self._thread, self._compute, items, jobs[0].options
            )
        except Exception as error:
            if len(jobs) > 1 and not isinstance(error, UnavailableError):
                for job in jobs:  # one of them is to blame: the others get their answer
                    await self._answer([job])
                return
            for job in jobs:
                if not job.answers.done():
                    job.answers.set_exception(error)
            return
        finally:
            self._busy_since = None
        self.item_s = (time.monotonic() - start) / max(len(items), 1)
        found = iter(answers)
        for job in jobs:
            own = [next(found) for _ in job.items]
            if not job.answers.done():
                job.answers.set_result(own)
