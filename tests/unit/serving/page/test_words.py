"""What the page says, in words."""

from __future__ import annotations

from typing import Any

import pytest

from serving.page.words import (
    ago,
    as_time,
    drifted,
    figure,
    pair,
    progress,
    stream,
    trained,
    usual,
    utc,
    utc_field,
    what_is_wrong,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2.3, "2.3"), (1234567.0, "1235000"), (0, "0"), (-0.012345, "-0.01235"), (None, "–"),
        (1.7e308, "1.700e+308"), (1e-9, "1.000e-09"), (float("nan"), "nan"), (True, "True"),
    ],
)  # fmt: skip
def test_a_figure_has_four_digits_and_no_needless_zero(value: object, text: str) -> None:
    assert figure(value) == text


def test_a_pair_is_as_short_as_tells_it_apart() -> None:
    assert pair(2.31, 1.94) == ("2.3", "1.9")
    assert pair(65.501, 65.499) == ("65.501", "65.499")
    assert pair(2.0, 2.48) == ("2.0", "2.5")
    assert pair(1.0, 1.0) == ("1.0", "1.0")
    assert pair(1e300, None) == ("1.000e+300", "–")


def incident(features: list[dict[str, Any]], kind: str = "anomaly") -> dict[str, Any]:
    return {"kind": kind, "peak": {"features": features, "score": 0.83}}


def test_what_is_wrong_names_two_features_with_what_was_expected() -> None:
    one = {"feature": "vibration_rms", "actual": 2.31, "expected": 1.94}
    rest = [{"feature": name, "actual": 1, "expected": 2} for name in "xyz"]
    assert what_is_wrong(incident([one])) == "vibration_rms 2.3, expected 1.9"
    assert what_is_wrong(incident([one, *rest])).count(";") == 1
    hardly = [{**other, "share": 0.09} for other in rest]
    assert ";" not in what_is_wrong(incident([one, *hardly]))
    counted = {"feature": "energy", "actual": 0.0, "expected": 51.2, "per": "hour"}
    assert what_is_wrong(incident([counted])) == "energy per hour 0, expected 51"
    stuck = {"feature": "heat", "actual": 61.5, "expected": 62.25, "repeated": 12}
    words = "heat 61.5 in each of the last 12 readings, expected 62.2"
    assert what_is_wrong(incident([stuck])) == words
    assert what_is_wrong(incident([])) == "score 0.83, no feature stands out"
    unknown = {"feature": "x", "actual": 3.0, "expected": None}
    assert what_is_wrong(incident([unknown])) == "x 3"
    assert what_is_wrong(incident([unknown], "sensor_fault")) == "no possible measurement: x 3"
    silent = {"feature": "flow", "actual": None, "expected": 9.0,
              "no_value_since": "2026-11-30T12:00:00+00:00"}  # fmt: skip
    words = "no value from flow since 2026-11-30 12:00:00 UTC"
    assert what_is_wrong(incident([silent], "sensor_fault")) == words
    words = "flow sends 65535, which is no measurement, since 2026-11-30 12:00:00 UTC"
    assert what_is_wrong(incident([{**silent, "actual": 65535.0}], "sensor_fault")) == words


@pytest.mark.parametrize(
    ("seasons", "words"),
    [
        ([], "expected"), (["day"], "usual at this time of day"),
        (["day", "week"], "usual at this time of the week"), (["3600 s"], "expected"),
    ],
)  # fmt: skip
def test_with_a_season_values_are_called_usual_at_their_time(
    seasons: list[str], words: str
) -> None:
    shown = incident([{"feature": "rms", "actual": 2.31, "expected": 1.94}])
    shown["peak"]["seasons"] = seasons
    assert usual(shown["peak"]) == words
    assert what_is_wrong(shown) == f"rms 2.3, {words} 1.9"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "never"), (0.4, "0 s"), (119, "119 s"), (180, "3 min"), (7200, "2 h"),
        (7260, "2 h 1 min"), (172_800, "2 d"), (180_000, "2 d 2 h"),
    ],
)  # fmt: skip
def test_spans_are_said_in_their_largest_units(seconds: float | None, text: str) -> None:
    assert ago(seconds) == text


def test_times_are_said_in_utc_and_text_that_is_none_is_no_time() -> None:
    assert utc("2026-01-02T03:04:05+02:00") == "2026-01-02 01:04:05 UTC"
    assert utc(None) == "–"
    assert as_time("tomorrow") is None
    assert as_time(0) == as_time("1970-01-01T00:00:00Z")
    assert utc_field("2026-01-02T03:04:05Z") == "2026-01-02T03:04:05"


def test_a_training_is_told_in_words() -> None:
    step = {"group": "pump", "stage": "all readings: lstm_autoencoder", "done": 4, "total": 12,
            "figures": {"val_loss": 0.347}}  # fmt: skip
    assert progress(step) == "group pump, all readings: LSTM autoencoder: 4 of 12"
    assert progress({"group": None, "stage": "reading", "done": 0, "total": 0}) == "reading"
    made = {"message": "version 2: promoted", "status": "success"}
    result = {
        "isolation_forest": made,
        "one_class_svm": made,
        "lstm_autoencoder": {"status": "error"},
    }
    assert trained(result) == (
        "isolation forest, one-class SVM: version 2: promoted; LSTM autoencoder: error"
    )
    assert trained(None) == "–"


def test_what_drifts_is_named_as_people_call_it() -> None:
    assert drifted("score/one_class_svm") == "score of one-class SVM"
    assert drifted("score/final_score") == "final score"
    assert drifted("vibration_rms") == "vibration_rms"


def test_a_stream_has_a_name_whatever_is_absent() -> None:
    assert stream({"sensor_id": "S1", "feature": "rms"}) == "S1 · rms"
    assert stream({"sensor_id": None, "feature": None}) == "no sensor named"
