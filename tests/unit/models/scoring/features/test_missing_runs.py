"""A sensor that has failed for good: one event that names it, and the others stay watched."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from models.fitting.missing_rates import fit_missing_runs
from models.scoring.ensemble import score
from models.scoring.features.missing_runs import LASTING, OpenRuns
from models.scoring.maintenance.maintenance_window import MaintenanceWindow
from models.scoring.policy import ScoringPolicy
from models.scoring.stream_work import Reading
from tests.unit.ensemble_scoring import in_pieces, one, work

FAILS = 60
#: Readings after which an event is persistent.
SETTLES = 100
IMPOSSIBLE = 1e12


def failing(readings, value=None, until=None, name="flow", n=300):
    """Readings whose sensor sends nothing, or a value, from FAILS on."""
    out = list(readings[:n])
    for i in range(FAILS, until or n):
        features = {k: v for k, v in out[i].features.items() if k != name}
        out[i] = Reading(out[i].timestamp, features if value is None else {**features, name: value})
    return out


def events(results) -> set[tuple[str, str]]:
    found = [r["metadata"]["event"] for r in results if "event" in r["metadata"]]
    found += [other for one in found for other in one.get("on_top_of", ())]
    return {(one["id"], one["kind"]) for one in found}


def limited(model_set):
    """The set, for which values of flow beyond a limit are impossible."""
    own = copy.copy(model_set)
    own.preprocessing = replace(model_set.preprocessing, limits={"flow": (None, 1e6)})
    return own


def test_a_sensor_that_sends_nothing_any_more_is_one_event_that_names_it(model_set, readings):
    sent = failing(readings)
    results = one(model_set, sent, ScoringPolicy(persistent_after=SETTLES)).results
    alarms = [i for i, r in enumerate(results) if r["is_anomaly"] and i >= FAILS]
    assert alarms[0] == FAILS + LASTING
    assert alarms == list(range(FAILS + LASTING, alarms[-1] + 1))
    assert alarms[-1] < FAILS + LASTING + SETTLES + 1
    ((_, kind),) = events(results[FAILS:])
    assert kind == "sensor_fault"
    first = results[alarms[0]]["metadata"]
    since = sent[FAILS].timestamp.astimezone(UTC).isoformat()
    assert first["no_value_since"] == {"flow": since}
    blamed = first["explanation"]["features"][0]
    assert (blamed["feature"], blamed["value"]) == ("flow", None)
    assert blamed["no_value_since"] == since
    assert results[-1]["metadata"]["event"]["persistent"] is True
    assert results[-1]["metadata"]["stands_elsewhere"] == ["flow"]


@pytest.mark.parametrize("value", [None, IMPOSSIBLE])
def test_it_ends_once_the_sensor_is_mended(model_set, readings, value):
    policy = ScoringPolicy(persistent_after=SETTLES)
    results = one(limited(model_set), failing(readings, value, 200, n=400), policy).results
    assert "event" not in results[-1]["metadata"]
    states = [r["metadata"]["event"]["state"] for r in results if "event" in r["metadata"]]
    assert states[-1] == "cleared"


def test_an_impossible_value_for_good_is_one_event_and_hides_no_other_fault(model_set, readings):
    sent = failing(readings, IMPOSSIBLE)
    for i in range(250, 280):
        features = dict(sent[i].features)
        sent[i] = Reading(sent[i].timestamp, {**features, "temperature": 30.0})
    own = limited(model_set)
    results = one(own, sent, ScoringPolicy(persistent_after=SETTLES)).results
    outside = [i for i, r in enumerate(results) if "outside_limits" in r["metadata"]]
    assert outside == list(range(FAILS, FAILS + LASTING))
    ((_, kind),) = events(results[FAILS:250])
    assert kind == "sensor_fault"
    assert not any(r["is_anomaly"] for r in results[200:250])
    assert all(r["metadata"]["window"] == "added" for r in results[120:250])
    assert all(r["is_anomaly"] for r in results[250:280])
    assert results[260]["metadata"]["event"]["kind"] == "anomaly"
    assert results[260]["metadata"]["explanation"]["features"][0]["feature"] == "temperature"


@pytest.mark.parametrize("value", [None, IMPOSSIBLE])
def test_a_mended_sensor_does_not_ring_on_as_another_event(model_set, readings, value):
    own = limited(model_set)
    made = own.calibrations.items()
    own.calibrations = {key: replace(cal, swiftness=0.29) for key, cal in made}
    results = one(own, failing(readings, value, 150, n=180)).results
    assert results[149]["is_anomaly"]
    assert not any(r["is_anomaly"] for r in results[150:])


def test_late_readings_of_a_failed_sensor_open_no_further_event(model_set, readings):
    sent = failing(readings, IMPOSSIBLE)
    sent[220:240] = [*sent[221:240], sent[220]]
    results = one(limited(model_set), sent, ScoringPolicy(persistent_after=SETTLES)).results
    assert results[239]["metadata"]["late"] is True
    assert "outside_limits" not in results[239]["metadata"]
    assert len(events(results[FAILS:])) == 1


def test_maintenance_of_a_machine_with_a_failed_sensor_is_no_further_sensor_fault(
    model_set, readings
):
    sent = failing(readings, IMPOSSIBLE)
    planned = MaintenanceWindow("1", sent[210].timestamp, sent[250].timestamp)
    given = replace(work(sent), maintenance=(planned,))
    policy = ScoringPolicy(persistent_after=SETTLES)
    (outcome,) = score(limited(model_set), [given], policy)
    during = [r["metadata"] for r in outcome.results[210:250]]
    assert all("suppressed" in one and "outside_limits" not in one for one in during)
    kinds = [kind for _, kind in events(outcome.results[FAILS:])]
    assert kinds.count("sensor_fault") == 1


def test_since_is_not_in_the_future_once_the_clock_is_set_back():
    runs = OpenRuns()
    runs.take([4], [], 2000.0)
    runs.take([4], [], 1000.0)
    assert (runs.known[4].since, runs.known[4].length) == (1000, 2)


@pytest.mark.parametrize("value", [None, IMPOSSIBLE])
def test_it_does_not_depend_on_batches(model_set, readings, value):
    own, sent = limited(model_set), failing(readings, value, 150, n=200)
    whole = one(own, sent).results
    for size in (1, 7):
        pieces, _ = in_pieces(own, sent, size)
        for a, b in zip(whole, pieces, strict=True):
            assert a["is_anomaly"] == b["is_anomaly"]
            assert a["final_score"] == pytest.approx(b["final_score"])
            assert a["metadata"].get("no_value_since") == b["metadata"].get("no_value_since")


def test_more_impossible_values_than_may_be_imputed_stay_a_sensor_fault(model_set, readings):
    own = limited(model_set)
    own.preprocessing = replace(own.preprocessing, max_imputed=0)
    results = one(own, failing(readings, IMPOSSIBLE, n=150)).results
    assert all(r["metadata"]["outside_limits"] == ["flow"] for r in results[FAILS:])


def test_runs_up_to_twice_as_long_as_those_of_training_are_normal(model_set, readings):
    pre = model_set.preprocessing
    at = pre.names.index("flow")
    trained = np.ones((2000, len(pre.names)))
    trained[100:140, at] = trained[500:560, at] = np.nan
    own = copy.copy(model_set)
    own.preprocessing = replace(pre, missing_runs=fit_missing_runs(pre, [trained], pre.names))
    assert own.preprocessing.missing_runs.longest[at] == 60
    kept = one(own, failing(readings, until=FAILS + 120)).results
    assert not any("no_value_since" in r["metadata"] for r in kept)
    longer = one(own, failing(readings, until=FAILS + 121)).results
    assert [i for i, r in enumerate(longer) if "no_value_since" in r["metadata"]] == [FAILS + 120]


def test_an_impossible_value_at_the_start_makes_no_usual_outage_a_failure(model_set, readings):
    """A sensor that sends one as it is switched off alarmed until it was switched on."""
    own = limited(model_set)
    longest = np.full(len(own.preprocessing.names), 60.0)
    runs = replace(own.preprocessing.missing_runs, longest=longest)
    own.preprocessing = replace(own.preprocessing, missing_runs=runs)
    sent = failing(readings, until=FAILS + 100, n=180)
    sent[FAILS] = failing(readings, IMPOSSIBLE)[FAILS]
    results = one(own, sent).results
    assert results[FAILS]["metadata"]["outside_limits"] == ["flow"]
    assert not any("no_value_since" in r["metadata"] for r in results)


@pytest.mark.parametrize("value", [None, IMPOSSIBLE])
def test_a_feature_that_some_stream_of_training_never_had_may_lack_but_not_be_impossible(
    model_set, readings, value
):
    """What a failed sensor of such a feature sent was a sensor fault for 20 readings only."""
    own = limited(model_set)
    pre = own.preprocessing
    with_all, without = np.ones((200, len(pre.names))), np.ones((100, len(pre.names)))
    without[:, pre.names.index("flow")] = np.nan
    runs = fit_missing_runs(pre, [with_all, without], pre.names)
    own.preprocessing = replace(pre, missing_runs=runs)
    results = one(own, failing(readings, value, n=180)).results
    since = [i for i, r in enumerate(results) if "no_value_since" in r["metadata"]]
    assert since == ([] if value is None else list(range(FAILS + LASTING, 180)))
    assert all(results[i]["is_anomaly"] for i in since)


def test_codes_that_mean_not_measured_count_as_missing_in_training(model_set):
    pre = replace(model_set.preprocessing, nulls={"flow": (65535.0,)})
    trained = np.ones((200, len(pre.names)))
    at = pre.names.index("flow")
    trained[50:90, at] = 65535.0
    assert fit_missing_runs(pre, [trained], pre.names).longest[at] == 40


def test_a_reset_forgets_the_runs(model_set, readings):
    sent = failing(readings, n=150)
    outcome = one(model_set, sent)
    assert outcome.state["missing"][1][0][2] == 90
    state = model_set.state(outcome.state)
    state.restart(1, model_set.new_tail())
    assert "missing" not in state.to_dict(model_set.version, model_set.preprocessing)


def test_runs_are_stored_exactly():
    runs = OpenRuns()
    for i in range(3):
        runs.take([4], [7], datetime(2026, 1, 1, tzinfo=UTC).timestamp() + i)
    again = OpenRuns.from_list(runs.to_list())
    assert again == runs
    assert again.known[4].length == 3
    assert again.known[7].garbage == 3
    with pytest.raises(ValueError, match="missing"):
        OpenRuns.from_list([[1, 0.0, -1, 0]])


def test_a_state_has_room_for_many():
    runs = OpenRuns()
    for i in range(100):
        runs.take(range(0, 60, 2), range(1, 61, 2), 1_800_000_000.5 + i)
    assert len(json.dumps(runs.to_list())) < 300
