"""A training asked for over REST: the same training, told to and through the job's row.

The service claims the job and starts ``python -m training.fit --job ID``; this process writes
heartbeat, progress and the result. The service writes a failure for a process that could not.
"""

from __future__ import annotations

import argparse
import os
import threading
import time
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import Engine

from config import Settings
from db.queries.training_jobs import Job, finish_job, get_job, heartbeat_job
from db.session import open_engine, transaction
from errors import AnomalyError, NotFound, TrainingError
from training.cli.common import consoles
from training.cli.options import fit_options
from training.cli.progress import ProgressDisplay
from training.data.sources import load_data
from training.fitting.parallel_fit import cores
from training.pipeline import Outcome, Request, train

BEAT_S = 5.0
#: the service on the same machine goes first
NICENESS = 10
_EVERY_S = 0.5


def run_job(settings: Settings, job_id: str, parser: argparse.ArgumentParser) -> int:
    """Run one claimed job to its end; 0 when it succeeded.

    Raises
    ------
    NotFound
        There is no such job, or it is not running.
    """
    engine = open_engine(settings)
    try:
        job = _claimed(engine, job_id)
        _, err = consoles()
        os.nice(NICENESS)
        with JobHeartbeat(engine, job) as beats, ProgressDisplay(err, beats.step) as board:
            try:
                outcome = train(_request(settings, job, parser), settings, board)
            except AnomalyError as error:
                beats.finish(error=error.entry())
                return 1
            except Exception as error:
                beats.finish(error=TrainingError(f"{type(error).__name__}: {error}").entry())
                raise
            beats.finish(result=result_of(outcome))
            return 0
    finally:
        engine.dispose()


def result_of(outcome: Outcome) -> dict[str, Any]:
    """An entry a model, as ``POST /train`` answers."""
    trained, published = outcome.trained, outcome.published
    fitted: dict[str, Any] = {}
    for result in trained.results:
        if result.model_set is None or result.report is None:
            continue
        for name in result.model_set.names:
            metrics = dict(result.report.figures.get(name, {}))
            if result.name in trained.measured:
                metrics |= trained.measured[result.name].flat()
            fitted[name] = {
                "model_name": name,
                "status": "success",
                "message": f"version {published.version}: {published.message}",
                "metrics": metrics,
                "model_version": published.version,
            }
    return fitted


def _claimed(engine: Engine, job_id: str) -> Job:
    try:
        wanted = UUID(job_id)
    except ValueError:
        raise NotFound(f"{job_id!r} is not the id of a training job") from None
    with transaction(engine) as connection:
        job = get_job(connection, wanted)
    if job is None or job.state != "running" or job.owner is None:
        raise NotFound(f"no running training job {job_id}")
    return job


def _request(settings: Settings, job: Job, parser: argparse.ArgumentParser) -> Request:
    asked = job.request
    arguments = parser.parse_args([])
    arguments.models = asked.get("model_names")
    options = fit_options(arguments)
    features = asked.get("feature_names")
    path = _path(settings, asked)
    data = load_data(str(path), features=None if path.suffix == ".npz" else features)
    promote = asked.get("promote")
    return Request(
        data=data,
        options=options,
        as_champion=True,
        only=asked.get("group"),
        jobs=max(1, cores() - 1),
        promote="auto" if promote is None else str(bool(promote)).lower(),
        recipe={"data": str(path), "features": features},
    )


def _path(settings: Settings, asked: dict[str, Any]) -> Path:
    if asked.get("data") is not None:
        return Path(asked["data"])
    name = str(asked.get("dataset"))
    if Path(name).name != name:  # the service checks, too; a path never gets this far
        raise TrainingError(f"dataset: {name!r} is not the name of a file", field="dataset")
    return (settings.data_dir / name).absolute()


class JobHeartbeat:
    """Heartbeat and progress of a job, from a thread; the newest step is what is written."""

    def __init__(self, engine: Engine, job: Job) -> None:
        self._engine = engine
        self._job = job
        self._owner = job.owner or ""
        self._progress: dict[str, Any] | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="job heartbeat", daemon=True)

    def __enter__(self) -> JobHeartbeat:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()

    def step(self, part: str, stage: str, done: int, total: int, figures: dict[str, float]) -> None:
        """Take in a step of progress; it is written with the next beat."""
        self._progress = {
            "group": part or None, "stage": stage, "done": done, "total": total,
            "figures": figures,
        }  # fmt: skip

    def finish(
        self, result: dict[str, Any] | None = None, error: dict[str, Any] | None = None
    ) -> None:
        """Write how it ended."""
        with transaction(self._engine) as connection:
            finish_job(connection, self._job.id, self._owner, result=result, error=error)

    def _beat(self) -> None:
        told: dict[str, Any] | None = None
        last = -BEAT_S
        while not self._stop.wait(_EVERY_S):
            news = self._progress is not told
            if not news and time.monotonic() - last < BEAT_S:
                continue
            told, last = self._progress, time.monotonic()
            try:
                with transaction(self._engine) as connection:
                    heartbeat_job(connection, self._job.id, self._owner, told)
            except AnomalyError:
                continue  # a database that is away for a moment must not end a training
