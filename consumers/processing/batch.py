"""Turn the records of a batch into results; pure functions, tested without a server.

    parse_records()     records -> items, each with a reading or a rejection
    group_by_stream()   items -> one StreamBatch per stream; finds repeats within the batch
    build_request()     stream batches -> the body for the service
    apply_response()    the answer -> results and rejections; caches nothing

:mod:`consumers.processing.batch_commit` builds the rows and messages;
:mod:`consumers.processing.processor` updates the cache after the commit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import orjson

from config import Settings
from consumers.partition import AssignedPartition
from consumers.records.parsing import Reading, Record, Rejection, kafka_time, parse
from consumers.schedule_cache import Schedules
from consumers.stream_cache import CachedStream
from consumers.window import Row, encode_row, pack_rows
from db.queries.copy import detection_id
from errors import Unavailable
from schemas import StreamKey, merge_metadata, present


@dataclass(slots=True, eq=False)
class BatchRecord:
    """One record of the batch; processing gives it a result or a rejection."""

    partition: AssignedPartition
    record: Record
    reading: Reading | None = None
    rejection: Rejection | None = None
    result: dict[str, Any] | None = None
    original: BatchRecord | None = None  # an equal reading earlier in this batch
    scored: bool = False  # the service answered for it
    publish: bool = False
    stored: bool = False  # its row exists already, so only the offset advances

    @property
    def source(self) -> dict[str, Any]:
        """Columns that identify the record."""
        topic_id, partition = self.partition.source
        offset = self.record.offset
        return {"topic_id": topic_id, "partition": partition, "source_offset": offset}

    @property
    def id(self) -> Any:
        """Id of the row of this record."""
        return detection_id(*self.partition.source, self.record.offset)


@dataclass(slots=True, eq=False)
class StreamBatch:
    """The readings of one stream of one partition, in the order of their offsets."""

    partition: AssignedPartition
    key: StreamKey
    cached: CachedStream
    items: list[BatchRecord] = field(default_factory=list)
    sent: list[BatchRecord] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    state: dict[str, Any] | None = None
    window_length: int = 0
    published: tuple[str, int] = ("", -1)  # event id and severity, valid after the commit


def parse_records(
    taken: Sequence[tuple[AssignedPartition, Sequence[Record]]], settings: Settings
) -> list[BatchRecord]:
    """Parse every record."""
    future_s, max_features = settings.bridge_future_s, settings.max_features
    items = []
    for assigned, records in taken:
        for record in records:
            found = parse(record, future_s, max_features)
            if isinstance(found, Reading):
                items.append(BatchRecord(assigned, record, reading=found))
            else:
                items.append(BatchRecord(assigned, record, rejection=found))
    return items


CachedStreams = dict[tuple[AssignedPartition, StreamKey], CachedStream]


def look_up_streams(
    items: Iterable[BatchRecord],
) -> tuple[CachedStreams, dict[AssignedPartition, dict[StreamKey, datetime]]]:
    """Return the batch's cached streams, and its other streams with their first readings' times.

    The cached streams are looked up once and kept for the whole batch, because another worker may
    drop them from the cache meanwhile. The other streams are grouped by partition.
    """
    cached: CachedStreams = {}
    uncached: dict[AssignedPartition, dict[StreamKey, datetime]] = {}
    for item in items:
        if item.reading is None or (item.partition, item.reading.stream) in cached:
            continue
        key = item.reading.stream
        found = item.partition.cache.get(key)
        if found is None:
            uncached.setdefault(item.partition, {}).setdefault(key, item.reading.timestamp)
        else:
            cached[item.partition, key] = found
    return cached, uncached


def group_by_stream(items: Iterable[BatchRecord], cached: CachedStreams) -> list[StreamBatch]:
    """Group a batch by stream; a reading that equals an earlier one of the batch refers to it."""
    streams: dict[tuple[AssignedPartition, StreamKey], StreamBatch] = {}
    seen: dict[tuple[StreamKey, datetime], list[BatchRecord]] = {}
    for item in items:
        if item.reading is None:
            continue
        key = item.reading.stream
        stream = streams.get((item.partition, key))
        if stream is None:
            stream = StreamBatch(item.partition, key, cached[item.partition, key])
            streams[item.partition, key] = stream
        stream.items.append(item)
        same = seen.setdefault((key, item.reading.timestamp), [])
        item.original = next(
            (one for one in same if one.reading and one.reading.features == item.reading.features),
            None,
        )
        same.append(item)
    return list(streams.values())


def possible_duplicates(streams: Iterable[StreamBatch]) -> list[BatchRecord]:
    """Return readings that may be stored already: unkeyed streams, or not newer than stored."""
    found = []
    for stream in streams:
        known = [at for at in (stream.cached.last, stream.cached.elsewhere) if at is not None]
        last = max(known, default=None)
        for item in stream.items:
            assert item.reading is not None  # noqa: S101 (only readings are grouped)
            if item.original is None and (
                stream.cached.unkeyed or (last is not None and item.reading.timestamp <= last)
            ):
                found.append(item)
    return found


def streams_begun_later(
    streams: Iterable[StreamBatch],
) -> dict[AssignedPartition, dict[StreamKey, datetime]]:
    """Return new streams whose first readings are duplicates, with the first time that is not.

    This happens when history is sent again and then continues. Such a stream continues a state of
    another partition that was too new for the duplicates.
    """
    found: dict[AssignedPartition, dict[StreamKey, datetime]] = {}
    for stream in streams:
        if stream.cached.state is not None or stream.items[0].rejection is None:
            continue
        left = (item for item in stream.items if item.rejection is None and item.original is None)
        first = next((item.reading for item in left), None)
        if first is not None:
            found.setdefault(stream.partition, {})[stream.key] = first.timestamp
    return found


def mark_duplicates(
    items: Sequence[BatchRecord], stored: Mapping[int, Sequence[tuple[Any, Mapping[str, float]]]]
) -> None:
    """Reject the items whose features equal those of a stored reading.

    Parameters
    ----------
    items : sequence of BatchRecord
    stored : {index: [(row id, features)]}
        Stored readings of the same stream and time, by index into ``items``.
    """
    for index, rows in stored.items():
        item = items[index]
        assert item.reading is not None  # noqa: S101
        for row_id, features in rows:
            # the same id is this very record: its commit was not answered, but took effect
            if features == item.reading.features and row_id != item.id:
                item.rejection = _duplicate(item.reading, row_id)
                break


def _duplicate(reading: Reading, original_id: Any) -> Rejection:
    message = f"same stream, time and features as {original_id}"
    return Rejection("duplicate", message, reading.asset_id, reading.sensor_id, original_id)


def build_request(
    streams: Iterable[StreamBatch],
    criticalities: Mapping[str, str],
    schedules: Schedules | None = None,
) -> bytes | None:
    """Build the body for the service, or return None if nothing is left to score.

    ``renew`` restarts a stream whose state the service cannot read. ``arrived``, the time at which
    Kafka received late readings, lets it set back a clock that ran ahead.

    Parameters
    ----------
    streams
        Their ``sent`` and ``rows`` are set here.
    criticalities : {asset_id: criticality}
        Other assets count as medium.
    schedules
        Windows, conditions, resets and feedback; optional.
    """
    now = present()
    schedules = schedules or Schedules()
    bodies: list[dict[str, Any]] = []
    times: list[datetime] = []
    for stream in streams:
        stream.sent = [
            item for item in stream.items if item.rejection is None and item.original is None
        ]
        if not stream.sent:
            continue
        stream.rows = [encode_row(i.reading.timestamp, i.reading.features) for i in stream.sent]  # type: ignore[union-attr]
        times += [item.reading.timestamp for item in stream.sent if item.reading]
        criticality = criticalities.get(stream.key[0], "medium")
        bodies.append(_stream_body(stream, criticality, schedules, now))
    if not bodies:
        return None
    return orjson.dumps(
        {
            "echo": False,
            "renew": True,
            "now": now.isoformat(),
            **schedules.concerning(min(times), max(times)),
            "streams": bodies,
        }
    )


def _stream_body(
    stream: StreamBatch, criticality: str, schedules: Schedules, now: datetime
) -> dict[str, Any]:
    """Return a stream's part of the request: its state, its past and the rows to be scored."""
    asset, sensor, feature = stream.key
    state = stream.cached.state
    body: dict[str, Any] = {
        "asset_id": asset,
        "sensor_id": sensor or None,
        "feature": feature or None,
        "criticality": criticality,
        "state": None if state is None else orjson.Fragment(state),
        "window": stream.cached.window.packed(),
        "readings": pack_rows(stream.rows),
    }
    if _some_late(stream):
        arrived = (kafka_time(item.record) or now for item in stream.sent)
        body["arrived"] = [min(time, now).isoformat() for time in arrived]
    if reset := schedules.reset(stream.key):
        body["reset"] = reset
    if false_alarms := schedules.false_alarms.get(asset):
        body["false_alarms"] = false_alarms
    if closed := schedules.closed_events.get(stream.key):
        body["closed_events"] = closed
    return body


