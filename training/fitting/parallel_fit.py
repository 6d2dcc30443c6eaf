"""Fit many model sets in parallel, and score the readings that each held out.

A task is a group of a bundle or an asset of a back-test. It fits a model set on the first part of
its streams and replays the rest through the production path. For a bundle, faults are also injected
into the held-out part, and a second model set is fitted on all readings. The second one serves; the
figures are those of the first, its hold-out *twin*. A single task runs in this process, several run
in a process pool.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from datasets import Stream, StreamKey
from datasets.types import named
from errors import AnomalyError, TrainingError
from models.detectors.base import Progress
from models.fitting.model_set_fit import FitReport, fit_model_set
from models.fitting.options import FitOptions
from models.scoring.maintenance.suppression import Suppression
from models.scoring.model_set import ModelSet
from models.scoring.policy import ScoringPolicy
from runtime import one_blas_thread
from training.cli.common import listed
from training.cli.progress import ProgressDisplay, pump
from training.data.preparation import MIN_ROWS, Prepared, without_labelled
from training.data.ranges import range_of
from training.evaluation.measures import Scored
from training.fitting.power import Power, measure_power, score_with_points
from training.fitting.serving_check import lost_features
from training.fitting.stream_scores import HeldOut, InjectionPoint

#: Columns of the statistics of features.
FEATURE_STATISTICS = ("group", "feature", "n", "mean", "sd", "min", "p05", "median", "p95", "max")

_MAX_NAMED = 5  # groups named in a note, at most

_queue: Any = None  # in a worker process: receives its progress


@dataclass(slots=True)
class Task:
    """One model set to fit, and how to evaluate it."""

    name: str
    prepared: Prepared
    options: FitOptions
    policy: ScoringPolicy
    criticality: str = "medium"
    timed: bool = True
    power: bool = False  # inject faults into the held-out readings
    refit: bool = False  # afterwards, fit again on all readings
    streams_per_asset: float = 1.0  # over all groups: they share the asset's incident budget
    suppression: Suppression = field(
        default_factory=Suppression
    )  # when to suppress alarms of held-out readings
    single: Mapping[StreamKey, str] = field(default_factory=dict)  # streams of a single feature

    @property
    def fitted(self) -> list[Stream]:
        """Readings that the serving model set is fitted on."""
        again = self.refit and self.prepared.held_out
        return self.normal(self.prepared.streams if again else self.prepared.training)[0]

    def statistics(self) -> list[list[Any]]:
        """Return FEATURE_STATISTICS of the fitted readings, one row per feature."""
        values = np.concatenate([stream.values for stream in self.fitted])
        rows = []
        for j, feature in enumerate(self.prepared.feature_names):
            measured = values[~np.isnan(values[:, j]), j]
            if not len(measured):
                continue
            quantiles = np.quantile(measured, (0, 0.05, 0.5, 0.95, 1))
            figures = [measured.mean(), measured.std(), *quantiles]
            rows.append([self.name, feature, len(measured), *(f"{v:.8g}" for v in figures)])
        return rows

    def normal(self, streams: Sequence[Stream]) -> tuple[list[Stream], list[str]]:
        """Return the readings to fit on, and a note on those labelled faulty.

        Raises
        ------
        TrainingError
            Too few readings are left.
        """
        if self.options.keep_labelled:
            return list(streams), []
        kept, notes = without_labelled(streams)
        if notes and sum(len(s.timestamps) for s in kept) < MIN_ROWS:
            raise TrainingError(f"{self.name}: {notes[0]}: at least {MIN_ROWS} others are needed")
        return kept, notes


@dataclass(slots=True)
class Result:
    """Outcome of a task; ``error`` says why it failed.

    If ``model_set`` was fitted on all readings, ``twin`` was fitted without the newest, and
    ``scored`` and ``power`` are the twin's, except for what ``power`` says that was ``lost``.
    """

    name: str
    model_set: ModelSet | None = None
    report: FitReport | None = None
    twin: ModelSet | None = None
    power: Power | None = None
    scored: list[Scored] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    error: AnomalyError | None = None


def run_tasks(
    tasks: Sequence[Task], display: ProgressDisplay, jobs: int | None = None
) -> list[Result]:
    """Run the tasks; return one result per task, with its error if it failed.

    Parameters
    ----------
    tasks : sequence of Task
    display : ProgressDisplay
        Shows progress.
    jobs : int, optional
        Parallel fits; as many as cores if None. Tasks run in processes. With fewer tasks than
        ``jobs``, the folds of each task are fitted in threads.
    """
    side_by_side = jobs or cores()
    workers = min(side_by_side, len(tasks))
    threads = max(1, side_by_side // max(1, workers))
    if workers <= 1:
        one_thread()
        return [
            perform(task, display.part(task.name if len(tasks) > 1 else ""), threads)
            for task in tasks
        ]
    return _in_processes(tasks, display, workers, threads)


def _in_processes(
    tasks: Sequence[Task], display: ProgressDisplay, workers: int, threads: int
) -> list[Result]:
    # spawned, not forked: PyTorch and OpenMP do not survive a fork
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    carrier = pump(queue, display)
    try:
        with ProcessPoolExecutor(workers, context, _start_worker, (queue,)) as pool:
            try:
                fits = [pool.submit(_in_worker, task, threads) for task in tasks]
                for fit in as_completed(fits):
                    fit.result()  # an unexpected error ends the training at once
                return [fit.result() for fit in fits]
            finally:  # after an error or interrupt, do not wait for the other fits
                pool.shutdown(wait=False, cancel_futures=True)
    except BrokenProcessPool:
        raise TrainingError(
            "a training process was killed, perhaps because memory ran out: try --jobs 1"
        ) from None
    finally:
        queue.put(None)
        carrier.join()
        queue.close()
        queue.join_thread()


def notes_of(results: Sequence[Result]) -> list[str]:
    """Return each note once, prefixed with its groups or assets unless all have it."""
    about: dict[str, dict[str, None]] = {}
    for result in results:
        for note in result.notes:
            about.setdefault(note, {})[result.name] = None
    return [
        note
        if len(names) == len(results) or note.startswith(tuple(_group_prefixes(names)))
        else f"{listed(list(names), _MAX_NAMED)}: {note}"
        for note, names in about.items()
    ]


def _group_prefixes(names: Iterable[str]) -> Iterator[str]:
    for name in names:
        yield f"{name}: "
        yield f"group {name!r}"


def cores() -> int:
    """Return the number of cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def perform(task: Task, progress: Progress | None, threads: int = 1) -> Result:
    """Fit and score one task in this process.

    Parameters
    ----------
    task
        What to fit.
    progress
        Called with stage, done, total and figures.
    threads
        Parallel fits of the task's folds.
    """
    prepared = task.prepared
    result = Result(task.name, notes=list(prepared.notes))
    try:
        result.model_set, result.report = _fit(task, prepared.training, progress, threads)
    except AnomalyError as error:
        result.error = error
        return result
    if prepared.held_out:
        held, points = _judge(task, result, result.model_set, progress)
        if task.refit:
            _fit_again(task, result, progress, threads)
        if result.twin is not None and result.power is not None:
            result.power.lost = lost_features(
                held, result.scored, points, result.power, result.model_set
            )
    result.notes += result.report.notes
    for model_set in (result.model_set, result.twin):
        if model_set is not None and result.power is not None:
            model_set.power = result.power.to_dict()
    return result


