"""A feature that leaves the value it stood at: one event, persistent once it stands elsewhere."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from models.fitting.model_set_fit import fit_model_set
from models.fitting.options import FitOptions
from models.scoring.alarms.departures import MAX_FOLLOWED, Departures
from models.scoring.alarms.events import ANOMALY, QUIET, Event
from models.scoring.alarms.settling import MAX_FEATURES, Level, Settling
from models.scoring.alarms.stretch import PARTS, Stretch
from models.scoring.model_set import ModelSet
from models.scoring.policy import ScoringPolicy
from tests.unit.models.scoring.alarms.test_settling import (
    alarms,
    end_of,
    event,
    lasts_in,
    named,
    replayed,
)

AFTER = 200
POLICY = ScoringPolicy(persistent_after=AFTER)
SETPOINT = 4
EVENTS = [Event(name, ANOMALY, "2026-01-01T00:00:00+00:00", 4.0, 0.0) for name in ("a", "b")]


def taken(values: list[float | None], usual: float = 40.0) -> Departures:
    """Departures after readings of one feature; None: the reading lacks it."""
    out = Departures()
    for value in values:
        away = {} if value is None or value == usual else {0: value}
        out.take(away, [] if value is None else [0])
    return out


def test_a_new_value_is_known_after_enough_readings() -> None:
    assert taken([45.0] * (AFTER - 1)).steady(AFTER) == {}
    assert taken([45.0] * AFTER).steady(AFTER) == {0: (45.0, 45.0)}
    assert taken([45.0, None] * AFTER).steady(AFTER) == {0: (45.0, 45.0)}  # neither away nor back


def test_what_keeps_growing_has_no_new_value() -> None:
    assert taken([41.0 + 0.01 * i for i in range(5000)]).steady(AFTER) == {}


def test_noise_about_a_new_value_ends_the_wait_with_its_last_extreme() -> None:
    noise = np.random.default_rng(0).normal(45.0, 0.1, 5 * AFTER)
    ((low, high),) = taken(noise.tolist()).steady(AFTER).values()
    assert (low, high) == (noise.min(), noise.max())


def test_a_dropout_forgets_nothing_and_a_return_does() -> None:
    assert taken([*[45.0] * 150, 40.0, *[45.0] * 50]).steady(AFTER) == {0: (45.0, 45.0)}
    assert taken([*[45.0] * 150, *[40.0] * QUIET]).known == {}


def test_a_state_stays_small_and_exact() -> None:
    out = Departures()
    for _ in range(3):
        out.take({at: 0.1 + at for at in range(3 * MAX_FOLLOWED)}, range(3 * MAX_FOLLOWED))
    assert len(out.known) == MAX_FOLLOWED
    assert Departures.from_list(json.loads(json.dumps(out.to_list()))) == out


@pytest.mark.parametrize(
    "bad", [[[0, 1.0]], [[0, float("nan"), 1.0, 1, 1]], [["a", 1, 1, 1, 1]], 7]
)
def test_what_is_no_departure_is_refused(bad: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        Departures.from_list(bad)


def test_closing_an_event_keeps_the_values_known_before() -> None:
    settling = Settling()
    for at, feature in enumerate((3, 5)):
        level = Level(None, "2026-01-01T00:00:00+00:00", stands={feature: (1.0, 2.0)})
        level.event = EVENTS[at]
        settling.levels.append(level)
    assert [entry["id"] for entry in settling.close(["b"])] == ["b", "a"]
    (left,) = settling.levels
    assert left.event is None
    assert settling.unknown({3: 1.5, 5: 2.0, 6: 1.0, 7: 0.0}) == {6: 1.0, 7: 0.0}


@pytest.mark.parametrize("width", [2, 30, 61, 62, 64, 68, 72, 76, 80, 81, 250])
def test_a_full_state_has_room_for_what_stands_elsewhere(width: int) -> None:
    draw = np.random.default_rng(0)

    def vector() -> np.ndarray | None:
        return draw.normal(size=width).astype(np.float32) if width <= MAX_FEATURES else None

    def filled(levels: int, stretch: Stretch) -> Settling:
        settling = Settling(stretch=stretch)
        for number in range(levels):
            when = "2026-01-01T00:00:00.123456+00:00"
            settling.levels.append(Level(vector(), when, EVENTS[number], when, 3, 1.7e9 / 3))
        share = settling.room(width) // 3
        for level in settling.levels:
            level.stands = {90 + at: (-1e5 / 3 - at, 1e5 / 7 + at) for at in range(share)}
        for _ in range(2):
            away = {90 + at: draw.normal(0, 1e5) for at in range(2 * MAX_FOLLOWED)}
            settling.departures.take(away, range(200), settling.room(width))
        assert settling.room(width) == len(settling.departures.known)
        return settling

    stretch = Stretch()
    if width <= MAX_FEATURES:
        rows = [draw.normal(size=width).astype(np.float32) for _ in range(PARTS)]
        stretch = Stretch(249, rows[0], rows[1:], 1e6 / 3, 1e3 / 3, 120)
    for settling in (filled(2, Stretch()), filled(1, stretch)):  # two levels: no stretch
        text = json.dumps(settling.to_list())
        assert len(text) < 4096 - 500 - 8 * width * 4 // 3, "what else a state holds has its room"
        assert json.dumps(Settling.from_list(json.loads(text), width).to_list()) == text


# --- as a stream meets it ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def plant() -> tuple[ModelSet, np.ndarray]:
    """A group whose setpoint stood at 40 throughout training, and later readings of it."""
    rng = np.random.default_rng(1)
    rows = np.column_stack([rng.normal(size=(5000, 4)), np.full(5000, 40.0)])
    rows[:, 1] += rows[:, 0]
    times = np.datetime64("2025-01-01", "us") + np.arange(3000) * np.timedelta64(60, "s")
    names = ["flow", "current", "level", "heat", "setpoint"]
    options = FitOptions(models=("isolation_forest", "one_class_svm"), folds=2)
    return fit_model_set([rows[:3000]], [times], names, options)[0], rows[3000:]


def with_steps(rows: np.ndarray, *steps: tuple[int, int, int, float]) -> np.ndarray:
    out = rows.copy()
    for begin, end, feature, by in steps:
        out[begin:end, feature] += by
    return out


@pytest.mark.slow
def test_a_setpoint_changed_for_good_is_one_event_and_hides_nothing(plant: Any) -> None:
    model_set, rows = plant
    changed = with_steps(rows, (300, 2000, SETPOINT, 5.0), (1200, 1250, 2, 9.0))
    results, state = replayed(model_set, changed, policy=POLICY)
    settled = 300 + AFTER - 1
    assert alarms(results[300 : settled + 1]) == 1.0
    assert event(results[settled])["persistent"] is True
    assert event(results[settled])["id"] == event(results[301])["id"]
    assert event(results[settled])["incident"]["opens"] is True
    assert alarms(results[settled + 1 : 1200]) < 0.02
    assert alarms(results[1200:1250]) > 0.9
    top = event(results[1220])
    assert top["id"] != event(results[301])["id"]
    assert event(results[301])["id"] in lasts_in(results[1220])
    assert results[1000]["metadata"]["stands_elsewhere"] == ["setpoint"]
    assert "stood_still" not in results[1000]["metadata"]
    again, other = replayed(model_set, changed, cut=173, policy=POLICY)
    assert other == state
    assert [event(r) for r in again] == [event(r) for r in results]


@pytest.mark.slow
def test_it_ends_when_the_setpoint_is_back(plant: Any) -> None:
    model_set, rows = plant
    results, state = replayed(model_set, with_steps(rows, (300, 900, SETPOINT, 5.0)), policy=POLICY)
    assert 900 < end_of(results, event(results[301])["id"]) <= 900 + QUIET
    assert "levels" not in state
    assert alarms(results[900:]) < 0.02


@pytest.mark.slow
def test_another_value_is_another_event(plant: Any) -> None:
    model_set, rows = plant
    results, _ = replayed(
        model_set, with_steps(rows, (300, 2000, SETPOINT, 5.0), (900, 950, SETPOINT, 5.0)),
        policy=POLICY,
    )  # fmt: skip
    assert alarms(results[900:950]) == 1.0
    assert results[920]["metadata"]["stood_still"] == ["setpoint"]
    assert alarms(results[960:]) < 0.02
    assert len(lasts_in(results[-1])) == 1


@pytest.mark.slow
def test_a_shift_and_a_setpoint_settle_as_one_event(plant: Any) -> None:
    model_set, rows = plant
    changed = with_steps(rows, (300, 1500, SETPOINT, 5.0), (300, 1500, 0, 8.0))
    results, _ = replayed(model_set, changed, policy=POLICY)
    assert len({id for r in results[310:1500] for id in lasts_in(r)}) == 1
    assert alarms(results[600:1500]) < 0.03
    assert 1500 < end_of(results, event(results[301])["id"]) <= 1500 + 2 * QUIET


@pytest.mark.slow
def test_a_person_who_closes_it_declares_the_value_normal(plant: Any) -> None:
    model_set, rows = plant
    changed = with_steps(rows, (300, 900, SETPOINT, 5.0), (1200, 2000, SETPOINT, 5.0))
    results, state = replayed(model_set, changed[:800], policy=POLICY)
    (lasts,) = lasts_in(results[-1])
    later, _ = replayed(
        model_set, changed[800:], policy=POLICY, state=state, begin=800, closed_events=[lasts]
    )
    assert named(later[0])[lasts]["state"] == "cleared"
    assert alarms(later) < 0.02
    assert not any(lasts_in(r) for r in later[1:])


@pytest.mark.slow
def test_where_settling_is_off_it_goes_on_alarming(plant: Any) -> None:
    model_set, rows = plant
    changed = with_steps(rows, (300, 2000, SETPOINT, 5.0))
    results, _ = replayed(model_set, changed, policy=ScoringPolicy(persistent_after=0))
    assert alarms(results[300:]) == 1.0
