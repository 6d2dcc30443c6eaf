"""Parse the body of ``POST /detect/streams``, in either form of readings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from msgspec import Meta, Struct

from config import Settings
from errors import InputError, TooLarge
from models.scoring.stream_work import Reading, StreamWork
from schemas import Criticality, check_features, check_name, parse_timestamp
from serving.requests.detect import check_count
from serving.requests.suppression_bodies import (
    Conditions,
    Windows,
    off_conditions,
    windows,
)
from serving.requests.wire import (
    AssetId,
    Features,
    Instant,
    Name,
    check_unique,
    convert,
    read_json,
    with_position,
)

_TIME = "2026-01-01T00:00:00+00:00"


class ReadingBody(Struct):
    """A reading of a stream."""

    timestamp: Instant
    features: Features


class Table(Struct):
    """Readings as a table: per row a time, then one value per name (null: not measured)."""

    names: Annotated[list[Name], Meta(examples=[["rms"]])]
    # rows are checked one by one, so that an invalid row does not affect the others
    rows: Annotated[
        list[Any],
        Meta(
            examples=[[[_TIME, 1.2]]],
            extra_json_schema={
                "items": {"type": "array", "items": {"type": ["string", "number", "null"]}}
            },
        ),
    ]


#: Both forms; in the second, too, an invalid reading does not affect the others.
Readings = (
    Table
    | Annotated[
        list[Any],
        Meta(extra_json_schema={"items": {"$ref": "#/components/schemas/ReadingBody"}}),
    ]
)


class StreamBody(Struct):
    """One stream: its state, window and readings to score."""

    asset_id: AssetId
    readings: Readings | None = None
    sensor_id: Name | None = None
    feature: Name | None = None
    criticality: Criticality | None = None
    state: dict[str, Any] | None = None
    window: Readings | None = None
    arrived: Annotated[
        list[Instant | None] | None, Meta(description="when each reading reached Kafka")
    ] = None
    reset: Annotated[
        Annotated[int, Meta(ge=0, lt=2**53)] | None,
        Meta(description="id of the newest requested reset"),
    ] = None
    false_alarms: Annotated[
        Annotated[int, Meta(ge=0, lt=2**53)] | None,
        Meta(description="reported false alarms of its asset: they raise the incident threshold"),
    ] = None
    closed_events: Annotated[
        Annotated[list[Name], Meta(max_length=1000)] | None,
        Meta(description="persistent events whose incidents people closed: accept their level"),
    ] = None


class Streams(Struct):
    """The body of ``/detect/streams``."""

    streams: list[StreamBody]
    echo: Annotated[bool, Meta(description="false: results omit the fields that were sent")] = True
    renew: Annotated[bool, Meta(description="restart a stream if its state is unreadable")] = False
    now: Instant | None = None
    maintenance_windows: Windows | None = None
    off_conditions: Conditions | None = None


@dataclass(slots=True)
class Stream:
    """One validated stream of ``POST /detect/streams``.

    Parameters
    ----------
    work : StreamWork
        The work, with the valid readings.
    readings : list of Reading or InputError
        All readings; an invalid one is replaced by its error.
    """

    work: StreamWork
    readings: list[Reading | InputError]


def parse_streams(body: bytes, settings: Settings) -> tuple[list[Stream], bool]:
    """Parse the body of ``/detect/streams``; return the streams and ``echo``.

    Raises
    ------
    InputError
        The body's structure is invalid; an invalid reading only becomes an error in its place.
    """
    # orjson turns a state's integers beyond 64 bits into floats, and decodes rows faster
    content = convert(Streams, read_json(body), nul=True)
    streams = [
        _stream(one, f"streams[{index}]", settings, content)
        for index, one in enumerate(content.streams)
    ]
    planned = tuple(w for w in windows(content.maintenance_windows or ()) if w.alarms)
    conditions = off_conditions(content.off_conditions or ())
    for stream in streams:
        stream.work.maintenance, stream.work.off_conditions = planned, conditions
    check_count(sum(len(stream.readings) for stream in streams), "readings", settings)
    return streams, content.echo


def _stream(one: StreamBody, where: str, settings: Settings, content: Streams) -> Stream:
    for name in ("asset_id", "sensor_id", "feature"):
        if (value := getattr(one, name)) is not None:
            check_name(value, f"{where}.{name}")
    window = []
    for reading in _readings(one.window, f"{where}.window", settings, settings.max_history):
        if isinstance(reading, InputError):
            raise reading
        window.append(reading)
    readings = _readings(one.readings, f"{where}.readings", settings, settings.max_batch_items)
    if one.arrived is not None and len(one.arrived) != len(readings):
        field = f"{where}.arrived"
        raise InputError(f"{field}: must be a list of {len(readings)} times", field=field)
    arrived = zip(one.arrived or (), readings, strict=False)
    work = StreamWork(
        asset_id=one.asset_id,
        sensor_id=one.sensor_id,
        feature=one.feature,
        criticality=one.criticality or "medium",
        state=one.state,
        window=window,
        readings=[reading for reading in readings if isinstance(reading, Reading)],
        arrived=[at for at, reading in arrived if isinstance(reading, Reading)],
        now=content.now,
        renew=content.renew,
        reset=one.reset or 0,
        false_alarms=one.false_alarms or 0,
        closed_events=one.closed_events or (),
    )
    return Stream(work, readings)


def _readings(
    content: Readings | None, where: str, settings: Settings, limit: int
) -> list[Reading | InputError]:
    """Validate readings in either form."""
    if content is None:
        return []
    names = _names(content.names, where) if isinstance(content, Table) else None
    rows = content.rows if isinstance(content, Table) else content
    if len(rows) > limit:
        raise TooLarge(f"{where}: {len(rows)} readings, at most {limit} are allowed", field=where)
    found: list[Reading | InputError] = []
    for index, row in enumerate(rows):
        try:
            found.append(_reading(row, names, settings))
        except InputError as error:
            found.append(with_position(error, f"{where}[{index}]"))
    return found


def _reading(row: Any, names: list[str] | None, settings: Settings) -> Reading:
    if names is None:
        one = convert(ReadingBody, row, nul=True)
        features = check_features(one.features, "features", settings.max_features)
        return Reading(one.timestamp, features)
    if not isinstance(row, list) or len(row) != len(names) + 1:
        raise InputError(f"must be a time and {len(names)} values")
    features = dict(zip(names, row[1:], strict=True))
    if None in row:  # the reading lacks some features
        features = {name: value for name, value in features.items() if value is not None}
    features = check_features(features, "features", settings.max_features)
    return Reading(parse_timestamp(row[0]), features)


def _names(names: list[str], where: str) -> list[str]:
    for name in names:
        check_name(name, f"{where}.names")
    check_unique(names, f"{where}.names")
    return names
