"""Batch adaptively inside one process: items that arrive during a batch form the next one.

There is no timer and no target latency: a single request starts at once, and under load batches
grow up to the limit. Scoring, database look-ups and journaling use this.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Generic, TypeVar

from errors import Busy, Unavailable

T = TypeVar("T")
R = TypeVar("R")

#: Items up to this weight go before heavier ones, so that a single reading need not wait for all
#: earlier bulk requests.
LIGHT = 64


@dataclass(slots=True)
class _Waiting(Generic[T, R]):
    item: T
    weight: int
    future: asyncio.Future[R]
    deadline: float | None


@dataclass(eq=False)
class Batcher(Generic[T, R]):
    """Gather items of concurrent callers and process them together.

    Parameters
    ----------
    work : async callable
        Takes the items; returns one result or exception for each, in their order. If it raises,
        every caller of the batch gets the exception.
    max_weight : int
        Maximum weight of a batch; a heavier single item makes its own batch.
    max_waiting : int
        Maximum weight of the queue; beyond it new items are rejected.
    parallel : int
        Number of batches processed at the same time.
    on_batch : callable, optional
        Called with the weight of each batch.
    """

    work: Callable[[list[T]], Awaitable[Sequence[R | BaseException]]]
    _: KW_ONLY
    max_weight: int
    max_waiting: int
    parallel: int = 1
    on_batch: Callable[[int], None] | None = None
    _light: deque[_Waiting[T, R]] = field(default_factory=deque, init=False)
    _heavy: deque[_Waiting[T, R]] = field(default_factory=deque, init=False)
    _waiting_weight: int = field(default=0, init=False)
    _running: int = field(default=0, init=False)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set, init=False)

    async def submit(self, item: T, *, weight: int = 1, deadline: float | None = None) -> R:
        """Queue one item and wait for its result.

        Parameters
        ----------
        item
            What ``work`` takes.
        weight : int
            Its size, such as its number of readings.
        deadline : float, optional
            On the event loop's clock: an item that has not started by then is dropped. (A timer
            per item would cost more than everything else here.)

        Raises
        ------
        Busy
            The queue is full.
        Unavailable
            The deadline has passed.
        """
        if self._waiting_weight and self._waiting_weight + weight > self.max_waiting:
            raise Busy("too many readings are waiting to be scored", retry_after=1)
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        waiting = _Waiting(item, weight, future, deadline)
        (self._light if weight <= LIGHT else self._heavy).append(waiting)
        self._waiting_weight += weight
        if self._running < self.parallel:
            self._start()
        return await future

    def _start(self) -> None:
        while self._running < self.parallel and (self._light or self._heavy):
            self._running += 1
            task = asyncio.get_running_loop().create_task(self._run())
            # the event loop keeps only weak references to tasks
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run(self) -> None:
        try:
            while batch := self._take():
                await self._answer(batch)
        finally:
            self._running -= 1

    def _take(self) -> list[_Waiting[T, R]]:
        batch: list[_Waiting[T, R]] = []
        room = self.max_weight
        # take one heavy item per round, even if light ones keep coming
        if self._heavy:
            room -= self._pop(self._heavy, batch)
        for queue in (self._light, self._heavy):
            while queue and (queue[0].weight <= room or not batch):
                room -= self._pop(queue, batch)
        return batch

    def _pop(self, queue: deque[_Waiting[T, R]], batch: list[_Waiting[T, R]]) -> int:
        waiting = queue.popleft()
        self._waiting_weight -= waiting.weight
        if waiting.future.done():  # its caller no longer waits
            return 0
        if waiting.deadline is not None and waiting.deadline < asyncio.get_running_loop().time():
            waiting.future.set_exception(
                Unavailable(
                    "the request's deadline passed while it waited", code="deadline", retry_after=2
                )
            )
            return 0
        batch.append(waiting)
        return waiting.weight

    async def _answer(self, batch: list[_Waiting[T, R]]) -> None:
        if self.on_batch is not None:
            self.on_batch(sum(w.weight for w in batch))
        try:
            results = await self.work([w.item for w in batch])
            if len(results) != len(batch):
                raise RuntimeError(f"{len(batch)} items, {len(results)} results")
        except Exception as error:
            results = [error] * len(batch)
        for waiting, result in zip(batch, results, strict=True):
            if waiting.future.done():
                continue
            if isinstance(result, BaseException):
                waiting.future.set_exception(result)
            else:
                waiting.future.set_result(result)
