"""Run ``POST /train``: a queue in the database, one training process at a time.

The job's row contains the request's data, so any replica can run it; a job that names a data set
waits for a replica whose DATA_DIR has it. The leading worker starts
``python -m training.fit --job ID``. Any worker can answer a waiting request from the job's row.
"""

from __future__ import annotations

import asyncio
import io
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
from sqlalchemy import Connection

from config import Settings
from db.queries import training_jobs
from db.queries.training_jobs import Job
from errors import AnomalyError, Busy, NotFound
from models.detectors.base import MODEL_NAMES
from runtime import child_environment
from serving.background import PeriodicWork
from serving.database import Database
from serving.requests.training_request import Training

log = logging.getLogger("bentoml.serving.jobs")

ACCEPTED_S = 1.0  # between looks for waiting jobs
BEAT_S = 10.0  # between signs of life in a running job's row
#: Seconds that a training process may clean up before it is killed.
TERM_S = 10.0
LOG_TAIL = 4000  # bytes of the log that may explain a failure


class TrainingQueue(PeriodicWork):
    """Queue training jobs, run them if this worker leads, and wait for them.

    Parameters
    ----------
    database : Database
    leads : callable
        Whether this worker starts the processes.
    settings : Settings
    """

    failure = "a training job could not be started"

    def __init__(self, database: Database, leads: Callable[[], bool], settings: Settings) -> None:
        super().__init__(ACCEPTED_S)
        self._database = database
        self._leads = leads
        self._settings = settings
        self._folder = jobs_folder(settings)
        self._owner = f"{socket.gethostname()}:{os.getpid()}"
        #: set when the service stops: waiting requests are then answered at once
        self.stopping = asyncio.Event()

    async def stop(self) -> None:
        """Stop; a running training process is ended and its job marked failed."""
        self.stopping.set()
        await super().stop()

    async def train(self, training: Training, wait: bool) -> tuple[int, dict[str, Any]]:
        """Queue the job; return status and body of the response."""
        request = dict(training.options)
        if training.dataset is not None:
            request["dataset"] = training.dataset
            path = self._settings.data_dir / training.dataset
            if not await asyncio.to_thread(path.is_file):
                raise NotFound(f"no data set {training.dataset!r}", field="dataset")
        data = await asyncio.to_thread(packed, training)
        job_id = await self._database.run(self._enqueue, request, data)
        job = await self._wait(job_id, self._settings.train_wait_s if wait else 0.0)
        if job.state == "succeeded":
            return 200, job.result or {}
        # a request that waits while the service stops gets the job's id, to ask for it later
        if job.state in ("failed", "interrupted") and not self.stopping.is_set():
            return 200, failed(job, training.options.get("model_names"))
        return 202, shown(job)

    async def show(self, job_id: UUID) -> dict[str, Any]:
        """Describe the job as in the response of ``GET /train/{job}``."""
        return shown(await self._get(job_id))

    async def _get(self, job_id: UUID) -> Job:
        job = await self._database.run(training_jobs.get_job, job_id)
        if job is None:
            raise NotFound(f"no training job {job_id}")
        return job

    def _enqueue(self, connection: Connection, request: dict[str, Any], data: bytes | None) -> UUID:
        waiting = training_jobs.queued_jobs(connection)
        if waiting >= self._settings.train_queue_max:
            raise Busy(f"{waiting} training jobs are waiting (TRAIN_QUEUE_MAX)", retry_after=60)
        return training_jobs.enqueue_job(connection, request, data)

    async def _wait(self, job_id: UUID, seconds: float) -> Job:
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        pause = 0.05
        while True:
            job = await self._get(job_id)
            left = until - loop.time()
            if job.finished_at is not None or left <= 0 or self.stopping.is_set():
                return job
            with suppress(TimeoutError):
                async with asyncio.timeout(min(pause, left)):
                    await self.stopping.wait()
            pause = min(pause * 1.5, 1.0)

    async def once(self) -> None:
        """Run the queued jobs one after the other, if this worker leads."""
        while self._leads() and self._database.available:
            found = await asyncio.to_thread(data_sets, self._settings.data_dir)
            job = await self._database.run(
                training_jobs.claim_job, owner=self._owner, datasets=found
            )
            if job is None:
                return
            await self._run(job)

    async def _run(self, job: Job) -> None:
        """Start the process and watch it; it reports progress and result itself."""
        log.info("training job %s starts", job.id)
        output = self._folder / f"{job.id}.log"
        try:
            process = await self._start(job, output)
        except OSError as error:  # such as a full or read-only disk
            unstarted = f"the training could not be started: {error}"
            return await retry_until_stored(lambda: self._close(job, unstarted))
        try:
            reason = await self._watch(job, process)
        except asyncio.CancelledError:
            await end(process)
            with suppress(AnomalyError):  # otherwise the next leader finds the missing heartbeat
                await self._close(job, "the service was stopped")
            raise
        if reason is None and process.returncode == -signal.SIGTERM:
            # somebody signalled all processes of the service
            reason = "the training was stopped, with the service or manually"
        if reason is None:
            tail = await asyncio.to_thread(_tail, output)
            reason = f"the process exited with code {process.returncode}: {tail}"
        await retry_until_stored(lambda: self._close(job, reason))

    async def _start(self, job: Job, output: Path) -> asyncio.subprocess.Process:
        self._folder.mkdir(parents=True, exist_ok=True)
        with output.open("wb") as sink:
            return await asyncio.create_subprocess_exec(
                sys.executable, "-m", "training.fit", "--job", str(job.id),
                stdin=asyncio.subprocess.DEVNULL, stdout=sink, stderr=sink,
                env=child_environment(),
            )  # fmt: skip

    async def _watch(self, job: Job, process: asyncio.subprocess.Process) -> str | None:
        """Wait for the process; return why it was ended here, or None if it ended by itself."""
        longest_s = self._settings.train_max_s
        deadline = time.monotonic() + longest_s
        while process.returncode is None:
            left = deadline - time.monotonic()
            if left <= 0:
                await end(process)
                return f"the training took longer than {longest_s:g} s (TRAIN_MAX_S)"
            try:
                async with asyncio.timeout(min(BEAT_S, left)):
                    await process.wait()
            except TimeoutError:
                if not await self._beat(job):
                    await end(process)
                    return "another worker has taken over the job"
        return None

    async def _beat(self, job: Job) -> bool:
        """Return whether the job still belongs to this worker, as far as is known."""
        try:
            return await self._database.run(training_jobs.heartbeat_job, job.id, self._owner)
        except AnomalyError as error:
            log.warning("training job %s: %s", job.id, error.message)
            return True

    async def _close(self, job: Job, reason: str) -> None:
        """Mark the job failed unless its process has reported its end; log the outcome."""
        problem = {"code": "training_failed", "message": reason, "field": None}

        def finish(connection: Connection) -> Job | None:
            training_jobs.finish_job(connection, job.id, self._owner, error=problem)
            return training_jobs.get_job(connection, job.id)

        ended = await self._database.run(finish)
        if ended is not None and ended.error is not None:
            log.warning("training job %s %s: %s", job.id, ended.state, ended.error["message"])
        elif ended is not None:
            log.info("training job %s %s", job.id, ended.state)


