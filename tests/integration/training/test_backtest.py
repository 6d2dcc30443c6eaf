"""Back-tests on awkward data: causal, and no asset spoils it for the others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from datasets import Stream
from errors import TrainingError
from models.detectors.base import MODEL_NAMES
from models.scoring.policy import ScoringPolicy
from tests.fixtures.training import TINIEST, TINY, small_plant
from training.backtest import in_order, run_all, tasks_of, write_scores
from training.cli.progress import ProgressDisplay
from training.data.schedule_file import Schedules, read_schedules
from training.data.sources import TrainingData
from training.evaluation.measures import Scored, judged_on


def backtest(
    data: TrainingData,
    cut: int,
    options: object = TINIEST,
    fleet: bool = False,
    schedules: Schedules | None = None,
) -> tuple[list[Scored], list[str]]:
    tasks, notes = tasks_of(data, cut, options, fleet, schedules)  # type: ignore[arg-type]
    with ProgressDisplay(Console(quiet=True), quiet=True) as display:
        results, more = run_all(tasks, display, jobs=1)
    notes += more + [note for result in results for note in result.notes]
    return in_order(data, cut, results, ScoringPolicy().threshold("medium")), notes


def test_what_happens_later_changes_nothing_before() -> None:
    data = small_plant(readings=200)
    whole, _ = backtest(data, 120)
    later = []
    for stream in data.streams:
        values = stream.values.copy()
        values[170:] *= 3
        later.append(replace(stream, values=values))
    changed, _ = backtest(replace(data, streams=later), 120)
    for one, other in zip(whole, changed, strict=True):
        assert np.array_equal(one.final_score[:50], other.final_score[:50])
        assert not np.array_equal(one.final_score[50:], other.final_score[50:])


def test_labels_change_nothing() -> None:
    data = small_plant(readings=200)
    bare = replace(data, streams=[replace(s, labels=None) for s in data.streams])
    for one, other in zip(backtest(data, 120)[0], backtest(bare, 120)[0], strict=True):
        assert np.array_equal(one.final_score, other.final_score)


def test_assets_that_cannot_be_trained_on_have_empty_rows(tmp_path: Path) -> None:
    data = small_plant(readings=200)
    short = replace(
        data.streams[1],
        asset_id="SHORT",
        timestamps=data.streams[1].timestamps[:50],
        values=data.streams[1].values[:50],
        labels=data.streams[1].labels[:50],  # type: ignore[index]
    )
    still = replace(data.streams[1], asset_id="STILL", values=np.ones_like(data.streams[1].values))
    mixed = replace(data, streams=[data.streams[0], short, still])
    scored, notes = backtest(mixed, 120)
    assert any(note.startswith("SHORT: 50 training readings") for note in notes)
    assert any(note.startswith("STILL: ") and "constant" in note for note in notes)
    assert [one.asset_id for one in scored] == ["PUMP_001", "STILL"]
    write_scores(tmp_path / "scores.csv", scored)
    last = (tmp_path / "scores.csv").read_text().splitlines()[-1]
    assert last.startswith("STILL,")
    assert last.endswith(",,0.5,false,,,,,")


def test_gaps_constant_columns_and_missing_values_are_scored() -> None:
    data = small_plant(readings=260)
    streams = []
    for stream in data.streams:
        values = np.column_stack([stream.values, np.ones(260)])
        values[::17, 1] = np.nan
        times = stream.timestamps.copy()
        times[200:] += np.timedelta64(9, "D")
        streams.append(replace(stream, values=values, timestamps=times))
    odd = replace(data, streams=streams, feature_names=[*data.feature_names, "constant"])
    scored, notes = backtest(odd, 150, TINY, fleet=True)
    assert all(np.isfinite(one.final_score).all() for one in scored)
    lstm = scored[0].detectors["lstm_autoencoder"]
    assert np.isnan(lstm[50 : 50 + TINY.window - 1]).all()  # the gap restarts the window
    assert any("readings lack a" in note for note in notes)


def test_as_many_missing_values_are_imputed_as_in_the_service() -> None:
    """A back-test that imputed more found sensors failed that the service does not score at all."""
    data = small_plant(readings=400)
    holes = [stream.values.copy() for stream in data.streams]
    for values in holes:
        values[260:300, :2] = np.nan
        values[320, 0] = np.nan
    streams = [replace(s, values=v) for s, v in zip(data.streams, holes, strict=True)]
    scored, _ = backtest(replace(data, streams=streams), 200, TINY, fleet=True)
    for one in scored:
        assert np.isnan(one.final_score[60:100]).all()
        assert np.isfinite(np.delete(one.final_score, np.arange(60, 100))).all()
        assert not one.is_anomaly[60:100].any()


def test_stretches_shorter_than_the_window_go_without_the_autoencoder() -> None:
    data = small_plant(readings=200)
    options = replace(TINY, window=150)
    scored, notes = backtest(data, 100, options)
    assert any("fitted without it" in note for note in notes)
    assert all(np.isnan(one.detectors[MODEL_NAMES[2]]).all() for one in scored)
    assert np.isfinite(scored[0].final_score).all()


def test_nothing_to_train_on_is_an_error() -> None:
    data = small_plant(readings=200)
    with pytest.raises(TrainingError, match="nothing to train on"):
        backtest(data, 10)


def test_a_stream_that_begins_after_the_cut_is_scored_by_the_fleet() -> None:
    data = small_plant(readings=200)
    late = Stream("LATE", "S1", data.streams[0].timestamps[150:], data.streams[0].values[150:])
    cut = data.streams[0].timestamps[120]
    tasks, _ = tasks_of(replace(data, streams=[*data.streams, late]), cut, TINIEST, True)
    with ProgressDisplay(Console(quiet=True), quiet=True) as display:
        results, _ = run_all(tasks, display, jobs=1)
    scored = {one.asset_id: one for one in results[0].scored}
    assert len(scored["LATE"].final_score) == 50
    assert np.isfinite(scored["LATE"].final_score).all()


def test_a_fleet_of_assets_with_two_kinds_of_sensors_is_scored_whole() -> None:
    data = small_plant(readings=200)
    streams = []
    for sensor, here in (("S1", slice(0, 2)), ("S2", slice(2, None))):
        for one in data.streams:
            values = np.full_like(one.values, np.nan)
            values[:, here] = one.values[:, here]
            streams.append(replace(one, sensor_id=sensor, values=values))
    tasks, _ = tasks_of(replace(data, streams=streams), 120, TINIEST, True)
    assert sum(len(task.prepared.streams) for task in tasks) == len(streams)
    assert len({task.name for task in tasks}) == 2


def test_maintenance_is_not_trained_on_and_raises_no_alarm(tmp_path: Path) -> None:
    data = small_plant(readings=200)
    asset, times = data.streams[0].asset_id, data.streams[0].timestamps
    wild = data.streams[0].values.copy()
    wild[20:40] += 1000.0  # learnt, it would hide the same thing later
    wild[150:160] += 1000.0
    wild[170:180] += 1000.0
    data = replace(data, streams=[replace(data.streams[0], values=wild), *data.streams[1:]])
    plans = tmp_path / "plans.toml"
    plans.write_text(
        "".join(
            f"[[maintenance_windows]]\nstart={times[a]}Z\nend={times[b]}Z\nasset_id='{asset}'\n"
            for a, b in ((20, 40), (150, 160))
        )
    )
    scored, notes = backtest(data, 120, schedules=read_schedules(plans))
    first = scored[0]
    assert first.suppressed is not None
    assert np.flatnonzero(first.suppressed).tolist() == [*range(30, 40)]
    assert first.is_anomaly[30:40].all()  # scored and marked as ever
    counted = judged_on(first)
    assert not counted.is_anomaly[30:40].any()
    assert counted.is_anomaly[50:60].all()
    assert all(not 30 <= at < 40 for at in first.incidents)
    assert f"{asset}: 20 training readings of maintenance" in " ".join(notes)
    without, _ = backtest(data, 120)
    assert without[0].suppressed is None
    assert not np.array_equal(without[0].final_score, first.final_score)
    for one, other in zip(scored[1:], without[1:], strict=True):
        assert np.array_equal(one.final_score, other.final_score)
    out = tmp_path / "scores.csv"
    write_scores(out, scored)
    header, *rows = [line.split(",") for line in out.read_text().splitlines()]
    marked = [row[header.index("suppressed")] for row in rows if row[0] == asset]
    assert marked == ["true" if 30 <= at < 40 else "false" for at in range(80)]
