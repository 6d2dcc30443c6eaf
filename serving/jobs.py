"""``POST /train``: a queue in the database, one training process at a time.

The request's data go into a file; the job names it. The leading worker starts
``python -m training.fit --job ID``; whoever waits reads the job's row, so any worker can answer.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import numpy as np

from db.repository import Job, claim_job, enqueue_job, finish_job, get_job, heartbeat_job
from errors import AnomalyError, InputError, NotFound, StorageUnavailable
from models.base import MODEL_NAMES
from schemas import check_name
from serving.agent import child_environment
from serving.database import Database

log = logging.getLogger("bentoml.serving.jobs")

#: A data set is a file's name: no folder, nothing hidden.
_DATASET = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._ -]{0,254}")
ACCEPTED_S = 1.0
BEAT_S = 10.0
LOG_TAIL = 4000


@dataclass(slots=True)
class Training:
    """A checked request; exactly one of ``values`` and ``dataset`` is there."""

    values: np.ndarray[Any, Any] | None
    dataset: str | None
    options: dict[str, Any]


def parse_training(content: object) -> Training:
    """Check the body of ``POST /train``.

    Raises
    ------
    InputError
        With the field at fault.
    """
    if not isinstance(content, dict):
        raise InputError("the body must be a JSON object", code="not_an_object")
    data, dataset = content.get("data"), content.get("dataset")
    if (data is None) == (dataset is None):
        raise InputError("give either data or dataset", field="data")
    if dataset is not None and not (isinstance(dataset, str) and _DATASET.fullmatch(dataset)):
        raise InputError(
            f"dataset: {dataset!r:.80} is not the name of a file under DATA_DIR", field="dataset"
        )
    values = None if data is None else _matrix(data)
    options: dict[str, Any] = {}
    names = content.get("feature_names")
    if names is not None:
        options["feature_names"] = _names(names, values)
    elif values is not None:
        options["feature_names"] = [f"feature_{i}" for i in range(values.shape[1])]
    if content.get("model_names") is not None:
        options["model_names"] = _models(content["model_names"])
    if content.get("group") is not None:
        options["group"] = check_name(content["group"], "group")
    if content.get("promote") is not None:
        if not isinstance(content["promote"], bool):
            raise InputError("promote: must be true or false", field="promote")
        options["promote"] = content["promote"]
    return Training(values, dataset, options)


def _matrix(data: object) -> np.ndarray[Any, Any]:
    if not isinstance(data, list) or not data or not isinstance(data[0], list) or not data[0]:
        raise InputError("data: must be a list of rows of numbers", field="data")
    width = len(data[0])
    for place, row in enumerate(data):
        if not isinstance(row, list) or len(row) != width:
            raise InputError(f"data[{place}]: must hold {width} numbers", field=f"data[{place}]")
        if not set(map(type, row)) <= {float, int, type(None)}:
            raise InputError(f"data[{place}]: holds what is no number", field=f"data[{place}]")
    try:
        return np.array(data, dtype=np.float64)  # null becomes NaN: not measured
    except (ValueError, OverflowError):
        raise InputError("data: holds a number too large", field="data") from None


def _names(names: object, values: np.ndarray[Any, Any] | None) -> list[str]:
    if not isinstance(names, list) or not names:
        raise InputError("feature_names: must be a list of names", field="feature_names")
    checked = [check_name(name, "feature_names") for name in names]
    if len(set(checked)) != len(checked):
        raise InputError("feature_names: a name occurs twice", field="feature_names")
    if values is not None and len(checked) != values.shape[1]:
        raise InputError(
            f"feature_names: {len(checked)} names for {values.shape[1]} columns",
            field="feature_names",
        )
    return checked


def _models(names: object) -> list[str]:
    if not isinstance(names, list) or not names or any(n not in MODEL_NAMES for n in names):
        raise InputError(
            f"model_names: must be a list out of {', '.join(MODEL_NAMES)}", field="model_names"
        )
    return [name for name in MODEL_NAMES if name in names]


class Jobs:
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
        """Mark the job failed unless its process has already said how it ended."""
        problem = {"code": "training_failed", "message": reason, "field": None}
        try:
            await self._database.run(
                lambda connection: finish_job(connection, job.id, self._owner, error=problem)
            )
        except AnomalyError as error:
            log.warning("training job %s: %s", job.id, error.message)


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
