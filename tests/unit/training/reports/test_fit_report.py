"""What a training says about held-out alarms."""

from __future__ import annotations

from dataclasses import replace

import pytest

from training.evaluation.alarms_of_faults import AlarmsOfFaults
from training.fitting.power import Power
from training.reports.fit_report import verdict, watched


@pytest.mark.parametrize(
    ("readings", "rate", "low", "high", "sentence"),
    [
        (784, 0.002, 0.0, 0.005, "too few readings to judge, the budget allows 0.78 alarms in 784"),
        (784, 0.14, 0.08, 0.2, "more than chance explains"),
        (50_000, 0.0011, 0.0007, 0.0016, "as allowed"),
        (50_000, 0.0002, 0.0001, 0.0004, "less than allowed"),
    ],
)
def test_the_verdict_knows_what_the_sample_can_tell(
    readings: int, rate: float, low: float, high: float, sentence: str
) -> None:
    alarms = {"readings": float(readings), "rate": rate, "low": low, "high": high}
    assert sentence in verdict(alarms, 1e-3)
    assert "against a budget of 1" in verdict(alarms, 1e-3)


def test_alarms_that_outlast_their_faults_are_no_lack_of_training() -> None:
    alarms = {"readings": 1500.0, "rate": 0.013, "low": 0.0013, "high": 0.03}
    fading = AlarmsOfFaults(within=300, after=16, elsewhere=4, readings=1500)
    text = verdict(alarms, 1e-3, fading)
    assert "of 320 alarms 300 lie within the labelled faults, 16 follow one" in text
    assert "4 lie elsewhere (2.667 per 1,000): most only outlast a fault" in text
    assert "more than chance" in verdict(alarms, 1e-3, replace(fading, after=0, elsewhere=20))


def test_a_set_of_one_feature_is_described_in_a_sentence_too() -> None:
    seen = Power(shares={"temp": {"step 6 sd": [1.0]}})
    assert watched("default", seen) == "default: every feature is watched"


def test_what_only_the_twin_watches_is_named_with_its_cause() -> None:
    shares = {name: {"step 6 sd": [1.0]} for name in ("temp", "press", "flow")}
    power = Power(shares=shares, lost={"temp": "why", "press": "why"})
    assert watched("default", power) == (
        "default: temp, press: NOT watched by the model that serves, since it was fitted on the"
        " newest readings too (why)"
    )
