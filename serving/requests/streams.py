"""Check the streams of ``POST /detect/streams``, in either form of their readings."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from errors import InputError, TooLarge
from models.scoring.suppression import MaintenanceWindow, OffCondition
from schemas import check_features, check_name
from serving.requests.detect import Limits, check_criticality, check_optional_name, check_time
from serving.requests.suppression_bodies import parse_off_conditions, parse_windows


@dataclass(slots=True)
class StreamReading:
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
    window: list[StreamReading]
    readings: list[StreamReading | InputError]
    arrived: list[datetime | None]
    now: datetime | None
    renew: bool
    false_alarms: int = 0
    reset: int = 0
    maintenance: tuple[MaintenanceWindow, ...] = ()
    off_conditions: tuple[OffCondition, ...] = ()


def parse_streams(content: object, limits: Limits) -> tuple[list[Stream], bool]:
    """Check the body of ``/detect/streams``; return the streams and ``echo``.

    Raises
    ------
    InputError
        The envelope is wrong; a bad reading only leaves its error in its place.
    """
    if not isinstance(content, dict) or not isinstance(content.get("streams"), list):
        raise InputError("the body must be an object with a list 'streams'", field="streams")
    echo, renew = _flag(content, "echo", True), _flag(content, "renew", False)
    now = check_time(content["now"], "now") if content.get("now") is not None else None
    streams = [
        _stream(entry, f"streams[{place}]", limits, now, renew)
        for place, entry in enumerate(content["streams"])
    ]
    windows = tuple(w for w in parse_windows(content.get("maintenance_windows")) if w.alarms)
    conditions = parse_off_conditions(content.get("off_conditions"))
    for stream in streams:
        stream.maintenance, stream.off_conditions = windows, conditions
    total = sum(len(stream.readings) for stream in streams)
    if total > limits.items:
        raise TooLarge(
            f"{total} readings, at most {limits.items} (MAX_BATCH_ITEMS)", code="too_many_items"
        )
    return streams, echo


def _flag(content: dict[str, Any], name: str, usual: bool) -> bool:
    value = content.get(name, usual)
    if not isinstance(value, bool):
        raise InputError(f"{name}: must be true or false", field=name)
    return value


def _stream(
    content: object, where: str, limits: Limits, now: datetime | None, renew: bool
) -> Stream:
    if not isinstance(content, dict):
        raise InputError(f"{where}: must be an object", field=where)
    state = content.get("state")
    if state is not None and not isinstance(state, dict):
        raise InputError(f"{where}.state: must be an object or null", field=f"{where}.state")
    window = _readings(content.get("window"), f"{where}.window", limits, limits.history)
    bad = next((reading for reading in window if isinstance(reading, InputError)), None)
    if bad is not None:
        raise bad
    readings = _readings(content.get("readings"), f"{where}.readings", limits, limits.items)
    return Stream(
        asset_id=check_name(content.get("asset_id"), f"{where}.asset_id"),
        sensor_id=check_optional_name(content.get("sensor_id"), f"{where}.sensor_id"),
        feature=check_optional_name(content.get("feature"), f"{where}.feature"),
        criticality=check_criticality(content.get("criticality"), f"{where}.criticality")
        or "medium",
        state=state,
        window=[reading for reading in window if isinstance(reading, StreamReading)],
        readings=readings,
        arrived=_arrived(content.get("arrived"), f"{where}.arrived", len(readings)),
        now=now,
        renew=renew,
        reset=_count(content.get("reset"), f"{where}.reset", "number of a reset"),
        false_alarms=_count(content.get("false_alarms"), f"{where}.false_alarms", "count"),
    )


def _count(value: object, where: str, what: str) -> int:
    """Check a number of the newest reset, or of false alarms; 0 where there is none."""
    if value is None:
        return 0
    if type(value) is not int or not 0 <= value < 2**53:
        raise InputError(f"{where}: {value!r:.40} is not the {what}", field=where)
    return value


def _arrived(content: object, where: str, count: int) -> list[datetime | None]:
    """Read when each reading reached Kafka; empty where that is not known."""
    if content is None:
        return []
    if not isinstance(content, list) or len(content) != count:
        raise InputError(f"{where}: must be a list of {count} times, as readings", field=where)
    return [
        None if time is None else check_time(time, f"{where}[{place}]")
        for place, time in enumerate(content)
    ]


def _readings(
    content: object, where: str, limits: Limits, most: int
) -> list[StreamReading | InputError]:
    """Check readings in either form: ``{"names", "rows"}`` or a list of objects."""
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
    found: list[StreamReading | InputError] = []
    for place, row in enumerate(rows):
        try:
            found.append(_reading(row, names, f"{where}[{place}]", limits))
        except InputError as error:
            found.append(error)
    return found


def _reading(row: object, names: list[str] | None, where: str, limits: Limits) -> StreamReading:
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
    return StreamReading(check_time(time, f"{where}.timestamp"), checked)


def _names(content: object, where: str) -> list[str]:
    if not isinstance(content, list):
        raise InputError(f"{where}.names: must be a list", field=f"{where}.names")
    names = [check_name(name, f"{where}.names") for name in content]
    if len(set(names)) != len(names):
        raise InputError(f"{where}.names: a name occurs twice", field=f"{where}.names")
    return names