def _some_late(stream: StreamBatch) -> bool:
    """Return whether any reading is not newer than those before it."""
    last = stream.cached.last
    for item in stream.sent:
        assert item.reading is not None  # noqa: S101 (only readings are sent)
        if last is not None and item.reading.timestamp <= last:
            return True
        last = item.reading.timestamp
    return False


def apply_response(streams: Iterable[StreamBatch], answer: Mapping[str, Any]) -> None:
    """Assign a result or a rejection to every item.

    Raises
    ------
    Unavailable
        The answer does not fit the request.
    """
    sent = [stream for stream in streams if stream.sent]
    outcomes = answer.get("streams")
    if not isinstance(outcomes, list) or len(outcomes) != len(sent):
        raise _bad_answer("another number of streams")
    for stream, outcome in zip(sent, outcomes, strict=True):
        results = outcome.get("results") or ()
        if len(results) != len(stream.sent):
            raise _bad_answer("other readings")
        stream.window_length = int(outcome.get("window_length") or 0)
        for item, result in zip(stream.sent, results, strict=True):
            _apply_result(stream, item, result)
        # if nothing was scored, state and window stay unchanged
        scored = any(item.result is not None for item in stream.sent)
        stream.state = (outcome.get("state") or None) if scored else None


def _apply_result(stream: StreamBatch, item: BatchRecord, result: dict[str, Any]) -> None:
    item.scored = True
    if "error" in result:
        item.rejection = _rejection(item, result["error"])
        return
    item.result = _complete(item, result)
    if stream.cached.unkeyed:
        item.result["metadata"]["spread"] = True


