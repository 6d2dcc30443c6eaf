"""A mode that recurs is told from faults that nobody labelled."""

import numpy as np
import pytest

from datasets import Stream
from models.fitting.faults.fault_search import find_faults
from models.fitting.faults.trimming import without_faulty
from models.fitting.garbage.cleaning import clean
from models.fitting.model_set_fit import fit_model_set
from models.fitting.operation.recurrence import Event, cyclic, recurring
from models.fitting.options import FitOptions
from models.scoring.ensemble import score
from models.scoring.stream_work import StreamWork
from training.fitting.stream_scores import readings_of
from training.simulate import ar1

STARTS = 130, 610, 1090, 1720
LEVEL = np.array([10.0, 12.0, 9.0, 11.0])


def running(seed, n=2000, d=4):
    random = np.random.default_rng(seed)
    return random, ar1(random, (n, d), 0.6) + np.resize(LEVEL, d)


def visited(kind, seed, starts=STARTS, n=2000):
    random, values = running(seed, n)
    for start in starts:
        length = 40 if kind != "mode" else int(random.integers(8, 40))
        part = values[start : start + length]
        if kind == "off":
            part[:] = 0.0
        elif kind == "off, cooling down to the weather":
            part[:, :2] = 0.0
            part[:, 2:] = random.normal([2.0, 1.0], 2.0) + 0.2 * random.normal(size=(40, 2))
        elif kind == "idle":
            part[:] = [2.0, 3.0, 8.5, 1.0] + 0.3 * ar1(random, (40, 4), 0.6)
        else:
            part[:] = LEVEL + [10.0, -8.0, 0.0, 7.0] + 0.5 * (part - LEVEL)
    return values


KINDS = "off", "off, cooling down to the weather", "idle", "mode"


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", KINDS)
def test_a_state_that_recurs_is_kept(kind, seed):
    found = find_faults([visited(kind, seed)], 0.15)
    assert not found.faults[0].any()
    assert [len(mode) for mode in found.modes] == [4]


@pytest.mark.parametrize("times", [3, 5, 8])
def test_however_often_it_recurs(times):
    starts = np.random.default_rng(times).permutation(np.arange(130, 6000, 500))[:times]
    found = find_faults([visited("off", 0, starts, 6200)], 0.15)
    assert not found.faults[0].any()


def test_what_occurred_twice_may_be_a_fault():
    found = find_faults([visited("off", 0, STARTS[:2])], 0.15)
    assert found.faults[0][130:170].all()
    assert not found.modes


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("alike", ["in nothing", "in direction", "in one sensor of four"])
def test_faults_are_none(alike, seed):
    """Five faults of twenty readings; those of one sensor reach the same level each time."""
    random, values = running(seed)
    truth = np.zeros(2000, bool)
    sizes = random.permutation([6.0, 8.0, 10.5, 13.0, 16.0])
    for start, size in zip((130, 480, 840, 1290, 1700), sizes, strict=True):
        way = {
            "in nothing": random.normal(size=4),
            "in direction": np.array([1.0, -1.0, 0.5, 0.0]),
            "in one sensor of four": np.array([0.0, 1.0, 0.0, 0.0]),
        }[alike]
        far = 9.0 if alike == "in one sensor of four" else size
        values[start : start + 20] += far * way / np.linalg.norm(way)
        truth[start : start + 20] = True
    found = find_faults([values], 0.15)
    assert found.faults[0][truth].all()
    assert not found.modes


def test_a_fault_beside_a_state_is_still_found():
    values = visited("idle", 1, n=4000)
    values[300:360, 2] += 9.0
    values[1400:1460, 1] -= 8.0
    (found,) = find_faults([values], 0.15).faults
    assert found[300:360].all()
    assert found[1400:1460].all()
    assert found.sum() < 200  # the mode takes up as much again


@pytest.mark.slow
def test_one_outage_of_all_machines_is_one_occurrence():
    streams = [running(seed, 1500)[1] for seed in range(4)]
    apart = [values.copy() for values in streams]
    for i in range(4):
        streams[i][700:740] = 0.0
        apart[i][200 + 300 * i :][:40] = 0.0
    found = find_faults(streams, 0.15)
    assert all(mask[700:740].all() for mask in found.faults)
    assert not found.modes
    found = find_faults(apart, 0.15)
    assert not np.concatenate(found.faults).any()
    assert [len(mode) for mode in found.modes] == [4]
    clock = [np.arange(1500.0) - 300.0 * i for i in range(4)]
    assert not find_faults(apart, 0.15, clock).modes