def _fit(
    task: Task,
    streams: Sequence[Stream],
    progress: Progress | None,
    threads: int,
) -> tuple[ModelSet, FitReport]:
    """Fit a model set on the readings of ``streams`` that are not labelled faulty."""
    normal, notes = task.normal(streams)
    names = [named((one.asset_id, one.sensor_id)) for one in normal]
    model_set, report = fit_model_set(
        [stream.values for stream in normal],
        [stream.timestamps for stream in normal] if task.timed else None,
        task.prepared.feature_names,
        task.options,
        progress,
        threads,
        task.streams_per_asset,
        names,
        {n: one.healthy for n, one in zip(names, normal, strict=True) if one.healthy is not None},
    )
    model_set.group = task.name
    model_set.trained_on = range_of(streams, task.timed)
    report.notes = [*notes, *report.notes]
    return model_set, report


def _judge(
    task: Task, result: Result, model_set: ModelSet, progress: Progress | None
) -> tuple[HeldOut, list[InjectionPoint]]:
    """Score the held-out readings, and measure the detection of faults injected into them."""
    prepared = task.prepared
    chosen = [
        (stream, cut)
        for stream, cut in zip(prepared.streams, prepared.cut, strict=True)
        if cut < len(stream.timestamps)
    ]
    held = HeldOut(
        [model_set] * len(chosen), prepared.feature_names, [stream for stream, _ in chosen],
        [cut for _, cut in chosen], task.policy, task.options.seed,
    )  # fmt: skip
    result.scored, points = score_with_points(
        held, criticality=task.criticality, progress=progress, stage="held-out scoring",
        suppression=task.suppression,
    )  # fmt: skip
    if not task.power:
        return held, points
    result.power = measure_power(held, result.scored, points, progress=progress)
    if result.power is None:
        result.notes.append(
            f"{task.name}: too few consecutive normal readings are held out to inject faults, so"
            " the detection of small faults was not measured"
        )
    return held, points


def _fit_again(task: Task, result: Result, progress: Progress | None, threads: int) -> None:
    """Fit on all readings; the previous model set becomes the twin."""

    def again(stage: str, done: int, total: int, figures: dict[str, float]) -> None:
        if progress is not None:
            progress(f"all readings: {stage}", done, total, figures)

    first, seconds = result.model_set, result.report.seconds if result.report else 0.0
    try:
        result.model_set, result.report = _fit(task, task.prepared.streams, again, threads)
    except AnomalyError as error:
        result.notes.append(
            f"{task.name}: fitting on all readings failed, the fit without the newest ones is kept:"
            f" {error.message}"
        )
        return
    result.twin = first
    result.report.seconds = round(seconds + result.report.seconds, 3)


def one_thread() -> None:
    """Limit BLAS and PyTorch to one thread in this process.

    For small networks a second thread gains little on an idle machine, and on a busy one each step
    waits for it (measured: 30 times slower on two loaded cores). Parallel fits use the cores
    instead.
    """
    import torch

    one_blas_thread()
    torch.set_num_threads(1)


def _start_worker(queue: Any) -> None:
    global _queue
    _queue = queue
    one_thread()


def _in_worker(task: Task, threads: int) -> Result:
    def progress(stage: str, done: int, total: int, figures: dict[str, float]) -> None:
        _queue.put((task.name, stage, done, total, figures))

    return perform(task, progress, threads)
