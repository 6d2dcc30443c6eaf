"""Format figures, times and incidents as text for people. Pure."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from db.incident_tables import STATES
from errors import InputError
from schemas import parse_timestamp

#: Labels of the contract's states, for the tabs.
STATE_WORDS: Final = {state: state.replace("-", ", ").capitalize() for state in STATES}
#: What each state means, for somebody who sees the tabs for the first time.
STATE_MEANINGS: Final = {
    "open-unacknowledged": "something is wrong now, and nobody has looked",
    "open-acknowledged": "something is wrong now, and somebody has taken note",
    "cleared-unacknowledged": "it is over, but nobody has looked",
    "cleared-acknowledged": "it is over, and somebody has looked: close it with what it was",
    "shelved": "put aside by somebody until a given time: no notifications until then",
    "suppressed": "the asset is under maintenance, or the machine is off",
    "closed": "somebody has recorded what it was; after a long time also closed by the system",
}
VERDICT_WORDS: Final = {
    "confirmed": "confirmed: it was a fault",
    "false_alarm": "false alarm",
    "expected": "expected, no fault",
    "unsure": "unsure",
}
DETECTOR_WORDS: Final = {
    "isolation_forest": "isolation forest",
    "one_class_svm": "one-class SVM",
    "lstm_autoencoder": "LSTM autoencoder",
}
#: What happened to an incident, where the log's own word would not be understood.
LOG_WORDS: Final = {"joined": "alarmed again"}
#: What suppresses an incident, by the first word of what is stored; a window's id follows it.
SUPPRESSION_WORDS: Final = {"maintenance": "a maintenance window", "off": "the machine is off"}
#: Labels of fields on the forms, where REST's name would not be understood.
FIELD_WORDS: Final = {
    "start": "From", "start_date": "From", "end": "To", "end_date": "To", "rrule": "Rule",
    "time_zone": "Time zone", "value": "Than the value", "hold_s": "For at least",
    "run_up_s": "While running up", "why": "Because",
}  # fmt: skip
#: Maximum features named in one line of the list.
NAMED: Final = 2
#: A further feature is named only from this share of the cause on.
NAMED_SHARE: Final = 0.1
#: Maximum relative error that rounding may cause in a difference.
DISTORTION: Final = 0.2


def figure(value: object, digits: int = 4) -> str:
    """Format a number with so many significant digits, without an exponent if readable."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return "–" if value is None else str(value)
    if value and not 1e-4 <= abs(value) < 1e7:
        return f"{value:.{digits - 1}e}"
    text = f"{float(f'{value:.{digits}g}'):f}".rstrip("0").rstrip(".")
    return text or "0"


def pair(actual: object, expected: object) -> tuple[str, str]:
    """Format two numbers with as few digits as show their difference."""
    if not (isinstance(actual, int | float) and isinstance(expected, int | float)):
        return figure(actual), figure(expected)
    apart, largest = actual - expected, max(abs(actual), abs(expected))
    if not 1e-4 <= largest < 1e7:
        return figure(actual), figure(expected)
    decimals = 0
    for digits in (2, 3, 4, 5, 6, 8):
        decimals = max(0, digits - 1 - math.floor(math.log10(largest)))
        shown = round(actual, decimals) - round(expected, decimals)
        if abs(shown - apart) <= DISTORTION * abs(apart):
            break
    return f"{actual:.{decimals}f}", f"{expected:.{decimals}f}"


def usual(peak: Mapping[str, Any]) -> str:
    """Return what expected values are called: what is usual at the peak's time, with a season."""
    seasons = peak.get("seasons") or ()
    if "week" in seasons:  # the time of the week includes that of the day
        return "usual at this time of the week"
    return "usual at this time of day" if "day" in seasons else "expected"


def what_is_wrong(incident: Mapping[str, Any]) -> str:
    """Describe an incident by its peak: "vibration_rms 2.3, expected 1.9"."""
    features = [one for one in incident["peak"].get("features", ()) if one.get("feature")]
    parts = []
    named = [one for at, one in enumerate(features) if not at or _share(one) >= NAMED_SHARE]
    for one in named[:NAMED]:
        name = one["feature"] + (f" per {one['per']}" if one.get("per") else "")
        again = f" in each of the last {one['repeated']} readings" if one.get("repeated") else ""
        if one.get("no_value_since"):
            parts.append(_no_value(name, one))
        elif one.get("expected") is None:
            parts.append(f"{name} {figure(one.get('actual'))}{again}")
        else:
            actual, expected = pair(one.get("actual"), one["expected"])
            parts.append(f"{name} {actual}{again}, {usual(incident['peak'])} {expected}")
    text = "; ".join(parts)
    if incident["kind"] == "sensor_fault" and not any(one.get("no_value_since") for one in named):
        return f"no possible measurement: {text}" if text else "no possible measurement"
    return text or f"score {figure(incident['peak'].get('score'), 3)}, no feature stands out"


