"""A reset after an overhaul: the stream begins again once, whatever the cut and the repetition."""

from __future__ import annotations

import json

import pytest

from models.scoring.ensemble import score
from models.scoring.stream_work import StreamWork


def outcome(model_set, readings, state=None, window=(), **given):
    work = StreamWork("PUMP_001", "S1", None, "medium", state, window, readings, **given)
    (found,) = score(model_set, [work])
    return found


def test_a_reset_begins_anew_once_and_the_time_goes_on(model_set, readings):
    before = outcome(model_set, readings[:100])
    window = readings[91:100]
    after = outcome(model_set, readings[100:160], before.state, window, reset=7)
    fresh = outcome(model_set, readings[100:160])
    metadata = [r["metadata"] for r in after.results]
    assert [m.get("restarted") for m in metadata] == ["reset", *[None] * 59]
    assert metadata[0]["window"] == "restarted"
    assert [r["final_score"] for r in after.results] == pytest.approx(
        [r["final_score"] for r in fresh.results], abs=1e-9
    )
    assert after.state["reset"] == [7, False]
    assert len(json.dumps(after.state)) < 4096
    again = outcome(model_set, readings[160:170], after.state, readings[151:160], reset=7)
    assert all("restarted" not in r["metadata"] for r in again.results)
    newer = outcome(model_set, readings[160:170], after.state, readings[151:160], reset=8)
    assert newer.results[0]["metadata"]["restarted"] == "reset"


def test_a_new_stream_has_nothing_to_reset(model_set, readings):
    first = outcome(model_set, readings[:5], reset=7)
    assert all("restarted" not in r["metadata"] for r in first.results)
    assert first.state["reset"] == [7, False]


def test_late_readings_first_do_not_keep_the_old_window(model_set, readings):
    before = outcome(model_set, readings[:100])
    window = readings[91:100]
    part = [readings[50], *readings[100:130]]
    whole = outcome(model_set, part, before.state, window, reset=1)
    late = outcome(model_set, part[:1], before.state, window, reset=1)
    assert late.results[0]["metadata"]["window"] == "left_out"
    rest = outcome(model_set, part[1:], json.loads(json.dumps(late.state)), window, reset=1)
    assert rest.results[0]["metadata"]["window"] == "restarted"
    assert [r["final_score"] for r in whole.results[1:]] == pytest.approx(
        [r["final_score"] for r in rest.results], abs=1e-9
    )


def test_an_open_event_ends_with_a_reset(model_set, plant, readings):
    fault = plant.faults[0]
    before = outcome(model_set, readings[: fault.end - 5])
    event = before.results[-1]["metadata"]["event"]
    assert event["incident"]["opens"] is True
    calm = [type(r)(r.timestamp, readings[i].features) for i, r in enumerate(readings[fault.end :])]
    after = outcome(
        model_set, calm[:20], before.state, readings[fault.end - 14 : fault.end - 5], reset=1
    )
    event_after = after.results[0]["metadata"]["event"]
    assert (event_after["id"], event_after["state"]) == (event["id"], "cleared")
    assert "event" not in after.results[1]["metadata"]
    assert "events" not in after.state
