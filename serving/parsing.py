"""What callers send -> checked parts. One place, so that every call gives the same errors.

No pydantic on this path: a model of 24 features with a history of 30 readings costs it 0.6 ms,
the checks below 0.08 ms, with errors that name the item, the feature and the value.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from errors import InputError, TooLarge
from schemas import CRITICALITIES, check_features, check_name, parse_timestamp


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may hold (settings ``MAX_*``)."""

    items: int = 5000
    features: int = 1000
    history: int = 1000
    body_bytes: int = 32 * 2**20


@dataclass(slots=True)
class Item:
    """One reading as ``POST /detect`` takes it, checked."""

    asset_id: str
    sensor_id: str | None
    features: dict[str, float]
    timestamp: datetime | None
    criticality: str | None
    history: list[dict[str, float]] | None
    metadata: dict[str, Any]


@dataclass(slots=True)
class Reading:
    """A timestamp and its features."""

    timestamp: datetime
    features: dict[str, float]


@dataclass(slots=True)
class Stream:
    """One stream of ``POST /detect/streams``, checked; ``readings`` keep their places."""

    asset_id: str
    sensor_id: str | None
    feature: str | None
    criticality: str
    state: dict[str, Any] | None
    window: list[Reading]
    readings: list[Reading | InputError]


def parse_item(content: object, limits: Limits) -> Item:
    """Check one item of ``/detect`` or ``/detect/batch``.

    Raises
    ------
    InputError
        With the field at fault.
    """
    if type(content) is not dict:
        raise InputError("an item must be a JSON object", code="not_an_object")
    timestamp = content.get("timestamp")
    return Item(
        asset_id=check_name(content.get("asset_id"), "asset_id"),
        sensor_id=_optional_name(content.get("sensor_id"), "sensor_id"),
        features=check_features(content.get("features"), "features", limits.features),
        timestamp=None if timestamp is None else _time(timestamp, "timestamp"),
        criticality=_criticality(content.get("criticality")),
        history=_history(content.get("history"), limits),
        metadata=_metadata(content.get("metadata")),
    )


def parse_batch(content: object, limits: Limits) -> list[Item | InputError]:
    """Check the list of ``/detect/batch``; a bad item leaves its error in its place.

    Raises
    ------
    InputError
        The body is not a list, or longer than allowed.
    """
    if not isinstance(content, list):
        raise InputError("the body must be a JSON list of items", code="not_a_list")
    if len(content) > limits.items:
        raise TooLarge(
            f"{len(content)} items, at most {limits.items} (MAX_BATCH_ITEMS)", code="too_many_items"
        )
    found: list[Item | InputError] = []
    for place, entry in enumerate(content):
        try:
            found.append(parse_item(entry, limits))
        except InputError as error:
            error.field = f"[{place}].{error.field}" if error.field else f"[{place}]"
            found.append(error)
    return found


def parse_streams(content: object, limits: Limits) -> tuple[list[Stream], bool]:
    """Check the body of ``/detect/streams``; returns the streams and ``echo``.

    Raises
    ------
    InputError
        The envelope is wrong; a bad reading only leaves its error in its place.
    """
    if not isinstance(content, dict) or not isinstance(content.get("streams"), list):
        raise InputError("the body must be an object with a list 'streams'", field="streams")
    echo = content.get("echo", True)
    if not isinstance(echo, bool):
        raise InputError("echo: must be true or false", field="echo")
    streams = [
        _stream(entry, f"streams[{place}]", limits)
        for place, entry in enumerate(content["streams"])
    ]
    total = sum(len(stream.readings) for stream in streams)
    if total > limits.items:
        raise TooLarge(
            f"{total} readings, at most {limits.items} (MAX_BATCH_ITEMS)", code="too_many_items"
        )
    return streams, echo


def _stream(content: object, where: str, limits: Limits) -> Stream:
    if not isinstance(content, dict):
        raise InputError(f"{where}: must be an object", field=where)
    state = content.get("state")
    if state is not None and not isinstance(state, dict):
        raise InputError(f"{where}.state: must be an object or null", field=f"{where}.state")
    window = _readings(content.get("window"), f"{where}.window", limits, limits.history)
    bad = next((reading for reading in window if isinstance(reading, InputError)), None)
    if bad is not None:
        raise bad
    return Stream(
        asset_id=check_name(content.get("asset_id"), f"{where}.asset_id"),
        sensor_id=_optional_name(content.get("sensor_id"), f"{where}.sensor_id"),
        feature=_optional_name(content.get("feature"), f"{where}.feature"),
        criticality=_criticality(content.get("criticality"), f"{where}.criticality") or "medium",
        state=state,
        window=[reading for reading in window if isinstance(reading, Reading)],
        readings=_readings(content.get("readings"), f"{where}.readings", limits, limits.items),
    )


