"""Run a training that was asked for over REST, and report through the job's row.

The service claims the job and starts ``python -m training.fit --job ID``; this process writes
heartbeat, progress and the result. The service writes a failure for a process that could not.

A heartbeat that finds the job no longer ours (it was taken for dead, another may run) ends the
process. Before the alias moves the row must say once more that the job is ours; from then on the
training counts, whatever the row has come to meanwhile.
"""

from __future__ import annotations

import argparse
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Engine

from config import Settings
from db.queries.training_jobs import STALE_S, Job, finish_job, get_job, heartbeat_job, job_data
from db.session import open_engine, transaction
from errors import AnomalyError, NotFound, StorageUnavailable, TrainingError
from training.cli.common import consoles
from training.cli.fit_arguments import fit_options
from training.cli.progress import ProgressDisplay
from training.data.quality import assess
from training.data.sources import load_data
from training.fitting.parallel_fit import cores
from training.pipeline import Outcome, Request, train
from training.publishing.publish import JobLostError

BEAT_S = 5.0
#: the service on the same machine goes first
NICENESS = 10
_EVERY_S = 0.5
#: For so long the end of a job is tried to be written.
FINISH_S = 900.0

T = TypeVar("T")


def run_job(settings: Settings, job_id: str, parser: argparse.ArgumentParser) -> int:
    """Run one claimed job to its end; 0 when it succeeded.

    Parameters
    ----------
    job_id
        A UUID, as the service gave it on the command line.
    parser
        That of ``training.fit``: gives the defaults of a fit.

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
                request = _request(settings, engine, job, parser)
                request.confirm = beats.confirm
                outcome = train(request, settings, board)
            except JobLostError as error:
                err.print(f"error: {error.message}")
                return 1
            except KeyboardInterrupt:
                if not beats.lost:
                    raise
                err.print("error: the job is no longer ours; nothing was promoted")
                return 1
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
    """Return one entry per model, as ``POST /train`` answers."""
    trained, published = outcome.trained, outcome.published
    fitted: dict[str, Any] = {}
    for result in trained.results:
        if result.model_set is None or result.report is None:
            continue
        blind = ""
        if result.power is not None and result.power.not_watched:
            blind = f"; not watched: {', '.join(result.power.not_watched)[:300]}"
        for name in result.model_set.names:
            metrics = dict(result.report.figures.get(name, {}))
            if result.name in trained.measured:
                metrics |= trained.measured[result.name].flat()
            if result.power is not None:
                metrics |= result.power.flat()
            fitted[name] = {
                "model_name": name,
                "status": "success",
                "message": f"version {published.version}: {published.message}{blind}",
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


def _request(
    settings: Settings, engine: Engine, job: Job, parser: argparse.ArgumentParser
) -> Request:
    asked = job.request
    arguments = parser.parse_args([])
    arguments.models = asked.get("model_names")
    options = fit_options(arguments)
    features = asked.get("feature_names")
    path = _path(settings, engine, job)
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
        quality=assess(data).to_dict(),
    )


def _path(settings: Settings, engine: Engine, job: Job) -> Path:
    """Return the file to train on: a data set's, or the one that the job's data are written to."""
    asked = job.request
    if asked.get("data") is not None:  # of release 0.1, which kept them in a file
        return Path(asked["data"])
    if asked.get("dataset") is None:
        return _unpacked(settings, engine, job)
    name = str(asked["dataset"])
    if Path(name).name != name:  # the service checks, too; a path never gets this far
        raise TrainingError(f"dataset: {name!r} is not the name of a file", field="dataset")
    return (settings.data_dir / name).absolute()


def _unpacked(settings: Settings, engine: Engine, job: Job) -> Path:
    with transaction(engine) as connection:
        content = job_data(connection, job.id)
    if content is None:
        raise TrainingError("the data of this job are no longer there")
    path = (settings.var_dir / "jobs" / f"{job.id}.npz").absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)  # kept for a while, for training.promote
    return path


class JobHeartbeat:
    """Write heartbeat and progress of a job, from a thread; the newest step is what is written.

    Attributes
    ----------
    lost : bool
        The row belongs to another owner; the main thread was interrupted.
    """

    def __init__(self, engine: Engine, job: Job) -> None:
        self._engine = engine
        self._job = job
        self._owner = job.owner or ""
        self._progress: dict[str, Any] | None = None
        self._stop = threading.Event()
        self._confirmed = False
        self._thread = threading.Thread(target=self._beat, name="job heartbeat", daemon=True)
        self.lost = False

    def __enter__(self) -> JobHeartbeat:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()

    def step(self, part: str, stage: str, done: int, total: int, figures: dict[str, float]) -> None:
        """Store a step of progress; it is written with the next beat.

        Parameters
        ----------
        part, stage, done, total, figures
            As of :meth:`training.cli.progress.ProgressDisplay.step`.
        """
        self._progress = {
            "group": part or None, "stage": stage, "done": done, "total": total,
            "figures": figures,
        }  # fmt: skip

    def confirm(self) -> None:
        """Return if the job is still ours: from then on what was trained may go into force.

        Raises
        ------
        JobLostError
            It is not.
        StorageUnavailable
            The database could not say so for as long as nobody else takes the job for dead.
        """
        self._confirmed = True  # a beat that fails from now on must not end us half-way
        if not until_stored(self._write, STALE_S / 2):
            raise JobLostError("the job is no longer ours; nothing was promoted")

    def finish(
        self, result: dict[str, Any] | None = None, error: dict[str, Any] | None = None
    ) -> None:
        """Write how it ended, as soon as the database accepts it.

        Raises
        ------
        StorageUnavailable
            It did not, for a long time.
        """

        def write() -> bool:
            with transaction(self._engine) as connection:
                return finish_job(connection, self._job.id, self._owner, result=result, error=error)

        until_stored(write, FINISH_S)

    def _write(self) -> bool:
        with transaction(self._engine) as connection:
            return heartbeat_job(connection, self._job.id, self._owner, self._progress)

    def _beat(self) -> None:
        reported: dict[str, Any] | None = None
        last = -BEAT_S
        while not self._stop.wait(_EVERY_S):
            news = self._progress is not reported
            if not news and time.monotonic() - last < BEAT_S:
                continue
            reported, last = self._progress, time.monotonic()
            try:
                ours = self._write()
            except AnomalyError:
                continue  # a database that is away for a moment must not end a training
            if not ours and not self._confirmed and not self._stop.is_set():
                self.lost = True
                os.kill(os.getpid(), signal.SIGINT)  # also out of a wait for other processes
                return


def until_stored(write: Callable[[], T], seconds: float) -> T:
    """Return the result of ``write``, tried again for so many seconds without a database."""
    deadline = time.monotonic() + seconds
    pause = 0.2
    while True:
        try:
            return write()
        except StorageUnavailable as error:
            if not error.retriable or time.monotonic() + pause > deadline:
                raise
        time.sleep(pause)
        pause = min(2 * pause, 10.0)
