"""Fit many model sets, in parallel where cores allow, and score what each held out.

A task is a group of a bundle, or an asset of a back-test: fit on the first part of its streams,
replay the rest through the production path. One task runs in this process; several in a pool.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from typing import Any

from errors import AnomalyError, TrainingError
from models.detectors.base import Progress
from models.fitting.model_set_fit import FitReport, fit_model_set
from models.fitting.options import FitOptions
from models.scoring.adaptation import ScoringPolicy
from models.scoring.model_set import ModelSet
from training.cli.progress import ProgressDisplay, pump
from training.data.preparation import Prepared, without_labelled
from training.evaluation.measures import Scored
from training.fitting.stream_scores import score_streams

_queue: Any = None  # in a worker: where its progress goes


@dataclass(slots=True)
class Task:
    """One model set to fit, and what to score with it."""

    name: str
    prepared: Prepared
    options: FitOptions
    policy: ScoringPolicy
    criticality: str = "medium"
    timed: bool = True
    score: bool = True


@dataclass(slots=True)
class Result:
    """Outcome of a task; ``error`` where it could not be done."""

    name: str
    model_set: ModelSet | None = None
    report: FitReport | None = None
    scored: list[Scored] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    error: AnomalyError | None = None


def run_tasks(
    tasks: Sequence[Task], board: ProgressDisplay, jobs: int | None = None
) -> Iterator[Result]:
    """Yield results as they come; a task that cannot be done gives its error as a result.

    Parameters
    ----------
    tasks : sequence of Task
    board : ProgressDisplay
        Where progress is shown.
    jobs : int, optional
        Fits at one time; as many as cores when absent. Tasks run in processes, and where there
        are fewer tasks than that, the fits within each (of its folds) in threads.
    """
    side_by_side = jobs or cores()
    workers = min(side_by_side, len(tasks))
    threads = max(1, side_by_side // max(1, workers))
    if workers <= 1:
        one_thread()
        for task in tasks:
            yield perform(task, board.part(task.name if len(tasks) > 1 else ""), threads)
        return
    # spawned, not forked: PyTorch and OpenMP do not survive a fork
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    carrier = pump(queue, board)
    try:
        with ProcessPoolExecutor(workers, context, _start_worker, (queue,)) as pool:
            waiting = {pool.submit(_in_worker, task, threads): task for task in tasks}
            try:
                for done in as_completed(waiting):
                    yield done.result()
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
    except BrokenProcessPool:
        raise TrainingError(
            "a training process was ended from outside, as when memory runs out: try --jobs 1"
        ) from None
    finally:
        queue.put(None)
        carrier.join()
        queue.close()
        queue.join_thread()


def cores() -> int:
    """Return the number of cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def perform(task: Task, progress: Progress | None, threads: int = 1) -> Result:
    """Fit and score one task in this process."""
    prepared = task.prepared
    result = Result(task.name, notes=list(prepared.notes))
    training = prepared.training
    if not task.options.keep_labelled:
        training, told = without_labelled(training)
        result.notes += told
    try:
        result.model_set, result.report = fit_model_set(
            [stream.values for stream in training],
            [stream.timestamps for stream in training] if task.timed else None,
            prepared.feature_names,
            task.options,
            progress,
            threads,
        )
    except AnomalyError as error:
        result.error = error
        return result
    result.notes += result.report.notes
    result.model_set.group = task.name
    if task.score and prepared.held_out:
        chosen = [
            (stream, cut)
            for stream, cut in zip(prepared.streams, prepared.cut, strict=True)
            if cut < len(stream.timestamps)
        ]
        model_set = result.model_set
        result.scored = score_streams(
            lambda stream: model_set,
            prepared.feature_names,
            [stream for stream, _ in chosen],
            task.policy,
            skip=[cut for _, cut in chosen],
            criticality=task.criticality,
            progress=progress,
            stage="held-out scoring",
        )
    return result


def one_thread() -> None:
    """Keep BLAS and PyTorch to one thread in this process.

    The networks are small: a second thread gains little on an idle machine, and on a busy one
    each step waits for it (measured: 30 times slower on two loaded cores). Cores are used by
    fits side by side instead.
    """
    import torch
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)
    torch.set_num_threads(1)


def _start_worker(queue: Any) -> None:
    global _queue
    _queue = queue
    one_thread()


def _in_worker(task: Task, threads: int) -> Result:
    def progress(stage: str, done: int, total: int, figures: dict[str, float]) -> None:
        _queue.put((task.name, stage, done, total, figures))

    return perform(task, progress, threads)