def _readings(content: object, where: str, limits: Limits, most: int) -> list[Reading | InputError]:
    """Readings in either form: ``{"names", "rows"}`` or a list of objects."""
    if content is None:
        return []
    names: list[str] | None = None
    rows: object = content
    if isinstance(content, dict):
        names, rows = _names(content.get("names"), where), content.get("rows")
    if not isinstance(rows, list):
        raise InputError(f"{where}: must be a list, or names and rows", field=where)
    if len(rows) > most:
        raise TooLarge(f"{where}: {len(rows)} readings, at most {most}", field=where)
    found: list[Reading | InputError] = []
    for place, row in enumerate(rows):
        try:
            found.append(_reading(row, names, f"{where}[{place}]", limits))
        except InputError as error:
            found.append(error)
    return found


def _reading(row: object, names: list[str] | None, where: str, limits: Limits) -> Reading:
    if names is None:
        if not isinstance(row, dict):
            raise InputError(f"{where}: must be an object", field=where)
        time, features = row.get("timestamp"), row.get("features")
    else:
        if not isinstance(row, list) or len(row) != len(names) + 1:
            raise InputError(f"{where}: must be a time and {len(names)} values", field=where)
        # null stands for a feature that this reading does not have
        time, features = row[0], dict(zip(names, row[1:], strict=True))
        if None in row:
            features = {name: value for name, value in features.items() if value is not None}
    checked = check_features(features, f"{where}.features", limits.features)
    return Reading(_time(time, f"{where}.timestamp"), checked)


def _names(content: object, where: str) -> list[str]:
    if not isinstance(content, list):
        raise InputError(f"{where}.names: must be a list", field=f"{where}.names")
    names = [check_name(name, f"{where}.names") for name in content]
    if len(set(names)) != len(names):
        raise InputError(f"{where}.names: a name occurs twice", field=f"{where}.names")
    return names


def _optional_name(value: object, field: str) -> str | None:
    return None if value is None else check_name(value, field)


def _time(value: object, field: str) -> datetime:
    if not isinstance(value, str):
        raise InputError(
            f"{field}: {value!r:.80} is not an ISO 8601 time", code="bad_timestamp", field=field
        )
    return parse_timestamp(value, field)


def _criticality(value: object, field: str = "criticality") -> str | None:
    if value is None:
        return None
    if value not in CRITICALITIES or not isinstance(value, str):
        raise InputError(
            f"{field}: {value!r:.80} is none of {', '.join(CRITICALITIES)}",
            code="bad_criticality",
            field=field,
        )
    return value


def _history(content: object, limits: Limits) -> list[dict[str, float]] | None:
    if content is None:
        return None
    if not isinstance(content, list):
        raise InputError("history: must be a list of objects", code="bad_history", field="history")
    if len(content) > limits.history:
        raise TooLarge(
            f"history: {len(content)} readings, at most {limits.history} (MAX_HISTORY)",
            code="history_too_long",
            field="history",
        )
    if len(content) > 2 and _alike(content):
        check_features(content[0], "history[0]", limits.features)
        return content
    return [
        check_features(entry, f"history[{place}]", limits.features)
        for place, entry in enumerate(content)
    ]


def _alike(content: list[Any]) -> bool:
    """Whether all are objects of the same names and of finite floats only: the common case, seen
    at once in half the time of one look at each."""
    if set(map(type, content)) != {dict}:
        return False
    names = list(map(tuple, content))
    if names.count(names[0]) != len(names):
        return False
    values = [value for entry in content for value in entry.values()]
    return set(map(type, values)) == {float} and math.isfinite(sum(values))


def _metadata(content: object) -> dict[str, Any]:
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise InputError("metadata: must be an object", code="bad_metadata", field="metadata")
    if not content:
        return content
    try:
        # wrapped as deep as it will lie in an answer
        text = orjson.dumps([[[[content]]]])
    except orjson.JSONEncodeError:
        raise InputError(
            "metadata: nested too deep", code="bad_metadata", field="metadata"
        ) from None
    # PostgreSQL's jsonb cannot hold NUL; the quick test also matches an escaped backslash
    if b"\\u0000" in text and _has_nul(content):
        raise InputError("metadata: holds a NUL", code="bad_metadata", field="metadata")
    return content


def _has_nul(content: object) -> bool:
    if isinstance(content, str):
        return "\x00" in content
    if isinstance(content, dict):
        return any(_has_nul(part) for pair in content.items() for part in pair)
    return isinstance(content, Sequence) and any(_has_nul(part) for part in content)
