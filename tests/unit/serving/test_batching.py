"""Adaptive batching: what waits forms the next batch; limits, deadlines and failures."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from errors import Busy, Unavailable
from serving.batching import Batcher


class Work:
    """Doubles numbers; each batch waits until it is let go."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = asyncio.Semaphore(0)

    async def __call__(self, items: list[int]) -> Sequence[int | BaseException]:
        self.batches.append(items)
        await self.gate.acquire()
        return [ValueError(str(i)) if i < 0 else 2 * i for i in items]


def batcher(work: Any, **options: Any) -> Batcher[int, int]:
    return Batcher(work, **{"max_weight": 10, "max_waiting": 100, **options})


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_what_arrives_meanwhile_forms_the_next_batch() -> None:
    async def scenario() -> None:
        work = Work()
        sizes: list[int] = []
        batches = batcher(work, on_batch=sizes.append)
        tasks = [asyncio.create_task(batches.submit(0))]
        await settle()
        tasks += [asyncio.create_task(batches.submit(i)) for i in range(1, 6)]
        await settle()
        assert work.batches == [[0]]  # alone, it started at once
        for _ in range(2):
            work.gate.release()
        assert await asyncio.gather(*tasks) == [0, 2, 4, 6, 8, 10]
        assert work.batches[1] == [1, 2, 3, 4, 5]
        assert sizes == [1, 5]

    asyncio.run(scenario())


def test_a_batch_stays_within_its_weight_and_a_heavier_item_goes_alone() -> None:
    async def scenario() -> None:
        work = Work()
        batches = batcher(work)
        tasks = [
            asyncio.create_task(batches.submit(i, weight=w)) for i, w in enumerate([1, 6, 6, 70])
        ]
        for _ in range(8):
            work.gate.release()
        await asyncio.gather(*tasks)
        assert [3] in work.batches
        assert all(len(b) == 1 or sum([1, 6, 6, 70][i] for i in b) <= 10 for b in work.batches)

    asyncio.run(scenario())


def test_one_bad_item_costs_only_itself() -> None:
    async def scenario() -> None:
        work = Work()
        work.gate.release()
        batches = batcher(work)
        done = await asyncio.gather(
            batches.submit(1), batches.submit(-1), batches.submit(2), return_exceptions=True
        )
        assert done[0] == 2
        assert isinstance(done[1], ValueError)
        assert done[2] == 4

    asyncio.run(scenario())


def test_work_that_raises_or_answers_short_fails_its_callers_and_goes_on() -> None:
    async def scenario() -> None:
        answers: list[Any] = [RuntimeError("broken"), [], [7]]

        async def work(items: list[int]) -> list[int]:
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        batches = batcher(work)
        with pytest.raises(RuntimeError, match="broken"):
            await batches.submit(1)
        with pytest.raises(RuntimeError, match="1 items, 0 results"):
            await batches.submit(1)
        assert await batches.submit(1) == 7

    asyncio.run(scenario())


def test_a_full_queue_refuses() -> None:
    async def scenario() -> None:
        work = Work()
        batches = batcher(work, max_waiting=2)
        tasks = [asyncio.create_task(batches.submit(0))]
        await settle()
        tasks += [asyncio.create_task(batches.submit(i)) for i in (1, 2)]
        await settle()
        with pytest.raises(Busy):
            await batches.submit(3)
        for _ in range(3):
            work.gate.release()
        assert await asyncio.gather(*tasks) == [0, 2, 4]

    asyncio.run(scenario())


def test_what_comes_too_late_or_is_given_up_is_not_worked_on() -> None:
    async def scenario() -> None:
        work = Work()
        batches = batcher(work)
        now = asyncio.get_running_loop().time()
        tasks = [asyncio.create_task(batches.submit(0, deadline=now + 60))]
        await settle()
        tasks += [
            asyncio.create_task(batches.submit(i, deadline=d)) for i, d in ((1, now), (2, None))
        ]
        await settle()
        tasks[2].cancel()
        work.gate.release()
        assert await tasks[0] == 0
        with pytest.raises(Unavailable) as late:
            await tasks[1]
        assert late.value.code == "deadline"
        await settle()
        assert work.batches == [[0]]

    asyncio.run(scenario())


def test_light_items_do_not_wait_for_all_heavy_ones_and_heavy_ones_come_through() -> None:
    async def scenario() -> None:
        work = Work()
        batches = batcher(work, max_weight=100, max_waiting=1000)
        tasks = [asyncio.create_task(batches.submit(0))]
        await settle()
        tasks += [asyncio.create_task(batches.submit(i, weight=80)) for i in (1, 2)]
        tasks += [asyncio.create_task(batches.submit(i)) for i in (3, 4)]
        for _ in range(5):
            work.gate.release()
        await asyncio.gather(*tasks)
        assert work.batches == [[0], [1, 3, 4], [2]]

    asyncio.run(scenario())