def _bad_answer(what: str) -> Unavailable:
    return Unavailable(f"the service's answer is invalid: {what}", code="bad_answer", retry_after=1)


def _rejection(item: BatchRecord, error: Mapping[str, Any]) -> Rejection:
    assert item.reading is not None  # noqa: S101
    return Rejection(
        str(error.get("code") or "unprocessable")[:100],
        str(error.get("message") or "")[:2000],
        item.reading.asset_id,
        item.reading.sensor_id,
    )


def _complete(item: BatchRecord, result: dict[str, Any]) -> dict[str, Any]:
    """Add the fields that the service omitted because we sent them."""
    reading = item.reading
    assert reading is not None  # noqa: S101
    result["asset_id"] = reading.asset_id
    result["sensor_id"] = reading.sensor_id
    result["timestamp"] = reading.timestamp.isoformat()
    result["features"] = reading.features
    result["metadata"] = merge_metadata(result.get("metadata") or {}, reading.metadata)
    return result


def resolve_in_batch_duplicates(items: Iterable[BatchRecord]) -> None:
    """Reject repeats within the batch: as duplicates, or for the same reason as the first one."""
    for item in items:
        original = item.original
        if original is None or item.reading is None:
            continue
        if original.result is not None:
            item.rejection = _duplicate(item.reading, original.id)
        elif original.rejection is not None:
            item.rejection = replace(original.rejection, framing=None)
