"""Work beside the requests: no failure ends it, and nobody waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from errors import StorageUnavailable
from serving.background import PeriodicWork, end_tasks


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(), 20))


class Failing(PeriodicWork):
    """Fails in another way each time."""

    failure = "it cannot be done"

    def __init__(self) -> None:
        super().__init__(0.0)
        self.calls = 0

    async def once(self) -> None:
        self.calls += 1
        raise [StorageUnavailable("down"), ZeroDivisionError("a defect")][self.calls % 2]


def test_periodic_work_goes_on_after_any_failure_until_it_is_stopped(
    caplog: pytest.LogCaptureFixture,
) -> None:
    work = Failing()

    async def scenario() -> None:
        await work.stop()  # not started yet
        await work.start()
        while work.calls < 4:
            await asyncio.sleep(0)
        await work.stop()
        assert work._task is not None
        assert work._task.cancelled()

    run(scenario)
    defects = [one for one in caplog.records if one.levelname == "ERROR"]
    assert {one.getMessage() for one in defects} == {"it cannot be done"}
    assert len(defects) == work.calls // 2  # a database that is away is none


def test_ending_waits_for_what_a_task_does_last() -> None:
    done: list[str] = []

    async def careful() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            done.append("tidied up")

    async def scenario() -> None:
        task = asyncio.create_task(careful())
        await asyncio.sleep(0)
        await end_tasks([None, task])
        assert done == ["tidied up"]

    run(scenario)