def test_a_state_far_away_needs_fewer_occurrences_than_one_close_by():
    def events(size, count):
        return [
            Event(0, np.arange(9), np.arange(9), (100.0 * i, 100.0 * i + 9.0),
                  np.array([size + 0.7 * (i % 3), 0.0]), np.ones(2, bool), np.full(2, np.nan))
            for i in range(count)
        ]  # fmt: skip

    assert len(recurring(events(30.0, 3), 1.0, 4.0)) == 3
    assert not recurring(events(6.0, 3), 1.0, 4.0)
    assert len(recurring(events(6.0, 6), 1.0, 4.0)) == 6
    assert not recurring([], 1.0, 4.0)


def test_the_note_says_where_and_what_to_do():
    names = ["flow", "speed", "level", "load"]
    for kind, off in (("off", True), ("idle", False)):
        data = clean([visited(kind, 0)], None, names)
        left = without_faulty(data, 0.15)
        (note,) = [one for one in left.notes if "same level" in one]
        assert len(left.streams[0]) == len(data.streams[0])
        assert note.startswith("4 events")
        assert "label it" in note
        assert ("off condition" in note) == off
        assert ("flow 0, speed 0" in note) == off


@pytest.mark.parametrize("seed", range(4))
def test_off_is_told_in_readings_restated_for_the_time_of_day(seed):
    usual = visited("off", seed)
    daily = 4.0 * np.sin(np.arange(2000) / 23.0)[:, None]
    values = np.where(usual == 0.0, 0.0, usual + daily)  # a machine that is off follows no day
    found = find_faults([values - daily], 0.15, received=[values])
    assert not found.faults[0].any()
    assert [len(mode) for mode in found.modes] == [4]
    restated_only = find_faults([values - daily], 0.15)
    assert restated_only.faults[0].any()


@pytest.mark.slow  # fits models
def test_later_occurrences_do_not_alarm():
    values = visited("off", 0, (*STARTS, 2300, 2650, 3100, 3480, 3800), 4000)
    names = ["flow", "speed", "level", "load"]
    times = np.datetime64("2026-01-01", "us") + np.arange(4000) * np.timedelta64(60, "s")
    options = FitOptions(models=("one_class_svm",), folds=3)
    model_set, _ = fit_model_set([values[:2000]], [times[:2000]], names, options)
    stream = Stream("A", None, times[2000:], values[2000:])
    points = list(readings_of(stream, names))
    (out,) = score(model_set, [StreamWork("A", None, None, "medium", None, [], points)])
    assert np.mean([result["is_anomaly"] for result in out.results]) < 0.01


def test_parts_of_one_event_are_one_occurrence():
    """Two sensors are swapped for three days; each change of load divides the event."""

    def parts(gap):
        return [
            Event(0, np.arange(50), np.arange(9), ((50.0 + gap) * i, (50.0 + gap) * i + 50.0),
                  np.array([30.0 + 0.7 * i, 0.0]), np.ones(2, bool), np.full(2, np.nan))
            for i in range(3)
        ]  # fmt: skip

    assert not recurring(parts(gap=20.0), 1.0, 4.0)
    assert len(recurring(parts(gap=60.0), 1.0, 4.0)) == 3


def test_what_comes_between_a_cycle_is_none_of_it():
    cycle = np.arange(0, 2000, 20) + np.random.default_rng(0).integers(0, 2, 100)
    between = np.array([227, 548, 913, 1331, 1790])
    starts = np.sort(np.concatenate([np.delete(cycle, [7, 30, 31]), between]))
    member = cyclic(starts.tolist())
    assert not member[np.isin(starts, between)].any()
    assert member[~np.isin(starts, between)].mean() > 0.95
    assert not cyclic(np.sort(np.random.default_rng(1).integers(0, 2000, 60)).tolist()).any()
    assert not cyclic([0, 20, 40, 60]).any()
