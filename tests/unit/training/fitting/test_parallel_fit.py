"""A task: what it fits on, and what its scores tell."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from datasets import Stream
from models.fitting.options import FitOptions
from models.scoring.policy import ScoringPolicy
from tests.fixtures.waiting import wait_until
from training.backtest import write_scores
from training.cli.progress import ProgressDisplay
from training.data.preparation import Prepared
from training.fitting import parallel_fit
from training.fitting.parallel_fit import Result, Task, notes_of, perform, run_tasks

OPTIONS = FitOptions(models=("one_class_svm",), folds=2)


def task(options: FitOptions = OPTIONS) -> Task:
    """A fault labelled in training, and two again after it: one of ten sd, one of a hundred."""
    values = np.random.default_rng(0).normal(size=(1400, 3))
    labels = np.zeros(1400, np.int8)
    values[400:500, 0] += 10.0
    values[1200:1230, 0] += 10.0
    values[1300:1330, 0] += 100.0
    labels[400:500] = 1
    times = np.datetime64("2026-01-01", "us") + np.arange(1400) * np.timedelta64(60, "s")
    stream = Stream("P", None, times, values, labels)
    return Task("P", Prepared(["a", "b", "c"], [stream], [1100]), options, ScoringPolicy())


@pytest.mark.slow
def test_a_labelled_fault_is_not_learnt_and_that_is_said() -> None:
    result = perform(task(), None)
    assert result.scored[0].is_anomaly[102:130].all()
    assert any("100 of 1,100 training readings are labelled" in note for note in result.notes)
    kept = perform(task(replace(OPTIONS, keep_labelled=True)), None)
    assert not any("readings are labelled" in note for note in kept.notes)
    assert kept.report is not None
    assert kept.report.rows == 1100


@pytest.mark.slow
def test_scores_on_disk_tell_far_from_very_far(tmp_path: Path) -> None:
    scored = perform(task(), None).scored
    write_scores(tmp_path / "scores.csv", scored)
    head, *rows = (tmp_path / "scores.csv").read_text().splitlines()
    cells = [dict(zip(head.split(","), row.split(","), strict=True)) for row in rows]
    near, far = cells[125], cells[225]
    assert (near["final_score"], far["final_score"]) == ("1", "1")
    assert float(far["log10_p"]) < float(near["log10_p"]) < -5
    assert float(cells[50]["log10_p"]) == pytest.approx(float(np.log10(scored[0].p[50])), abs=1e-3)


def breaks_or_works(task: Task, threads: int) -> Result:
    """One task breaks once the other is at work, which lasts until the test ends it."""
    path = Path(task.name)
    if path.name == "breaks":
        wait_until((path.parent / "at work").exists, "the other to begin")
        raise ZeroDivisionError
    (path.parent / "at work").touch()
    try:
        wait_until((path.parent / "end").exists, "word to end")
    finally:
        (path.parent / "ended").touch()
    return Result(task.name)


@pytest.mark.slow
@pytest.mark.parametrize("names", [("breaks", "works"), ("works", "breaks")])
def test_what_breaks_off_does_not_wait_for_the_fits_at_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: tuple[str, str]
) -> None:
    monkeypatch.setattr(parallel_fit, "_in_worker", breaks_or_works)
    tasks = [replace(task(), name=str(tmp_path / name)) for name in names]
    with pytest.raises(ZeroDivisionError):
        run_tasks(tasks, ProgressDisplay(Console(quiet=True), quiet=True), jobs=2)
    assert not (tmp_path / "ended").exists()
    (tmp_path / "end").touch()
    wait_until((tmp_path / "ended").exists, "the other to end")


def test_a_note_names_the_group_it_is_about_unless_all_share_it() -> None:
    pump = Result("pump", notes=["drift is tolerated", "levels hold", "pump: too few readings"])
    motor = Result("motor", notes=["drift is not tolerated", "levels hold", "levels hold"])
    assert notes_of([pump, motor]) == [
        "pump: drift is tolerated",
        "levels hold",
        "pump: too few readings",
        "motor: drift is not tolerated",
    ]
    assert notes_of([motor]) == ["drift is not tolerated", "levels hold"]
    many = [Result(f"g{n}", notes=["rare"]) for n in range(7)]
    assert notes_of([*many, pump])[0] == "g0, g1, g2, g3, g4 and 2 more: rare"
