"""From magnitudes to the result: who decides, and what the result states."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from errors import InputError
from models.detectors.base import LSTM_AUTOENCODER
from models.scoring.decision import error_entry
from models.scoring.features.seasonality import Season, Seasonality
from models.scoring.magnitudes.tail import criticality_of
from models.scoring.policy import ScoringPolicy
from tests.unit.ensemble_scoring import one


def test_an_error_stands_where_a_result_would_and_touches_no_window():
    entry = error_entry(InputError("features.rms: is missing", field="features.rms"))
    assert entry["error"]["field"] == "features.rms"
    assert entry["metadata"] == {"window": "left_out"}


def test_a_vote_is_missing_where_its_window_is_not_full(model_set, readings):
    results = one(model_set, readings[: model_set.window]).results
    for result in results[:-1]:
        assert LSTM_AUTOENCODER not in {vote["model_name"] for vote in result["scores"]}
        assert result["metadata"]["insufficient_history"] is True
    assert {vote["model_name"] for vote in results[-1]["scores"]} == set(model_set.names)
    assert "insufficient_history" not in results[-1]["metadata"]


def test_the_score_decides_at_the_threshold_of_the_assets_criticality(model_set, readings):
    policy = ScoringPolicy()
    for criticality in ("critical", "low"):
        for result in one(model_set, readings[650:720], policy, criticality=criticality).results:
            assert result["threshold"] == policy.threshold(criticality)
            assert result["is_anomaly"] == (result["final_score"] >= result["threshold"])
            assert result["criticality"] == criticality_of(result["final_score"])
            assert result["metadata"]["asset_criticality"] == criticality


def test_only_an_anomaly_is_explained(model_set, readings):
    results = one(model_set, readings[600:760]).results
    alarms = [result["is_anomaly"] for result in results]
    assert any(alarms)
    assert not all(alarms)
    assert ["explanation" in result["metadata"] for result in results] == alarms


def test_an_explanation_names_the_seasons(model_set, readings):
    pre = model_set.preprocessing
    level = np.zeros((8, len(pre.names)))
    for periods, names in (((86_400.0,), ["day"]), ((86_400.0, 604_800.0), ["day", "week"])):
        seasonality = Seasonality(tuple(Season(period, level) for period in periods))
        seasonal = replace(model_set, preprocessing=replace(pre, seasonality=seasonality))
        results = one(seasonal, readings[600:760]).results
        found = [r["metadata"]["explanation"] for r in results if r["is_anomaly"]]
        assert found
        assert all(explanation["seasons"] == names for explanation in found)
    results = one(model_set, readings[600:760]).results
    assert not any("seasons" in r["metadata"].get("explanation", {}) for r in results)


@pytest.mark.parametrize("adaptation", [True, False])
def test_a_model_set_without_adaptation_and_a_policy_without_it_judge_alike(
    model_set, readings, adaptation
):
    still = replace(model_set, adaptation=replace(model_set.adaptation, rate=0.0))
    policy = ScoringPolicy(adaptation=adaptation, persistent_after=0)
    found = one(still, readings[:60], policy).results
    switched_off = one(model_set, readings[:60], replace(policy, adaptation=False)).results
    assert [r["final_score"] for r in found] == [r["final_score"] for r in switched_off]
