"""What a training says about held-out alarms."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from rich.console import Console

from models.registry.bento_store import Imported
from tests.fixtures.settings import given
from training.evaluation.alarms_of_faults import AlarmsOfFaults
from training.fitting.power import Power
from training.publishing.publish import Published
from training.reports.fit_report import (
    print_power,
    print_published,
    print_versions,
    verdict,
    watched,
)


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


@pytest.mark.parametrize(
    ("conditions", "blind", "told"),
    [(object(), 2, True), (object(), 1, False), (None, 2, False)],
)
def test_a_machine_that_switches_and_is_hardly_watched_may_be_off_at_times(
    conditions: object, blind: int, told: bool
) -> None:
    names = ("current", "flow", "vibration")
    shares = {name: {"step 6 sd": [float(at >= blind)]} for at, name in enumerate(names)}
    group = SimpleNamespace(
        name="pumps", power=Power(shares=shares),
        model_set=SimpleNamespace(preprocessing=SimpleNamespace(conditions=conditions)),
    )  # fmt: skip
    console = Console(record=True, width=500)
    print_power(console, cast("Any", [group]))
    assert ("--schedules FILE with an off condition" in console.export_text()) is told


def published(alias: str, **settings: Any) -> str:
    done = Published(
        "2", "run", alias, "why", None, Imported("anomaly-bundle:v2", Path("/b"), True)
    )
    console = Console(record=True, width=500)
    print_published(console, given(var_dir=Path("/plant/var"), **settings), "abc", done)
    return console.export_text()


def test_a_fit_says_where_its_bundle_is_and_how_to_serve_it() -> None:
    text = published("champion")
    assert "stored in /plant/var/mlflow" in text
    assert "imported into the Bento store as anomaly-bundle:v2 (/b)" in text
    assert "to serve it: VAR_DIR=/plant/var bentoml serve\n" in text
    assert "MLFLOW_ENABLED=false bentoml serve" in published("champion", mlflow_enabled=False)


def test_a_challenger_is_served_once_it_is_promoted_or_in_a_folder_of_its_own() -> None:
    text = published("challenger")
    assert "VAR_DIR=/plant/var python -m training.promote --version 2 --force, then VAR_DIR" in text
    assert "repeat the fit with VAR_DIR=/plant/var/NAME and serve with the same" in text


def test_a_bundle_is_served_under_the_name_that_it_was_registered_by() -> None:
    """The champion of a name is one for all that use the same MLflow, whatever their folders."""
    text = published("champion", mlflow_experiment_name="press line")
    assert "VAR_DIR=/plant/var MLFLOW_EXPERIMENT_NAME='press line' bentoml serve\n" in text
    text = published("challenger", mlflow_tracking_uri="http://mlflow:5000")
    assert "VAR_DIR=/plant/var/NAME MLFLOW_EXPERIMENT_NAME=NAME and serve with the same" in text


def test_the_versions_are_listed_with_the_zone_of_their_times() -> None:
    console = Console(width=120, record=True)
    about: dict[str, Any] = {"version": "3", "aliases": ["champion"], "tags": {}, "run_id": None}
    print_versions(console, [about | {"created_at": "2026-03-29T02:30:00+01:00"}])
    assert "2026-03-29 01:30:00 UTC" in console.export_text()