def _no_value(name: str, feature: Mapping[str, Any]) -> str:
    """Describe a feature that stays without a value, or with what is none."""
    since = f"since {utc(feature['no_value_since'])}"
    if feature.get("actual") is None:
        return f"no value from {name} {since}"
    return f"{name} sends {feature['actual']:.10g}, which is no measurement, {since}"


def suppression(stored: str) -> str:
    """Describe what suppresses an incident: "a maintenance window"."""
    return SUPPRESSION_WORDS.get(stored.partition(" ")[0], stored)


def _share(feature: Mapping[str, Any]) -> float:
    share = feature.get("share")
    return 1.0 if share is None else float(share)


def drifted(name: str) -> str:
    """Name a column of the drift report: a feature, or a score as people call it."""
    score = name.removeprefix("score/")
    if score == name:
        return name
    return (
        "final score" if score == "final_score" else f"score of {DETECTOR_WORDS.get(score, score)}"
    )


def progress(step: Mapping[str, Any]) -> str:
    """Describe how far a training is: "group pump, LSTM autoencoder: 9 of 12"."""
    stage = str(step.get("stage") or "begun")
    for name, word in DETECTOR_WORDS.items():
        stage = stage.replace(name, word)
    text = f"group {step['group']}, {stage}" if step.get("group") else stage
    return f"{text}: {step.get('done')} of {step['total']}" if step.get("total") else text


def trained(result: Mapping[str, Any] | None) -> str:
    """Describe what a training made; detectors with the same message share it."""
    names_by_text: dict[str, list[str]] = {}
    for name, one in (result or {}).items():
        if isinstance(one, Mapping):
            text = str(one.get("message") or one.get("status"))
            names_by_text.setdefault(text, []).append(DETECTOR_WORDS.get(name, name))
    return "; ".join(f"{', '.join(names)}: {text}" for text, names in names_by_text.items()) or "–"


def when_off(condition: Mapping[str, Any]) -> str:
    """Describe an off condition: "machines of group PUMP, while current < 0.5 for 60 s"."""
    text = "machines of group {group}, while {feature} {operator} ".format(**condition)
    text += figure(condition["value"])
    if hold_s := condition["hold_s"]:
        text += f" for {ago(hold_s) if hold_s >= 2 else f'{figure(hold_s)} s'}"
    if condition["run_up_s"]:
        text += f", and {ago(condition['run_up_s'])} of run-up after it"
    return text


def mark(row: Mapping[str, Any]) -> str:
    """Return a digest of a row, to notice if it has changed since it was shown."""
    return hashlib.sha256(repr(sorted(row.items())).encode("utf-8", "replace")).hexdigest()[:32]


def stream(row: Mapping[str, Any]) -> str:
    """Name the stream of a row within its asset."""
    return " · ".join(filter(None, (row.get("sensor_id"), row.get("feature")))) or "no sensor named"


def ago(seconds: float | None) -> str:
    """Format a duration in its largest one or two units."""
    if seconds is None:
        return "never"
    whole = int(seconds)
    if whole < 120:
        return f"{whole} s"
    if whole < 7200:
        return f"{whole // 60} min"
    unit, size, smaller, part = "h", 3600, "min", 60
    if whole >= 172_800:
        unit, size, smaller, part = "d", 86_400, "h", 3600
    rest = whole % size // part
    return f"{whole // size} {unit}" + (f" {rest} {smaller}" if rest else "")


def utc(at: datetime | float | str | None) -> str:
    """Format a time in UTC, for browsers without JavaScript."""
    moment = as_time(at)
    return "–" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def iso(at: datetime | float | str | None) -> str:
    """Format a time for scripts."""
    moment = as_time(at)
    return "" if moment is None else moment.isoformat(timespec="milliseconds")


def utc_field(at: datetime | str | None) -> str:
    """Format a time for a form field; a script converts it to the user's time zone."""
    moment = as_time(at)
    return "" if moment is None else f"{moment:%Y-%m-%dT%H:%M:%S}"


def as_time(at: datetime | float | str | None) -> datetime | None:
    """Parse a time in any form of rows, JSON, queries or charts, as UTC; None for other text."""
    if at is None or at == "":
        return None
    if isinstance(at, int | float):
        return datetime.fromtimestamp(at, UTC)
    if isinstance(at, str):
        try:
            return parse_timestamp(at)
        except InputError:
            return None
    return at.astimezone(UTC)
