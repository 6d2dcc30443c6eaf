"""A lasting shift is one event; what comes on top is another; both end when they are over."""

from __future__ import annotations

import json
import tarfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from errors import InputError
from models.bundles.bundle import Bundle
from models.scoring.alarms.settling import MAX_FEATURES, MAX_LEVELS, Level, Settling
from models.scoring.alarms.stretch import PARTS, Stretch
from models.scoring.ensemble import score
from models.scoring.model_set import ModelSet
from models.scoring.policy import ScoringPolicy
from models.scoring.stream_replay import carried
from models.scoring.stream_work import Reading, StreamWork
from training.simulate import simulate

pytestmark = pytest.mark.slow  # fits models

START = datetime(2026, 1, 1, tzinfo=UTC)
STORED = Path(__file__).parents[4] / "fixtures" / "stored_scores"
SEED = 3
AFTER = 200
PART = AFTER // PARTS
POLICY = ScoringPolicy(persistent_after=AFTER)
FLOW, CURRENT, TEMPERATURE = 5, 3, 2


@pytest.fixture(scope="module")
def pump(tmp_path_factory: pytest.TempPathFactory) -> ModelSet:
    """A stored model set, so that no change of fitting moves what is tested here."""
    folder = tmp_path_factory.mktemp("stored")
    with tarfile.open(STORED / "bundle.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return Bundle.load(folder / "bundle").model_set("pump")


@pytest.fixture(scope="module")
def fresh() -> np.ndarray:
    """Readings (n, 6) of a pump that it was not fitted on."""
    return simulate(assets=1, readings=1600, seed=SEED, machines=("PUMP",)).values[0]


def shifted(fresh: np.ndarray, *shifts: tuple[int, int, int, float]) -> np.ndarray:
    """Rows with (begin, end, feature, by): robust standard deviations of the feature."""
    rows = fresh.copy()
    quarters = np.quantile(fresh, [0.25, 0.75], axis=0)
    sd = (quarters[1] - quarters[0]) / 1.349
    for begin, end, feature, by in shifts:
        rows[begin:end, feature] += by * sd[feature]
    return rows


def replayed(
    model_set: ModelSet,
    rows: np.ndarray,
    cut: int = 400,
    policy: ScoringPolicy = POLICY,
    state: dict[str, Any] | None = None,
    begin: int = 0,
    **given: Any,
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Results, and the state at the end, as the bridge carries it from batch to batch."""
    standing = model_set.preprocessing.standing
    names = [*model_set.feature_names, *(standing.names if standing else ())]
    points = [
        Reading(START + (begin + i) * timedelta(minutes=1), dict(zip(names, row, strict=True)))
        for i, row in enumerate(rows.tolist())
    ]
    given = {"criticality": "medium", **given}
    results: list[dict[str, Any]] = []
    window: list[Reading] = []
    for at in range(0, len(points), cut):
        part = points[at : at + cut]
        work = StreamWork("PUMP_1", "S1", None, state=state, window=window, readings=part, **given)
        (outcome,) = score(model_set, [work], policy)
        state = json.loads(json.dumps(outcome.state))
        window = carried(window, part, outcome.results, outcome.window_length)
        results += outcome.results
    assert state is not None
    assert len(json.dumps(state)) < 4096
    return results, state


def event(result: dict[str, Any]) -> dict[str, Any]:
    return result["metadata"].get("event") or {}


def named(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Every event that a result names, by its id."""
    entries = [event(result), *event(result).get("on_top_of", ())]
    return {entry["id"]: entry for entry in entries if entry}


def lasts_in(result: dict[str, Any]) -> list[str]:
    return [id for id, entry in named(result).items() if entry.get("persistent")]


def end_of(results: list[dict[str, Any]], event_id: str) -> int:
    """The reading with which an event ends; afterwards nothing names it."""
    (end,) = [i for i, r in enumerate(results)
              if named(r).get(event_id, {}).get("state") == "cleared"]  # fmt: skip
    assert not any(event_id in named(r) for r in results[end + 1 :])
    return end


def alarms(results: list[dict[str, Any]]) -> float:
    return float(np.mean([r["is_anomaly"] for r in results]))


@pytest.fixture(scope="module")
def lasting(pump: ModelSet, fresh: np.ndarray) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """A flow 5 sd too high from reading 300 on, and a temperature 6 sd too high 700 to 800."""
    return replayed(pump, shifted(fresh, (300, 1600, FLOW, 5.0), (700, 800, TEMPERATURE, 6.0)))


def test_a_lasting_shift_is_one_event_that_says_it_lasts(lasting: Any) -> None:
    results, state = lasting
    first = event(results[320])
    assert alarms(results[300:490]) > 0.95
    settled = next(i for i, r in enumerate(results) if event(r).get("persistent"))
    assert 300 + AFTER - 1 <= settled <= 300 + AFTER + 25
    at = (START + settled * timedelta(minutes=1)).isoformat()
    later = event(results[settled])
    assert later["id"] == first["id"]
    assert (later["state"], later["persistent_since"]) == ("ongoing", at)
    assert later["incident"]["persistent"] is True
    assert later["incident"]["opens"] is True
    assert later["incident"]["at"] == event(results[settled - 1])["incident"]["at"]
    assert alarms(results[settled + 1 : 700]) < 0.03
    assert np.median([r["final_score"] for r in results[settled + 1 : 700]]) < 0.3
    for result in results[settled:]:  # in every reading, also beneath another
        assert first["id"] in lasts_in(result)
    assert state["levels"][1][0][2][0] == first["id"]


def test_a_further_fault_opens_its_own_event(lasting: Any) -> None:
    results, _ = lasting
    lasts, own = event(results[320])["id"], event(results[750])
    assert own["id"] != lasts
    assert "persistent" not in own
    assert [one["id"] for one in own["on_top_of"]] == [lasts]
    assert alarms(results[700:800]) > 0.95
    assert own["incident"]["opens"] is True
    assert alarms(results[810:]) < 0.05


def test_the_event_ends_when_the_stream_comes_back(pump: ModelSet, fresh: np.ndarray) -> None:
    results, state = replayed(pump, shifted(fresh, (300, 900, FLOW, 5.0)))
    lasts = event(results[320])["id"]
    end = end_of(results, lasts)
    assert named(results[end])[lasts]["persistent"] is True
    assert 900 + 119 <= end < 900 + 140  # as long as any event goes on
    assert alarms(results[900:end]) < 0.03, "coming back is no alarm"
    assert "levels" not in state
    assert alarms(results[end + 1 :]) < 0.03


def test_a_level_upon_a_level_and_back_again(pump: ModelSet, fresh: np.ndarray) -> None:
    rows = shifted(fresh, (200, 1200, FLOW, 5.0), (600, 1000, TEMPERATURE, 6.0))
    results, state = replayed(pump, rows)
    outer, inner = event(results[220])["id"], event(results[700])["id"]
    assert lasts_in(results[980]) == [inner, outer]
    assert 1000 < end_of(results, inner) < 1150
    assert outer in lasts_in(results[1190])
    assert 1300 < end_of(results, outer) < 1350
    assert "levels" not in state


@pytest.mark.parametrize("cut", [1, 7, 131, 1600])
def test_the_cut_of_batches_makes_no_difference(
    pump: ModelSet, fresh: np.ndarray, lasting: Any, cut: int
) -> None:
    rows = shifted(fresh, (300, 1600, FLOW, 5.0), (700, 800, TEMPERATURE, 6.0))[:900]
    results, _ = replayed(pump, rows, cut=cut)
    for found, before in zip(results, lasting[0][:900], strict=True):
        assert found["log10_p"] == pytest.approx(before["log10_p"], abs=1e-6)
        assert (found["is_anomaly"], event(found)) == (before["is_anomaly"], event(before))


def test_neither_score_nor_level_depends_on_the_criticality(
    pump: ModelSet, fresh: np.ndarray, lasting: Any
) -> None:
    rows = shifted(fresh, (300, 1600, FLOW, 5.0), (700, 800, TEMPERATURE, 6.0))[:900]
    results, _ = replayed(pump, rows, criticality="low")
    scores = [r["final_score"] for r in lasting[0][:900]]
    assert [r["final_score"] for r in results] == pytest.approx(scores, abs=1e-9)


def test_a_shift_that_never_alarmed_has_an_event_from_then_on(
    pump: ModelSet, fresh: np.ndarray
) -> None:
    policy = replace(POLICY, budgets={"medium": 10**-5.45})  # a score of 0.99
    results, _ = replayed(pump, shifted(fresh, (300, 1600, CURRENT, 1.2))[:800], policy=policy)
    assert alarms(results) == 0.0
    settled = next(i for i, r in enumerate(results) if event(r))
    later = event(results[settled])
    assert (later["state"], later["persistent"], later["incident"]["opens"]) == (
        "opened",
        True,
        False,
    )


def test_a_person_settles_the_level_for_good(
    pump: ModelSet, fresh: np.ndarray, lasting: Any
) -> None:
    rows = shifted(fresh, (300, 1600, FLOW, 5.0))
    results, state = replayed(pump, rows[:700])
    (lasts,) = lasts_in(results[-1])
    closed: dict[str, Any] = {"closed_events": ["another", lasts]}
    after, state = replayed(pump, rows[700:1000], state=state, begin=700, **closed)
    assert end_of(after, lasts) == 0
    assert not any(lasts_in(r) for r in after[1:])
    assert alarms(after) < 0.03
    back, _ = replayed(pump, fresh[1000:1100], state=state, begin=1000, **closed)
    assert alarms(back) > 0.95, "what was normal is a shift now"
    assert event(back[50])["id"] != lasts


def test_what_grows_or_only_scatters_goes_on_alarming(pump: ModelSet, fresh: np.ndarray) -> None:
    ramp = shifted(fresh)
    sd = shifted(fresh, (0, len(fresh), FLOW, 1.0))[0, FLOW] - fresh[0, FLOW]
    ramp[300:, FLOW] += sd * np.linspace(4.0, 40.0, len(fresh) - 300)
    noise = shifted(fresh)
    noise[300:, FLOW] += 6 * sd * np.random.default_rng(0).normal(size=len(fresh) - 300)
    for rows in (ramp, noise):
        results, _ = replayed(pump, rows)
        assert not any(event(r).get("persistent") for r in results)
        assert alarms(results[400:]) > 0.9


def test_where_drift_is_the_fault_it_stays_an_alarm(pump: ModelSet, fresh: np.ndarray) -> None:
    wears = replace(pump, preprocessing=replace(pump.preprocessing, drift_mode="fault"))
    results, state = replayed(wears, shifted(fresh, (300, 1600, FLOW, 5.0)))
    assert alarms(results[320:]) > 0.95
    assert "levels" not in state


@pytest.mark.parametrize("policy", [ScoringPolicy(persistent_after=0),
                                    replace(POLICY, adaptation=False)])  # fmt: skip
def test_it_can_be_switched_off(pump: ModelSet, fresh: np.ndarray, policy: ScoringPolicy) -> None:
    results, state = replayed(pump, shifted(fresh, (300, 1600, FLOW, 5.0)), policy=policy)
    assert alarms(results[320:]) > 0.95
    assert "levels" not in state


def test_another_bundle_goes_on_with_the_event_as_with_any(
    pump: ModelSet, fresh: np.ndarray
) -> None:
    rows = shifted(fresh, (300, 1600, FLOW, 5.0))
    results, state = replayed(pump, rows[:700])
    after, state = replayed(pump, rows[700:950], state={**state, "bundle": "x"}, begin=700)
    (lasts,) = lasts_in(results[-1])
    assert event(after[0])["id"] == lasts
    assert "persistent" not in event(after[0])
    assert event(after[0])["incident"]["at"] == named(results[-1])[lasts]["incident"]["at"]
    assert lasts_in(after[-1]) == [lasts], "and settles again"


def test_another_bundle_expects_what_it_was_trained_on(pump: ModelSet, fresh: np.ndarray) -> None:
    rows = shifted(fresh, (300, 1600, FLOW, 5.0))
    _, state = replayed(pump, rows[:700])
    after, _ = replayed(pump, rows[700:720], state={**state, "bundle": "x"}, begin=700)
    by = float(np.mean(rows[700:720, FLOW] - fresh[700:720, FLOW]))
    for result in after:
        first = result["metadata"]["explanation"]["features"][0]
        assert (first["feature"], result["is_anomaly"]) == ("flow", True)
        assert first["deviation"] > by / 2, "no alarm at a value said to be expected"


def test_a_reset_ends_it(pump: ModelSet, fresh: np.ndarray) -> None:
    rows = shifted(fresh, (300, 1600, FLOW, 5.0))
    results, state = replayed(pump, rows[:700])
    after, state = replayed(pump, rows[700:720], state=state, begin=700, reset=1)
    assert [end_of(after, one) for one in lasts_in(results[-1])] == [0]
    assert not any(lasts_in(r) for r in after[1:])


@pytest.mark.parametrize("bad", [7, [None], [[1, 2]], [None, [["!", "x", None, None, 0, 0]]],
                                 [[1, 0, 0.0, "AAAA", None], []]])  # fmt: skip
def test_levels_that_no_service_gave_out_are_refused(pump: ModelSet, bad: Any) -> None:
    with pytest.raises(InputError, match="state"):
        pump.state({"v": 2, "bundle": pump.version, "tail": [0.3], "levels": bad})


def test_a_state_as_full_as_can_be_is_small() -> None:
    vector = np.random.default_rng(0).normal(size=MAX_FEATURES).astype(np.float32)
    levels = [Level(vector, START.isoformat()) for _ in range(MAX_LEVELS)]
    stretch = Stretch(249, vector, [vector] * (PARTS - 1), 1e6 / 3, 1e3 / 3, 120)
    for settling in (Settling(levels), Settling(levels[1:], stretch)):  # two levels: no stretch
        text = json.dumps(settling.to_list())
        assert len(text) < 4096 - 600 - 8 * MAX_FEATURES * 4 // 3, (
            "what else a state holds has its room"
        )
        assert json.dumps(Settling.from_list(json.loads(text), MAX_FEATURES).to_list()) == text


def test_on_top_of_as_many_levels_as_can_be_nothing_is_remembered() -> None:
    settling = Settling([Level(np.ones(3, np.float32), START.isoformat())] * MAX_LEVELS)
    for _ in range(AFTER):
        assert settling.take(np.full(3, 9.0), 0, True, PART, None) is None
    assert settling.stretch.to_list() is None


def test_twenty_pumps_each_with_a_shift_that_lasts_and_a_fault_on_top(pump: ModelSet) -> None:
    """4 sd for good, and 2,000 readings later 6 sd on top in another feature; with the defaults."""
    plant = simulate(assets=20, readings=2900, seed=SEED, machines=("PUMP",))
    lasts, own, settled = [], [], []
    for number, rows in enumerate(plant.values):
        first, second = number % 6, (number + 1 + number // 6) % 6
        by = -4.0 if number % 2 else 4.0
        moved = shifted(rows, (500, 2900, first, by), (2500, 2560, second, 6.0))
        results, _ = replayed(pump, moved, cut=1000, policy=ScoringPolicy())
        found = {id for result in results[500:2500] for id in lasts_in(result)}
        lasts.append(len(found) == 1 and found <= set(named(results[600])))
        own.append(any(r["is_anomaly"] and event(r)["id"] not in found for r in results[2500:2530]))
        settled.append(alarms(results[1620:2500]))
    assert np.mean(lasts) >= 0.95
    assert np.mean(own) >= 0.9
    assert np.mean(settled) < 0.01


def test_rows_without_features_have_no_level() -> None:
    """As where no feature ever varied: the whole batch failed."""
    settling = Settling()
    taken = [settling.take(np.zeros(0), -1, True, 1, None) for _ in range(2 * PARTS)]
    assert taken == [None] * len(taken)
