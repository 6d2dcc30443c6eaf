"""The ensemble: one result a reading, whatever the batch; order, gaps, limits, events, causes."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from models.base import MODEL_NAMES
from models.bundle import Bundle
from models.ensemble import ModelSet, Point, StreamOutcome, StreamWork, run, score
from models.fitting import FitOptions, fit_model_set
from models.thresholds import Policy
from tests.fixtures.bundle import points
from training.simulate import Plant, simulate


@pytest.fixture(scope="module")
def model_set(bundle: Bundle) -> ModelSet:
    return bundle.model_set("default")


@pytest.fixture(scope="module")
def readings(plant: Plant) -> list[Point]:
    return points(plant, 0)


def work(readings, state=None, window=(), criticality="medium", asset="PUMP_001") -> StreamWork:
    return StreamWork(asset, "S1", None, criticality, state, list(window), list(readings))


def one(model_set, readings, policy=None, **given) -> StreamOutcome:
    (outcome,) = score(model_set, [work(readings, **given)], policy)
    return outcome


def in_pieces(model_set, readings, size) -> tuple[list[dict], dict | None]:
    """Score in requests of ``size`` readings, state and window through JSON as the bridge does."""
    state: dict | None = None
    window: list[Point] = []
    results: list[dict] = []
    for start in range(0, len(readings), size):
        part = readings[start : start + size]
        outcome = one(model_set, part, state=json.loads(json.dumps(state)), window=window)
        for point, result in zip(part, outcome.results, strict=True):
            mark = result["metadata"]["window"]
            if mark == "restarted":
                window = []
            if mark != "left_out":
                window = [*window, point][-outcome.window_length :]
        state = outcome.state
        results += outcome.results
    return results, state


@pytest.mark.parametrize("size", [1, 7])
def test_batch_cut_differently_gives_the_same(model_set, readings, size):
    part = readings[650:750]  # across the onset of a fault
    part[30:30] = [part[10]]  # a late one
    part[60] = Point(part[60].timestamp, {"vibration_rms": 1.0})  # one that cannot be scored
    whole = one(model_set, part)
    results, state = in_pieces(model_set, part, size)
    for a, b in zip(whole.results, results, strict=True):
        assert a.get("error") == b.get("error")
        if "error" not in a:
            assert b["final_score"] == pytest.approx(a["final_score"], abs=1e-6)
            assert b["metadata"].get("event") == a["metadata"].get("event")
            assert [s["score"] for s in b["scores"]] == pytest.approx(
                [s["score"] for s in a["scores"]], abs=1e-6
            )
    assert json.loads(json.dumps(state)) == json.loads(json.dumps(whole.state))


def test_streams_scored_together_are_scored_as_if_alone(model_set, plant):
    works = [work(points(plant, i, 690, 760), asset=plant.asset_ids[i]) for i in range(3)]
    together = score(model_set, works)
    alone = [score(model_set, [w])[0] for w in works]
    for a, b in zip(together, alone, strict=True):
        np.testing.assert_allclose(
            [r["final_score"] for r in a.results], [r["final_score"] for r in b.results], atol=1e-6
        )


def test_inputs_are_not_modified(model_set, readings):
    state = one(model_set, readings[:50]).state
    given = work(readings[50:80], state=state, window=readings[40:50])
    before = copy.deepcopy(given)
    score(model_set, [given])
    assert given == before


def test_is_anomaly_is_exactly_score_at_or_over_threshold(model_set, plant):
    for criticality in ("critical", "high", "medium", "low"):
        for i in range(3):
            for r in one(model_set, points(plant, i), criticality=criticality).results:
                assert r["is_anomaly"] == (r["final_score"] >= r["threshold"])
                for s in r["scores"]:
                    assert s["is_anomaly"] == (s["score"] >= s["threshold"] == r["threshold"])


def test_score_does_not_depend_on_the_budget(model_set, readings):
    scores = [
        [r["final_score"] for r in one(model_set, readings, criticality=c).results]
        for c in ("critical", "low")
    ]
    assert scores[0] == scores[1]


def test_window_detector_is_absent_until_its_window_is_full(model_set, readings):
    results = one(model_set, readings[:20]).results
    for i, r in enumerate(results):
        names = [s["model_name"] for s in r["scores"]]
        full = i >= model_set.window - 1
        assert names == list(MODEL_NAMES if full else MODEL_NAMES[:2])
        assert r["metadata"].get("insufficient_history", False) is not full


def test_late_reading_is_scored_and_changes_nothing(model_set, readings):
    base = one(model_set, readings[:50])
    late = one(model_set, [readings[20]], state=base.state, window=readings[41:50])
    (result,) = late.results
    assert result["metadata"]["window"] == "left_out"
    assert result["metadata"]["late"] is True
    assert late.state == base.state


def test_gap_restarts_the_window(model_set, readings):
    base = one(model_set, readings[:50])
    pause = timedelta(seconds=21 * 60)
    later = [Point(p.timestamp + pause, p.features) for p in readings[50:65]]
    results = one(model_set, later, state=base.state, window=readings[41:50]).results
    assert results[0]["metadata"]["window"] == "restarted"
    assert results[0]["metadata"]["insufficient_history"] is True
    assert [r["metadata"]["window"] for r in results[1:]] == ["added"] * 14
    near = one(model_set, later, Policy(gap_s=1e6), state=base.state, window=readings[41:50])
    assert near.results[0]["metadata"]["window"] == "added"


def test_missing_feature_is_an_error_entry_and_the_rest_is_scored(model_set, readings):
    part = readings[:5]
    part[2] = Point(part[2].timestamp, {k: v for k, v in part[2].features.items() if k != "flow"})
    results = one(model_set, part).results
    assert results[2]["error"]["code"] == "missing_features"
    assert results[2]["error"]["field"] == "features.flow"
    assert results[2]["metadata"]["window"] == "left_out"
    assert all("final_score" in r for i, r in enumerate(results) if i != 2)


def test_unknown_features_are_ignored_and_told_once(model_set, readings):
    part = [Point(p.timestamp, {**p.features, "extra": 1.0}) for p in readings[:6]]
    first = one(model_set, part[:3])
    told = [r["metadata"].get("unknown_features") for r in first.results]
    assert told == [["extra"], None, None]
    again = one(model_set, part[3:], state=first.state).results
    assert "unknown_features" not in again[0]["metadata"]
    plain = one(model_set, readings[:3]).results
    assert [r["final_score"] for r in plain] == [r["final_score"] for r in first.results]


def test_order_of_features_in_a_reading_is_irrelevant(model_set, readings):
    turned = [Point(p.timestamp, dict(reversed(p.features.items()))) for p in readings[:40]]
    a, b = one(model_set, readings[:40]), one(model_set, turned)
    assert [r["final_score"] for r in a.results] == [r["final_score"] for r in b.results]


def test_physical_limit_is_a_sensor_fault_and_teaches_nothing(model_set, readings):
    limited = replace(model_set.preprocessing, limits={"pressure": (0.0, None)})
    own = copy.copy(model_set)
    own.preprocessing = limited
    part = readings[:60]
    broken = [*part]
    broken[40] = Point(part[40].timestamp, {**part[40].features, "pressure": -1.0})
    out = one(own, broken)
    fault = out.results[40]
    assert fault["final_score"] == 1.0
    assert fault["is_anomaly"] is True
    assert fault["criticality"] == "critical"
    assert fault["metadata"]["event"]["kind"] == "sensor_fault"
    assert fault["metadata"]["outside_limits"] == ["pressure"]
    assert fault["metadata"]["window"] == "left_out"
    assert [s["model_name"] for s in fault["scores"]] == list(MODEL_NAMES)
    without = one(own, part[:40] + part[41:])
    assert out.results[41]["final_score"] == without.results[40]["final_score"]
    assert out.state["tail"] == without.state["tail"]


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
    calm = [Point(start + i * timedelta(minutes=1), p.features) for i, p in enumerate(calm)]
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
    for size in (10.0, 100.0, 1e4):
        features = {**readings[50].features}
        features["pressure"] += size
        (r,) = one(
            model_set,
            [Point(readings[50].timestamp, features)],
            state=base.state,
            window=readings[41:50],
        ).results
        peaks.append(r["metadata"]["event"]["peak"])
        assert r["metadata"]["explanation"]["features"][0]["feature"] == "pressure"
        assert r["metadata"]["extrapolated"] is True
    assert peaks[0] < peaks[1] < peaks[2]


def test_state_is_small_json_that_names_bundle_and_last(model_set, readings, bundle):
    state = one(model_set, readings).state
    assert len(json.dumps(state)) < 4096
    assert state["bundle"] == bundle.version
    assert state["last"] == readings[-1].timestamp.isoformat()


def test_state_of_another_bundle_keeps_event_and_time_but_not_the_tail(model_set, readings):
    before = one(model_set, readings[650:790])
    foreign = {**before.state, "bundle": "other"}
    after = one(model_set, readings[790:792], state=foreign, window=readings[781:790])
    event = before.results[-1]["metadata"]["event"]
    assert after.results[0]["metadata"]["event"]["id"] == event["id"]
    assert after.results[0]["metadata"]["window"] == "added"


def test_broken_state_is_an_error_for_its_stream_only(model_set, readings):
    works = [
        work(readings[:2], state={"tail": 3, "bundle": "x", "events": [1]}),
        work(readings[:2]),
    ]
    bad, good = score(model_set, works)
    assert [r["error"]["code"] for r in bad.results] == ["bad_state"] * 2
    assert all("final_score" in r for r in good.results)


def test_generator_asks_each_detector_once_for_all_streams(model_set, plant):
    works = [work(points(plant, i, 0, 20), asset=plant.asset_ids[i]) for i in range(3)]
    calls = next(run(model_set, works, Policy()))
    assert [(c.detector, c.method, len(c.x)) for c in calls] == [
        ("isolation_forest", "score", 60),
        ("one_class_svm", "score", 60),
        ("lstm_autoencoder", "score", 3 * (20 - model_set.window_length)),
    ]


def test_nothing_to_do_is_nothing(model_set):
    assert score(model_set, []) == []
    assert one(model_set, []).results == []


def test_adaptation_can_be_switched_off(model_set, readings):
    state = one(model_set, readings, Policy(adaptation=False)).state
    assert state["tail"][1] == 0.0


def test_missing_feature_is_imputed_by_option_marked_and_costs_no_alarm(model_set, readings):
    own = copy.copy(model_set)
    own.preprocessing = replace(model_set.preprocessing, missing="impute", max_imputed=1)
    part = readings[:200]
    partial = [
        Point(p.timestamp, {k: v for k, v in p.features.items() if k != "flow"}) for p in part
    ]
    partial[7] = Point(part[7].timestamp, {"flow": part[7].features["flow"]})
    results = one(own, partial).results
    assert results[7]["error"]["code"] == "missing_features"
    others = [r for i, r in enumerate(results) if i != 7]
    assert all(r["metadata"]["imputed"] == ["flow"] for r in others)
    assert all(r["features"].keys() == readings[0].features.keys() - {"flow"} for r in others)
    assert np.mean([r["is_anomaly"] for r in others]) < 0.03
    whole = one(own, part).results
    assert not any("imputed" in r["metadata"] for r in whole)


def test_imputed_is_what_the_other_features_lead_to_expect(model_set, plant):
    pre = replace(model_set.preprocessing, missing="impute", max_imputed=1)
    at = pre.names.index("flow")
    told, true = [], []
    for p in points(plant, 0, 0, 600):
        values, absent = pre.row({k: v for k, v in p.features.items() if k != "flow"})
        assert absent == ["flow"]
        told.append(values[at])
        true.append(p.features["flow"])
    error = np.std(np.array(told) - true)
    assert error < 0.7 * np.std(true), "the median would do as well"


def test_lasting_shift_is_the_new_normal_only_by_the_setting(model_set, readings):
    shifted = [
        Point(p.timestamp, {**p.features, "pressure": p.features["pressure"] + 2.0})
        for p in readings[100:600]
    ]
    alarms = {}
    for after in (0, 150):
        base = one(model_set, readings[:100])
        policy = Policy(accept_shift_after=after)
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
    assert np.median(wrong) < 1.5
    assert np.median(median) > 5


def test_level_survives_the_cut(model_set, readings):
    whole = one(model_set, readings[:60]).state
    _, state = in_pieces(model_set, readings[:60], 9)
    assert state is not None
    assert state["level"] == whole["level"]
