"""The alarms of the ensemble: one event a fault, its causes, and when it is the new normal."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from models.fitting.model_set_fit import fit_model_set
from models.fitting.options import FitOptions
from models.scoring.policy import ScoringPolicy
from models.scoring.stream_work import Reading
from tests.fixtures.bundle import points
from tests.unit.ensemble_scoring import one
from training.simulate import simulate

pytestmark = pytest.mark.slow  # fits models


def test_one_fault_is_one_event_with_one_identity(model_set, plant):
    for i, fault in enumerate(plant.faults):
        results = one(model_set, points(plant, i)).results
        events = [r["metadata"]["event"] for r in results if "event" in r["metadata"]]
        inside = [
            r["metadata"]["event"]["id"]
            for r in results[fault.start : fault.end]
            if "event" in r["metadata"]
        ]
        assert len(set(inside)) == 1
        states = [e["state"] for e in events if e["id"] == inside[0]]
        assert states[0] == "opened"
        assert set(states[1:-1]) == {"ongoing"}


def test_event_survives_the_cut_and_ends_after_silence(model_set, readings):
    fault = slice(716, 790)
    first = one(model_set, readings[650:790])
    opened = first.results[-1]["metadata"]["event"]
    calm = readings[100:260]
    start = readings[790].timestamp
    calm = [Reading(start + i * timedelta(minutes=1), p.features) for i, p in enumerate(calm)]
    after = one(model_set, calm, state=first.state, window=readings[781:790]).results
    states = [r["metadata"].get("event", {}).get("state") for r in after]
    assert opened["state"] == "ongoing"
    assert after[0]["metadata"]["event"]["id"] == opened["id"]
    assert "cleared" in states
    assert set(states[states.index("cleared") + 1 :]) == {None}
    assert fault.start == 716


def test_anomaly_is_explained_and_nothing_else_is(model_set, plant):
    hits = total = 0
    for i, fault in enumerate(plant.faults):
        results = one(model_set, points(plant, i)).results
        for r in results:
            assert ("explanation" in r["metadata"]) == r["is_anomaly"]
        for r in results[fault.start + 5 : fault.end]:
            if r["is_anomaly"]:
                why = r["metadata"]["explanation"]
                assert sum(f["share"] for f in why["features"]) == pytest.approx(1, abs=1e-4)
                for f in why["features"]:
                    off = f["value"] - f["expected"]
                    assert f["deviation"] == pytest.approx(off, abs=1e-5 * abs(f["value"]))
                assert set(why["votes"]) == {s["model_name"] for s in r["scores"]}
                total += 1
                hits += why["features"][0]["feature"] in fault.features
    assert total > 100
    assert hits / total >= 0.9


def test_far_is_never_the_same_as_near(model_set, readings):
    base = one(model_set, readings[:50])
    peaks = []
    for size in (1.0, 10.0, 100.0):
        features = {**readings[50].features}
        features["pressure"] += size
        (r,) = one(
            model_set,
            [Reading(readings[50].timestamp, features)],
            state=base.state,
            window=readings[41:50],
        ).results
        peaks.append(r["metadata"]["event"]["peak"])
        assert r["metadata"]["explanation"]["features"][0]["feature"] == "pressure"
        assert r["metadata"]["extrapolated"] is True
    assert peaks[0] < peaks[1] < peaks[2]


def test_lasting_shift_is_the_new_normal_only_by_the_setting(model_set, readings):
    shifted = [
        Reading(p.timestamp, {**p.features, "pressure": p.features["pressure"] + 2.0})
        for p in readings[100:600]
    ]
    alarms = {}
    for after in (0, 150):
        base = one(model_set, readings[:100])
        policy = ScoringPolicy(accept_shift_after=after)
        results = one(model_set, shifted, policy, state=base.state, window=readings[91:100]).results
        alarms[after] = np.array([r["is_anomaly"] for r in results])
        assert alarms[after][:140].all(), "it must alarm first"
    assert alarms[0].all()
    assert alarms[150][200:].mean() < 0.2


def test_expected_is_the_normal_value_of_the_moment_even_in_a_mixed_group():
    """Pumps and motors in one group: its median lies in between and would tell nothing."""
    faulty = simulate(assets=6, readings=3600, seed=3, faults=2, first_fault=2000)
    calm = simulate(assets=6, readings=3600, seed=3)
    train = calm.cut(0, 2000)
    options = FitOptions(models=("one_class_svm",), folds=2)
    mixed, _ = fit_model_set(train.values, train.times(), train.feature_names, options)
    wrong: list[float] = []
    median: list[float] = []
    for i, values in enumerate(calm.values):
        sd = np.diff(values, axis=0).std(axis=0)  # of the noise, the movements being slow
        results = one(mixed, points(faulty, i), asset=faulty.asset_ids[i]).results
        for fault in (f for f in faulty.faults if f.asset_id == faulty.asset_ids[i]):
            for at in range(fault.start, fault.end):
                why = results[at]["metadata"].get("explanation")
                top = why["features"][0] if why else None
                if top is None or top["feature"] not in fault.features:
                    continue
                j = mixed.feature_names.index(top["feature"])
                wrong.append(abs(top["expected"] - values[at, j]) / sd[j])
                median.append(abs(mixed.preprocessing.center[j] - values[at, j]) / sd[j])
    assert len(wrong) > 500
    assert np.median(wrong) < 2.0
    assert np.median(median) > 5


def shifted(points, minutes):
    return [Reading(p.timestamp + timedelta(minutes=minutes), dict(p.features)) for p in points]


def test_a_fault_in_an_hour_that_comes_twice_is_an_event(model_set, readings):
    """Local time without an offset, when daylight saving ends: 01:00..01:59 and once more."""
    base = one(model_set, readings[:120])
    again = shifted(readings[120:210], -60)
    for reading in again[20:70]:
        reading.features["pressure"] += 5.0
    # a time equal to the newest one is the next reading, not late: hence 59
    second = one(model_set, again[:59], state=base.state, window=readings[111:120]).results
    assert {r["metadata"].get("late") for r in second} == {True}
    events = [r["metadata"].get("event") for r in second]
    assert events[:20] == [None] * 20
    assert len({e["id"] for e in events[20:]}) == 1
    assert [e["state"] for e in events[20:]] == ["opened"] + ["ongoing"] * 38
    whole = one(model_set, again, state=base.state, window=readings[111:120]).results
    after = whole[65]["metadata"]
    assert "late" not in after
    assert after["event"]["id"] == events[20]["id"], "the fault goes on when the hour is over"


def test_late_normal_readings_end_no_event(model_set, readings):
    first = one(model_set, readings[650:790])
    (event,) = first.state["events"]
    calm = shifted(readings[100:130], 700 - 100)
    late = one(model_set, calm, state=first.state, window=readings[781:790])
    assert {r["metadata"]["late"] for r in late.results} == {True}
    assert [e[5] for e in late.state["events"]] == [event[5]], "they are not even quiet readings"


def test_a_late_anomaly_of_long_ago_is_no_event(model_set, readings):
    base = one(model_set, readings[:700])
    old = shifted(readings[760:790], -760)
    late = one(model_set, old, state=base.state, window=readings[691:700])
    assert any(r["is_anomaly"] for r in late.results)
    assert not any("event" in r["metadata"] for r in late.results)
    assert late.state.get("events") == base.state.get("events")
