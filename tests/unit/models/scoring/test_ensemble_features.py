"""The ensemble, by the features of a reading: absent, unknown, imputed, outside their limits."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest

from models.detectors.base import MODEL_NAMES
from models.scoring.stream_work import Reading
from tests.fixtures.bundle import points
from tests.unit.ensemble_scoring import one


def test_missing_feature_is_an_error_entry_and_the_rest_is_scored(model_set, readings):
    part = readings[:5]
    part[2] = Reading(part[2].timestamp, {k: v for k, v in part[2].features.items() if k != "flow"})
    own = copy.copy(model_set)
    own.preprocessing = replace(model_set.preprocessing, max_imputed=0)
    results = one(own, part).results
    assert results[2]["error"]["code"] == "missing_features"
    assert results[2]["error"]["field"] == "features.flow"
    assert results[2]["metadata"]["window"] == "left_out"
    assert all("final_score" in r for i, r in enumerate(results) if i != 2)


def test_unknown_features_are_ignored_and_told_once(model_set, readings):
    part = [Reading(p.timestamp, {**p.features, "extra": 1.0}) for p in readings[:6]]
    first = one(model_set, part[:3])
    reported = [r["metadata"].get("unknown_features") for r in first.results]
    assert reported == [["extra"], None, None]
    again = one(model_set, part[3:], state=first.state).results
    assert "unknown_features" not in again[0]["metadata"]
    plain = one(model_set, readings[:3]).results
    assert [r["final_score"] for r in plain] == [r["final_score"] for r in first.results]


def test_a_renamed_feature_is_unknown_and_its_old_name_missing(model_set, readings):
    renamed = [
        Reading(p.timestamp, {k if k != "flow" else "flow_m3": v for k, v in p.features.items()})
        for p in readings[:3]
    ]
    found = [r["metadata"] for r in one(model_set, renamed).results]
    assert [list(m["imputed"]) for m in found] == [["flow"]] * 3
    assert [m.get("unknown_features") for m in found] == [["flow_m3"], None, None]


def test_order_of_features_in_a_reading_is_irrelevant(model_set, readings):
    turned = [Reading(p.timestamp, dict(reversed(p.features.items()))) for p in readings[:40]]
    a, b = one(model_set, readings[:40]), one(model_set, turned)
    assert [r["final_score"] for r in a.results] == [r["final_score"] for r in b.results]


def test_physical_limit_is_a_sensor_fault_and_teaches_nothing(model_set, readings):
    limited = replace(model_set.preprocessing, limits={"pressure": (0.0, None)})
    own = copy.copy(model_set)
    own.preprocessing = limited
    part = readings[:60]
    broken = [*part]
    broken[40] = Reading(part[40].timestamp, {**part[40].features, "pressure": -1.0})
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


def test_an_impossible_value_is_all_there_is_to_blame(model_set, readings):
    own = copy.copy(model_set)
    own.preprocessing = replace(model_set.preprocessing, limits={"pressure": (0.0, None)})
    broken = [*readings[:60]]
    broken[40] = Reading(broken[40].timestamp, {**broken[40].features, "pressure": -999.0})
    features = one(own, broken).results[40]["metadata"]["explanation"]["features"]
    shares = {feature["feature"]: feature["share"] for feature in features}
    assert shares.pop("pressure") == 1.0
    assert set(shares.values()) == {0.0}
    # with the impossible value set aside, the others are what they should be
    for feature in features[1:]:
        assert feature["expected"] == pytest.approx(feature["value"], rel=0.3)


def test_missing_feature_is_imputed_by_option_marked_and_costs_no_alarm(model_set, readings):
    own = copy.copy(model_set)
    pre = model_set.preprocessing  # that it stays missing alarms for another reason
    own.preprocessing = replace(pre, missing="impute", max_imputed=1, missing_runs=None)
    part = readings[:200]
    partial = [
        Reading(p.timestamp, {k: v for k, v in p.features.items() if k != "flow"}) for p in part
    ]
    partial[7] = Reading(part[7].timestamp, {"flow": part[7].features["flow"]})
    results = one(own, partial).results
    assert results[7]["error"]["code"] == "missing_features"
    others = [r for i, r in enumerate(results) if i != 7]
    assert all(r["metadata"]["imputed"] == ["flow"] for r in others)
    assert all(r["features"].keys() == readings[0].features.keys() - {"flow"} for r in others)
    assert np.mean([r["is_anomaly"] for r in others]) < 0.03
    whole = one(own, part).results
    assert not any("imputed" in r["metadata"] for r in whole)


def test_a_code_that_is_not_imputed_is_named_with_the_feature_that_lacks(model_set, readings):
    """ "flow missing" alone would puzzle whoever sent it."""
    own = copy.copy(model_set)
    own.preprocessing = replace(
        model_set.preprocessing, missing="refuse", missing_runs=None, nulls={"flow": (0.0,)}
    )
    sent = [*readings[:3]]
    sent[2] = Reading(sent[2].timestamp, {**sent[2].features, "flow": 0.0})
    error = one(own, sent).results[2]["error"]
    assert error["code"] == "missing_features"
    assert error["message"].endswith("missing: flow (sent, but no measurement: flow = 0)")


def test_imputed_is_what_the_other_features_lead_to_expect(model_set, plant):
    pre = replace(model_set.preprocessing, missing="impute", max_imputed=1)
    at = pre.names.index("flow")
    readings = [p.features for p in points(plant, 0, 0, 600)]
    true = [features["flow"] for features in readings]
    lacking = [pre.given({k: v for k, v in f.items() if k != "flow"}) for f in readings]
    found = pre.imputed(np.array(lacking), np.full(600, np.nan))
    error = np.std(found[:, at] - true)
    assert error < 0.7 * np.std(true), "the median would do as well"
