"""Convert Kafka records to readings, and build the headers of dead letters.

Every record becomes a :class:`Reading` or a :class:`Rejection`; nothing raises. The reasons are
stable codes (`REASONS`; of these ``unreadable`` means that Kafka's bytes are damaged). The service
adds its own (``missing_features``, ``no_group``, ...), and later steps add ``duplicate`` and
``unprocessable``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

from consumers.records.decoding import decode
from consumers.records.framing import ForeignFramingError, of_document
from errors import InputError
from schemas import StreamKey, check_features, check_name, parse_timestamp, present, stream_key

Headers = Sequence[tuple[str, bytes | None]]

REASONS: Final = (
    "unreadable", "null_body", "not_json", "not_object", "duplicate_key", "nul_character",
    "too_deep", "unknown_shape", "missing_asset", "bad_name", "bad_features", "bad_value",
    "bad_timestamp", "future_timestamp",
)  # fmt: skip

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Record times within 1970 are invalid: 0 or -1 (never set), or seconds instead of milliseconds.
_FIRST_YEAR_MS = 365 * 86_400_000


class Record(Protocol):
    """The used part of kafka-python's ``ConsumerRecord``; key and value are bytes or None."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    unreadable: str | None


@dataclass(slots=True)
class Reading:
    """One feature vector as received.

    Parameters
    ----------
    feature : str or None
        Set for the single-feature shape.
    local : bool
        Its time had no offset.
    """

    asset_id: str
    sensor_id: str | None
    feature: str | None
    timestamp: datetime
    features: dict[str, float]
    metadata: dict[str, Any] = field(default_factory=dict)
    local: bool = False

    @property
    def stream(self) -> StreamKey:
        """The stream's key within its partition."""
        return stream_key(self.asset_id, self.sensor_id, self.feature)


@dataclass(slots=True)
class Rejection:
    """The reason why a record is a dead letter, and its asset if that could be read."""

    reason: str
    message: str
    asset_id: str | None = None
    sensor_id: str | None = None
    original_id: Any = None
    framing: str | None = None  # the foreign format of the record, if recognised


def kafka_time(record: Record) -> datetime | None:
    """Return the record's own timestamp, aware UTC, or None if it has no plausible one."""
    if record.timestamp is None or record.timestamp < _FIRST_YEAR_MS:
        return None
    try:
        return _EPOCH + timedelta(milliseconds=record.timestamp)
    except OverflowError:
        return None


def parse(record: Record, future_seconds: float, max_features: int = 1000) -> Reading | Rejection:
    """Parse and validate one record of either shape.

    Parameters
    ----------
    future_seconds : float
        How far a reading's time may be after the record's, and after the present.
    max_features : int
        Maximum number of features in one reading.
    """
    document: Any = None
    if record.unreadable is not None:
        return Rejection("unreadable", record.unreadable[:2000])
    try:
        document = decode(record.value)
        reading = _reading(document, record, max_features)
        known, now = kafka_time(record), present()
        # the record's clock may be as wrong as the reading's, so now is a limit too
        limit, whose = (known, "the record's") if known and known < now else (now, "now,")
        if (reading.timestamp - limit).total_seconds() > future_seconds:
            raise InputError(
                f"timestamp: {reading.timestamp.isoformat()} is more than "
                f"{future_seconds:g} s after {whose} {limit.isoformat()}",
                code="future_timestamp",
            )
        return reading
    except InputError as error:
        asset, sensor = _who(document)
        framing = error.framing if isinstance(error, ForeignFramingError) else None
        return Rejection(error.code, error.message[:2000], asset, sensor, framing=framing)


def _reading(document: dict[str, Any], record: Record, max_features: int) -> Reading:
    metadata = document.get("metadata")
    if "features" in document:
        where, feature = document, None
        features = check_features(document["features"], max_features=max_features)
        extra = _plain(metadata)
    elif "name" in document and "value" in document:
        if type(metadata) is not dict:
            raise InputError("metadata: must be an object with asset_id", code="missing_asset")
        where, feature = metadata, check_name(document["name"], "name")
        features = check_features({feature: document["value"]})
        own = ("asset_id", "sensor_id", "timestamp")
        extra = {key: value for key, value in metadata.items() if key not in own}
    else:
        found = of_document(document)
        if found is not None:
            raise ForeignFramingError(found, "unknown_shape")
        raise InputError("neither features nor name and value are present", code="unknown_shape")
    if where.get("asset_id") is None:
        raise InputError("asset_id: is missing", code="missing_asset")
    asset = check_name(where["asset_id"], "asset_id")
    sensor = where.get("sensor_id")
    if sensor == "":  # some serialisers write null like this
        sensor = None
    if sensor is not None:
        sensor = check_name(sensor, "sensor_id")
    local = _has_no_offset(where.get("timestamp"))
    return Reading(asset, sensor, feature, _time(where, record), features, extra, local)


def _plain(metadata: Any) -> dict[str, Any]:
    if type(metadata) is dict:
        return metadata
    # not an object: unusual, but no reason to reject the reading
    return {} if metadata is None else {"caller": metadata}


def _time(where: dict[str, Any], record: Record) -> datetime:
    if "timestamp" in where:
        return parse_timestamp(where["timestamp"])
    known = kafka_time(record)
    if known is None:
        raise InputError("timestamp: missing, and the record has none", code="bad_timestamp")
    return known


def _has_no_offset(given: Any) -> bool:
    """Return whether a time, whose first ten characters are the date, has no offset or zone."""
    if type(given) is not str or given[-1:] in "Zz":
        return False
    return "+" not in given[10:] and "-" not in given[10:]


def _who(document: Any) -> tuple[str | None, str | None]:
    """Return asset and sensor as far as they are readable, for the dead letter's columns."""
    if type(document) is not dict:
        return None, None
    metadata = document.get("metadata")
    where = document if "asset_id" in document or type(metadata) is not dict else metadata
    found: list[str | None] = []
    for name in ("asset_id", "sensor_id"):
        try:
            found.append(check_name(where.get(name), name))
        except InputError:
            found.append(None)
    return found[0], found[1]


def dead_letter_headers(
    original: Headers, rejection: Rejection, topic: str, partition: int, offset: int
) -> list[tuple[str, bytes | None]]:
    """Return the original headers plus the reason and the source of the dead letter.

    Parameters
    ----------
    original : list of (str, bytes or None)
        Headers of the record.
    rejection : Rejection
        Reason of the dead letter.
    topic, partition, offset
        Source of the record.
    """
    return [
        *original,
        ("dead-letter-reason", rejection.reason.encode()),
        ("dead-letter-message", rejection.message.encode("utf-8", "replace")),
        ("dead-letter-topic", topic.encode()),
        ("dead-letter-partition", str(partition).encode()),
        ("dead-letter-offset", str(offset).encode()),
    ]
