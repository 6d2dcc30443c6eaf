"""Score requests in batches with concurrent requests, through the runners.

Requests that arrive while a batch is scored form the next batch, so that concurrent requests share
the vectorised work. Large batches are scored in a thread, to keep the event loop free. A few
readings are scored in the event loop, because starting a thread would take longer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from errors import AnomalyError, InputError, Unavailable, UnknownGroup
from models.bundles.bundle import Bundle
from models.detectors.base import Array
from models.scoring.ensemble import StreamOutcome, run
from models.scoring.model_set import ModelSet
from models.scoring.policy import ScoringPolicy
from models.scoring.stream_work import Reading, StreamWork
from serving import metrics
from serving.batching import Batcher
from serving.detection.runners import Runners

log = logging.getLogger("bentoml.serving.scoring")

#: Maximum readings in the queue; beyond it new ones are rejected.
MAX_WAITING = 50_000
WARM_TRIES = 60  # a second apart: runners may start later than this process


@dataclass(slots=True)
class Job:
    """Streams of one request that are scored together by one bundle."""

    bundle: Bundle
    works: list[StreamWork]
    group: str | None = None  # overrides the rules

    @property
    def weight(self) -> int:
        """Count the readings."""
        return sum(len(work.readings) for work in self.works)


class ScoringEngine:
    """Score streams; only this class calls :func:`models.scoring.ensemble.run` in the service.

    Parameters
    ----------
    runners : Runners
    policy : ScoringPolicy
    max_batch : int
        Readings in one batch. A larger request is split between streams, so that small requests
        need not wait for all of it.
    threads : int
        Batches at the same time: 1 in one process, more if the runners are elsewhere.
    inline : int
        Batches up to this many readings are scored in the event loop's thread, because switching
        threads costs more than scoring a few readings; 0: always in a thread.
    """

    def __init__(
        self,
        runners: Runners,
        policy: ScoringPolicy,
        *,
        max_batch: int = 1024,
        threads: int = 1,
        inline: int = 0,
    ) -> None:
        self._runners = runners
        self._policy = policy
        self._max_batch = max_batch
        self._inline = inline
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="scoring")
        observe = metrics.BATCH.labels("scoring").observe
        self._batcher: Batcher[Job, list[StreamOutcome]] = Batcher(
            self._work,
            max_weight=max_batch,
            max_waiting=MAX_WAITING,
            parallel=threads,
            on_batch=observe,
        )

    async def score(
        self, bundle: Bundle, works: Sequence[StreamWork], deadline: float | None = None
    ) -> list[StreamOutcome]:
        """Score works: one outcome per work, in their order.

        Parameters
        ----------
        bundle : Bundle
        works : sequence of StreamWork
        deadline : float, optional
            On the event loop's clock: work that has not started by then is dropped.

        Raises
        ------
        Busy, Unavailable
            See :meth:`serving.batching.Batcher.submit`.
        """
        jobs = self._cut(bundle, works)
        if len(jobs) == 1:
            return await self._batcher.submit(jobs[0], weight=jobs[0].weight, deadline=deadline)
        parts = await asyncio.gather(
            *(self._batcher.submit(job, weight=job.weight, deadline=deadline) for job in jobs)
        )
        return [outcome for part in parts for outcome in part]

    def _cut(self, bundle: Bundle, works: Sequence[StreamWork]) -> list[Job]:
        jobs = [Job(bundle, [])]
        weight = 0
        for work in works:
            if weight and weight + len(work.readings) > self._max_batch:
                jobs.append(Job(bundle, []))
                weight = 0
            jobs[-1].works.append(work)
            weight += len(work.readings)
        return jobs

    async def _work(self, jobs: list[Job]) -> Sequence[list[StreamOutcome] | BaseException]:
        if sum(job.weight for job in jobs) <= self._inline:
            return self.score_jobs(jobs)
        return await self._in_thread(jobs)

    async def _in_thread(self, jobs: list[Job]) -> Sequence[list[StreamOutcome] | BaseException]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self.score_jobs, jobs)

    def score_jobs(self, jobs: list[Job]) -> list[list[StreamOutcome] | BaseException]:
        """Score several requests at once; one that fails does not fail the others."""
        answers: list[list[StreamOutcome] | BaseException] = [[] for _ in jobs]
        by_bundle: dict[tuple[int, str | None], list[int]] = {}
        for index, job in enumerate(jobs):
            by_bundle.setdefault((id(job.bundle), job.group), []).append(index)
        for indices in by_bundle.values():
            bundle, group = jobs[indices[0]].bundle, jobs[indices[0]].group
            works = [work for index in indices for work in jobs[index].works]
            try:
                outcomes = iter(self._score(bundle, works, group))
            except Exception as error:
                if len(indices) > 1:
                    for index in indices:
                        answers[index] = self.score_jobs([jobs[index]])[0]
                    continue
                if not isinstance(error, AnomalyError):
                    log.exception("scoring failed")
                answers[indices[0]] = error
                continue
            for index in indices:
                answers[index] = [next(outcomes) for _ in jobs[index].works]
        return answers

    def _score(
        self, bundle: Bundle, works: list[StreamWork], only: str | None
    ) -> list[StreamOutcome]:
        outcomes: list[StreamOutcome | None] = [None] * len(works)
        by_group: dict[str, list[int]] = {}
        for index, work in enumerate(works):
            try:
                group = only or bundle.group_for(work.asset_id, work.sensor_id, work.feature)
            except UnknownGroup as error:
                outcomes[index] = refused(work, error)
            else:
                by_group.setdefault(group, []).append(index)
        for group, indices in by_group.items():
            scored = self._drive(bundle, group, [works[index] for index in indices])
            for index, outcome in zip(indices, scored, strict=True):
                outcomes[index] = outcome
        return [outcome for outcome in outcomes if outcome is not None]

    def _drive(self, bundle: Bundle, group: str, works: list[StreamWork]) -> list[StreamOutcome]:
        steps = run(bundle.model_set(group), works, self._policy)
        answers: list[Array] | None = None
        while True:
            try:
                calls = next(steps) if answers is None else steps.send(answers)
            except StopIteration as stop:
                done: list[StreamOutcome] = stop.value
                return done
            answers = self._runners.call(bundle, group, calls)

    async def warm(self, bundle: Bundle) -> None:
        """Score every group once through the normal path, so that the first request is not slow.

        Raises
        ------
        Unavailable
            The runners do not answer within a minute.
        """
        for group in bundle.groups:
            job = Job(bundle, [warm_up(bundle.model_set(group))], group)
            for attempt in range(WARM_TRIES):
                (done,) = await self._in_thread([job])
                if not isinstance(done, BaseException):
                    break
                if not isinstance(done, Unavailable) or attempt == WARM_TRIES - 1:
                    raise done
                await asyncio.sleep(1)  # runners that start together with this process need time

    def close(self) -> None:
        """Shut down the threads."""
        self._pool.shutdown(wait=False)


def warm_up(model_set: ModelSet) -> StreamWork:
    """Make work with full windows of readings in the middle of normal operation."""
    features = dict(zip(model_set.feature_names, model_set.preprocessing.center, strict=True))
    readings = [
        Reading(datetime(2000, 1, 1, tzinfo=UTC) + timedelta(seconds=second), features)
        for second in range(model_set.window + 1)
    ]
    return StreamWork("warm", None, None, "medium", None, (), readings)


def refused(work: StreamWork, error: InputError) -> StreamOutcome:
    """Return the outcome of a stream that cannot be scored: its error for every reading."""
    results: list[dict[str, Any]] = [
        {"error": error.entry(), "metadata": {"window": "left_out"}} for _ in work.readings
    ]
    return StreamOutcome(results, lambda: work.state or {}, window_length=0)