async def end(process: asyncio.subprocess.Process) -> None:
    """Stop a process, by SIGKILL if it does not react; its own children end with it."""
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(TERM_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


async def retry_until_stored(write: Callable[[], Awaitable[None]]) -> None:
    """Write the end of a job, with retries for as long as the database is unavailable."""
    pause, logged = 0.2, ""
    while True:
        try:
            return await write()
        except AnomalyError as error:
            if error.message != logged:
                log.warning("the end of a training job cannot be stored yet: %s", error.message)
            logged = error.message
        await asyncio.sleep(pause)
        pause = min(2 * pause, 10.0)


def packed(training: Training) -> bytes | None:
    """Pack the readings of a request as ``.npz``; None if it names a data set."""
    if training.values is None:
        return None
    names = np.array(training.options["feature_names"])
    content = io.BytesIO()
    np.savez(content, values=training.values, names=names)
    return content.getvalue()


def jobs_folder(settings: Settings) -> Path:
    """Return the folder of the jobs' files."""
    return settings.var_dir / "jobs"


def data_sets(folder: Path) -> list[str]:
    """List the files that a request may name here."""
    try:
        return [path.name for path in folder.iterdir() if path.is_file()]
    except OSError:
        return []


def tidy(folder: Path, kept_days: int) -> None:
    """Delete old jobs' data and output, which are kept for a while for ``training.promote``."""
    oldest = time.time() - kept_days * 86_400
    for path in folder.iterdir() if kept_days else ():
        if path.suffix in (".npz", ".log") and path.stat().st_mtime < oldest:
            path.unlink(missing_ok=True)


def _tail(path: Path) -> str:
    return path.read_bytes()[-LOG_TAIL:].decode("utf-8", "replace").strip()[-1000:]


def shown(job: Job) -> dict[str, Any]:
    """Describe a job for people: state, progress, result or error."""
    names = (
        "state", "ahead", "progress", "result", "error", "created_at", "started_at", "finished_at",
    )  # fmt: skip
    return {"job": str(job.id), **{name: getattr(job, name) for name in names}}


def failed(job: Job, model_names: list[str] | None) -> dict[str, Any]:
    """Return the response to a failed training as the contract defines it: one entry per model."""
    message = (job.error or {}).get("message", job.state)
    return {
        name: {
            "model_name": name,
            "status": "error",
            "message": message,
            "metrics": {},
            "model_version": None,
        }
        for name in model_names or MODEL_NAMES
    }
