"""``POST /train``: a queue in the database, one training process at a time.

The request's data go into a file; the job names it. The leading worker starts
``python -m training.fit --job ID``; whoever waits reads the job's row, so any worker can answer.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import numpy as np
from sqlalchemy import Connection

from db.queries.training_jobs import Job, claim_job, enqueue_job, finish_job, get_job, heartbeat_job
from errors import AnomalyError, NotFound, StorageUnavailable
from models.detectors.base import MODEL_NAMES
from serving.bundles.registry_client import child_environment
from serving.database import Database
from serving.requests.training_request import Training

log = logging.getLogger("bentoml.serving.jobs")

ACCEPTED_S = 1.0
BEAT_S = 10.0
LOG_TAIL = 4000
#: Seconds for which a job's data and output stay under VAR_DIR/jobs.
KEPT_S = 30 * 86_400


class TrainingQueue:
    """Queues training jobs, runs them when this worker leads, and waits for them.

    Parameters
    ----------
    database : Database
    leads : callable
        Whether this worker is the one that starts processes.
    var_dir, data_dir : Path
    wait_s : float
        How long ``POST /train`` waits.
    """

    def __init__(
        self,
        database: Database,
        leads: Callable[[], bool],
        var_dir: Path,
        data_dir: Path,
        wait_s: float = 300.0,
    ) -> None:
        self._database = database
        self._leads = leads
        self._folder = var_dir / "jobs"
        self._data_dir = data_dir
        self._wait_s = wait_s
        self._owner = f"{socket.gethostname()}:{os.getpid()}"
        self._task: asyncio.Task[None] | None = None
        self._process: asyncio.subprocess.Process | None = None
        #: set when the service is to stop: whoever waits is answered at once
        self.stopping = asyncio.Event()

    async def start(self) -> None:
        """Look for queued jobs from now on."""
        self._task = asyncio.create_task(self._work(), name="training jobs")

    async def stop(self) -> None:
        """End; a training process that runs is ended too, its job marked failed."""
        self.stopping.set()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def train(self, training: Training, wait: bool) -> tuple[int, dict[str, Any]]:
        """Queue the job; status and body of the answer."""
        request = dict(training.options)
        if training.dataset is not None:
            request["dataset"] = training.dataset
            path = self._data_dir / training.dataset
            if not await asyncio.to_thread(path.is_file):
                raise NotFound(f"no data set {training.dataset!r}", field="dataset")
        else:
            request["data"] = str(await asyncio.to_thread(self._keep, training))
        job_id = await self._database.run(lambda connection: enqueue_job(connection, request))
        job = await self._wait(job_id, self._wait_s if wait else 0.0)
        if job.state == "succeeded":
            return 200, job.result or {}
        if job.state in ("failed", "interrupted"):
            return 200, failed(job, training.options.get("model_names"))
        return 202, shown(job)

    async def show(self, job_id: UUID) -> dict[str, Any]:
        """The job as ``GET /train/{job}`` answers it."""
        job = await self._database.run(lambda connection: get_job(connection, job_id))
        if job is None:
            raise NotFound(f"no training job {job_id}")
        return shown(job)

    def _keep(self, training: Training) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{uuid4()}.npz"
        names = np.array(training.options["feature_names"])
        np.savez(path, values=training.values, names=names)  # type: ignore[arg-type]
        return path.absolute()

    async def _wait(self, job_id: UUID, seconds: float) -> Job:
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        pause = 0.05
        while True:
            job = await self._database.run(lambda connection: get_job(connection, job_id))
            if job is None:
                raise NotFound(f"no training job {job_id}")
            left = until - loop.time()
            if job.finished_at is not None or left <= 0 or self.stopping.is_set():
                return job
            try:
                async with asyncio.timeout(min(pause, left)):
                    await self.stopping.wait()
            except TimeoutError:
                pause = min(pause * 1.5, 1.0)

    async def _work(self) -> None:
        while True:
            try:
                if self._leads() and self._database.available:
                    job = await self._database.run(
                        lambda connection: claim_job(connection, self._owner)
                    )
                    if job is not None:
                        await self._run(job)
                        continue
            except StorageUnavailable:
                pass
            except Exception:
                log.exception("a training job could not be started")
            await asyncio.sleep(ACCEPTED_S)

    async def _run(self, job: Job) -> None:
        """Start the process and see it through; it reports progress and result itself."""
        log.info("training job %s starts", job.id)
        self._folder.mkdir(parents=True, exist_ok=True)
        await asyncio.to_thread(tidy, self._folder)
        output = self._folder / f"{job.id}.log"
        with output.open("wb") as sink:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "training.fit",
                "--job",
                str(job.id),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                env=child_environment(),
            )
        try:
            while process.returncode is None:
                try:
                    async with asyncio.timeout(BEAT_S):
                        await process.wait()
                except TimeoutError:
                    await self._beat(job)
        except asyncio.CancelledError:
            process.terminate()
            await process.wait()
            await self._close(job, "the service was stopped")
            raise
        if process.returncode == -signal.SIGTERM:  # sent to all processes of the service
            await self._close(job, "the training was stopped, with the service or by hand")
            return
        tail = await asyncio.to_thread(_tail, output)
        await self._close(job, f"the process ended with {process.returncode}: {tail}")

    async def _beat(self, job: Job) -> None:
        try:
            await self._database.run(
                lambda connection: heartbeat_job(connection, job.id, self._owner)
            )
        except AnomalyError as error:
            log.warning("training job %s: %s", job.id, error.message)

    async def _close(self, job: Job, reason: str) -> None:
        """Mark the job failed unless its process has already said how it ended; log which."""
        problem = {"code": "training_failed", "message": reason, "field": None}

        def finish(connection: Connection) -> Job | None:
            finish_job(connection, job.id, self._owner, error=problem)
            return get_job(connection, job.id)

        try:
            ended = await self._database.run(finish)
        except AnomalyError as error:
            log.warning("training job %s: %s", job.id, error.message)
            return
        if ended is not None and ended.error is not None:
            log.warning("training job %s %s: %s", job.id, ended.state, ended.error["message"])
        elif ended is not None:
            log.info("training job %s %s", job.id, ended.state)


def tidy(folder: Path) -> None:
    """Remove old jobs' data and output; they are kept for a while, for ``training.promote``."""
    oldest = time.time() - KEPT_S
    for path in folder.iterdir():
        if path.suffix in (".npz", ".log") and path.stat().st_mtime < oldest:
            path.unlink(missing_ok=True)


def _tail(path: Path) -> str:
    return path.read_bytes()[-LOG_TAIL:].decode("utf-8", "replace").strip()[-1000:]


def shown(job: Job) -> dict[str, Any]:
    """A job for people: state, progress, result or error."""
    return {
        "job": str(job.id),
        "state": job.state,
        "ahead": job.ahead,
        "progress": job.progress,
        "result": job.result,
        "error": job.error,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
    }


def failed(job: Job, model_names: list[str] | None) -> dict[str, Any]:
    """The answer of a training that failed, in the contract's shape: an entry a model."""
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
