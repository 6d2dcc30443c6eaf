"""Run a training that was requested over REST, and report through the job's row.

The service claims the job and starts ``python -m training.fit --job ID``. This process writes the
heartbeat, the progress and the result. If it dies, the service records the failure.

If a heartbeat finds that the row has another owner (this process was taken for dead, and another
may run), the process ends. Ownership is checked once more just before the alias moves; after that
the training counts, whatever happens to the row.
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
from training.pipeline import Outcome, train
from training.publishing.publish import JobLostError
from training.request import Request

BEAT_S = 5.0  # between signs of life in the job's row
#: Lower priority than the service on the same machine.
NICENESS = 10
_EVERY_S = 0.5  # between looks for progress to report
#: How long to retry writing the end of a job (seconds).
FINISH_S = 900.0

T = TypeVar("T")


def run_job(settings: Settings, job_id: str, parser: argparse.ArgumentParser) -> int:
    """Run one claimed job to its end; return 0 on success.

    Parameters
    ----------
    settings
        Database, registry and folders.
    job_id
        A UUID, from the command line that the service built.
    parser
        Parser of ``training.fit``, for the defaults of a fit.

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
        with JobHeartbeat(engine, job) as beats, ProgressDisplay(err, beats.step) as display:
            try:
                request = _request(settings, engine, job, parser)
                request.confirm = beats.confirm
                outcome = train(request, settings, display)
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
    """Return one entry per model, for the answer of ``POST /train``."""
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
    """Return the file to train on: a named data set, or the job's own data, written to a file."""
    asked = job.request
    if asked.get("data") is not None:  # a job of release 0.1, which stored the data in a file
        return Path(asked["data"])
    if asked.get("dataset") is None:
        return _unpacked(settings, engine, job)
    name = str(asked["dataset"])
    if Path(name).name != name:  # also checked by the service, so this should never happen
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
    """Write the heartbeat and newest progress step of a job, from a thread.

    Attributes
    ----------
    lost : bool
        The row has another owner; the main thread was interrupted.
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
        """Store a step of progress, to be written with the next heartbeat.

        Parameters
        ----------
        part, stage, done, total, figures
            Those of :meth:`training.cli.progress.ProgressDisplay.step`.
        """
        self._progress = {
            "group": part or None, "stage": stage, "done": done, "total": total,
            "figures": figures,
        }  # fmt: skip

    def confirm(self) -> None:
        """Check, before an alias moves, that the job is still ours.

        Raises
        ------
        JobLostError
            The row has another owner.
        StorageUnavailable
            The database stayed away for half the time after which a job is taken for dead.
        """
        self._confirmed = True  # from now on, losing the job must not interrupt the publication
        if not until_stored(self._write, STALE_S / 2):
            raise JobLostError("the job is no longer ours; nothing was promoted")

    def finish(
        self, result: dict[str, Any] | None = None, error: dict[str, Any] | None = None
    ) -> None:
        """Write the result or the error, as soon as the database accepts it.

        Raises
        ------
        StorageUnavailable
            The database did not accept it within FINISH_S.
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
                continue  # a short outage of the database must not end a training
            if not ours and not self._confirmed and not self._stop.is_set():
                self.lost = True
                os.kill(os.getpid(), signal.SIGINT)  # also interrupts a wait for other processes
                return


def until_stored(write: Callable[[], T], seconds: float) -> T:
    """Return the result of ``write``; retry for ``seconds`` while the database is unavailable."""
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
