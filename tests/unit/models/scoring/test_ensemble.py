"""The ensemble: one result a reading, whatever the batch; order, windows, gaps, state."""

from __future__ import annotations

import copy
import json
from datetime import timedelta

import numpy as np
import pytest

from models.detectors.base import MODEL_NAMES
from models.scoring.ensemble import run, score
from models.scoring.policy import ScoringPolicy
from models.scoring.stream_work import Reading
from tests.fixtures.bundle import points
from tests.unit.ensemble_scoring import in_pieces, one, work


@pytest.mark.parametrize("size", [1, 7])
def test_batch_cut_differently_gives_the_same(model_set, readings, size):
    part = readings[650:750]  # across the onset of a fault
    part[30:30] = [part[10]]  # a late one
    part[60] = Reading(part[60].timestamp, {"vibration_rms": 1.0})  # one that cannot be scored
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
    later = [Reading(p.timestamp + pause, p.features) for p in readings[50:65]]
    results = one(model_set, later, state=base.state, window=readings[41:50]).results
    assert results[0]["metadata"]["window"] == "restarted"
    assert results[0]["metadata"]["insufficient_history"] is True
    assert [r["metadata"]["window"] for r in results[1:]] == ["added"] * 14
    policy = ScoringPolicy(gap_factor=1e6)
    near = one(model_set, later, policy, state=base.state, window=readings[41:50])
    assert near.results[0]["metadata"]["window"] == "added"


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
    calls = next(run(model_set, works, ScoringPolicy()))
    assert [(c.detector, c.method, len(c.x)) for c in calls] == [
        ("isolation_forest", "score", 60),
        ("one_class_svm", "score", 60),
        ("lstm_autoencoder", "score", 3 * (21 - model_set.window)),
    ]


def test_nothing_to_do_is_nothing(model_set):
    assert score(model_set, []) == []
    assert one(model_set, []).results == []


def test_adaptation_can_be_switched_off(model_set, readings):
    state = one(model_set, readings, ScoringPolicy(adaptation=False)).state
    assert state["tail"][1] == 0.0


def test_level_survives_the_cut(model_set, readings):
    whole = one(model_set, readings[:60]).state
    _, state = in_pieces(model_set, readings[:60], 9)
    assert state is not None
    assert state["level"] == whole["level"]
