"""One batch from records to rows: pure, so that every rule of it can be tested without a server.

    read()          records -> items (a reading, or a refusal)
    group()         items -> one piece of work a stream; repetitions inside the batch found
    request()       work -> the body for the service
    absorb()        the answer -> results and refusals; nothing remembered yet

What is stored and published of it is in ``consumers.processing.batch_commit``; what is remembered
of it once that is
committed, is told by ``consumers.processing.processor``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from consumers.partition import AssignedPartition
from consumers.records.parsing import Reading, Record, Rejection, kafka_time, parse
from consumers.stream_cache import CachedStream, StreamKey
from consumers.window import Row, encode_row, pack_rows
from db.queries.copy import detection_id
from errors import Unavailable
from schemas import merge_metadata


@dataclass(slots=True, eq=False)
class BatchRecord:
    """One record on its way; in the end it has a result or a refusal."""

    place: AssignedPartition
    record: Record
    reading: Reading | None = None
    refusal: Rejection | None = None
    result: dict[str, Any] | None = None
    original: BatchRecord | None = None  # an equal reading earlier in this batch
    judged: bool = False  # the service saw it
    publish: bool = False
    stored: bool = False  # a row of it exists already: only the offset moves on

    @property
    def id(self) -> Any:
        return detection_id(*self.place.source, self.record.offset)


@dataclass(slots=True, eq=False)
class StreamBatch:
    """The readings of one stream of one place, in the order of their offsets."""

    place: AssignedPartition
    key: StreamKey
    memory: CachedStream
    items: list[BatchRecord] = field(default_factory=list)
    sent: list[BatchRecord] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    state: dict[str, Any] | None = None
    window_length: int = 0
    published: tuple[str, int] = ("", -1)  # event id and severity, once this is committed


@dataclass(frozen=True, slots=True)
class ParseLimits:
    """What a record may be."""

    future_seconds: float
    max_features: int


def parse_records(
    taken: Sequence[tuple[AssignedPartition, Sequence[Record]]], limits: ParseLimits
) -> list[BatchRecord]:
    """Parse every record."""
    items = []
    for place, records in taken:
        for record in records:
            found = parse(record, limits.future_seconds, limits.max_features)
            if isinstance(found, Reading):
                items.append(BatchRecord(place, record, reading=found))
            else:
                items.append(BatchRecord(place, record, refusal=found))
    return items


Held = dict[tuple[AssignedPartition, StreamKey], CachedStream]


def remembered(
    items: Iterable[BatchRecord],
) -> tuple[Held, dict[AssignedPartition, dict[StreamKey, datetime]]]:
    """The streams of a batch that are remembered, and those that are not.

    Both are told at once, and what is remembered is held on to: while this batch is worked on,
    another lane may make room. The others come by place, each with its first reading's time.
    """
    held: Held = {}
    missing: dict[AssignedPartition, dict[StreamKey, datetime]] = {}
    for item in items:
        if item.reading is None or (item.place, item.reading.stream) in held:
            continue
        key = item.reading.stream
        memory = item.place.memories.get(key)
        if memory is None:
            missing.setdefault(item.place, {}).setdefault(key, item.reading.timestamp)
        else:
            held[item.place, key] = memory
    return held, missing


def group_by_stream(items: Iterable[BatchRecord], memories: Held) -> list[StreamBatch]:
    """One piece of work a stream; a reading equal to an earlier one of the batch refers to it."""
    works: dict[tuple[AssignedPartition, StreamKey], StreamBatch] = {}
    seen: dict[tuple[StreamKey, datetime], list[BatchRecord]] = {}
    for item in items:
        if item.reading is None:
            continue
        key = item.reading.stream
        work = works.get((item.place, key))
        if work is None:
            work = StreamBatch(item.place, key, memories[item.place, key])
            works[item.place, key] = work
        work.items.append(item)
        same = seen.setdefault((key, item.reading.timestamp), [])
        item.original = next(
            (one for one in same if one.reading and one.reading.features == item.reading.features),
            None,
        )
        same.append(item)
    return list(works.values())


def possible_duplicates(works: Iterable[StreamBatch]) -> list[BatchRecord]:
    """Readings that may repeat a stored one: not newer than any stored of the stream, or spread."""
    found = []
    for work in works:
        known = [at for at in (work.memory.last, work.memory.elsewhere) if at is not None]
        last = max(known, default=None)
        for item in work.items:
            assert item.reading is not None  # noqa: S101 (only readings are grouped)
            if item.original is None and (
                work.memory.spread or (last is not None and item.reading.timestamp <= last)
            ):
                found.append(item)
    return found


def begun_later(works: Iterable[StreamBatch]) -> dict[AssignedPartition, dict[StreamKey, datetime]]:
    """New streams whose first readings are duplicates, with the time of the first that is not.

    Where history is sent again and goes on, they continue a state elsewhere, which was too new
    for the duplicates.
    """
    found: dict[AssignedPartition, dict[StreamKey, datetime]] = {}
    for work in works:
        if work.memory.state is not None or work.items[0].refusal is None:
            continue
        left = (item for item in work.items if item.refusal is None and item.original is None)
        first = next((item.reading for item in left), None)
        if first is not None:
            found.setdefault(work.place, {})[work.key] = first.timestamp
    return found


def mark_duplicates(
    items: Sequence[BatchRecord], stored: Mapping[int, Sequence[tuple[Any, Mapping[str, float]]]]
) -> None:
    """Refuse the suspects whose features equal those of a stored reading."""
    for index, rows in stored.items():
        item = items[index]
        assert item.reading is not None  # noqa: S101
        for row_id, features in rows:
            # its own id: this very record, whose commit was not heard of; the claim tells
            if features == item.reading.features and row_id != item.id:
                item.refusal = _duplicate(item.reading, row_id)
                break


def _duplicate(reading: Reading, original_id: Any) -> Rejection:
    message = f"same stream, time and features as {original_id}"
    return Rejection("duplicate", message, reading.asset_id, reading.sensor_id, original_id)


def build_request(
    works: Iterable[StreamBatch], criticalities: Mapping[str, str], now: datetime | None = None
) -> bytes | None:
    """The body for the service, or None when nothing is left to score.

    A state that the service cannot read shall not be the end of its stream (``renew``), nor a
    clock that ran ahead: so late readings come with the time they reached Kafka (``arrived``).
    """
    now = now or datetime.now(UTC)
    streams = []
    for work in works:
        work.sent = [item for item in work.items if item.refusal is None and item.original is None]
        if not work.sent:
            continue
        work.rows = [encode_row(i.reading.timestamp, i.reading.features) for i in work.sent]  # type: ignore[union-attr]
        asset, sensor, feature = work.key
        state = work.memory.state
        stream = {
            "asset_id": asset,
            "sensor_id": sensor or None,
            "feature": feature or None,
            "criticality": criticalities.get(asset, "medium"),
            "state": None if state is None else orjson.Fragment(state),
            "window": work.memory.window.packed(),
            "readings": pack_rows(work.rows),
        }
        if _some_late(work):
            times = (kafka_time(item.record) or now for item in work.sent)
            stream["arrived"] = [min(time, now).isoformat() for time in times]
        streams.append(stream)
    if not streams:
        return None
    return orjson.dumps({"echo": False, "renew": True, "now": now.isoformat(), "streams": streams})


def _some_late(work: StreamBatch) -> bool:
    """Whether a reading is not newer than those before it."""
    last = work.memory.last
    for item in work.sent:
        assert item.reading is not None  # noqa: S101 (only readings are sent)
        if last is not None and item.reading.timestamp <= last:
            return True
        last = item.reading.timestamp
    return False


def apply_response(works: Iterable[StreamBatch], answer: Mapping[str, Any]) -> None:
    """Give every item its result or refusal.

    Raises
    ------
    Unavailable
        The answer does not fit the request.
    """
    sent = [work for work in works if work.sent]
    streams = answer.get("streams")
    if not isinstance(streams, list) or len(streams) != len(sent):
        raise _bad_answer("another number of streams")
    for work, outcome in zip(sent, streams, strict=True):
        results = outcome.get("results") or ()
        if len(results) != len(work.sent):
            raise _bad_answer("other readings")
        work.state = outcome.get("state") or None
        work.window_length = int(outcome.get("window_length") or 0)
        for item, result in zip(work.sent, results, strict=True):
            item.judged = True
            if "error" in result:
                item.refusal = _refused(item, result["error"])
            else:
                item.result = _complete(item, result)
                if work.memory.spread:
                    item.result["metadata"]["spread"] = True
        if all(item.result is None for item in work.sent):
            work.state = None  # nothing was scored: state and window stay as they are


def _bad_answer(what: str) -> Unavailable:
    return Unavailable(f"the service's answer has {what}", code="bad_answer", retry_after=1)


def _refused(item: BatchRecord, error: Mapping[str, Any]) -> Rejection:
    assert item.reading is not None  # noqa: S101
    return Rejection(
        str(error.get("code") or "unprocessable")[:100],
        str(error.get("message") or "")[:2000],
        item.reading.asset_id,
        item.reading.sensor_id,
    )


def _complete(item: BatchRecord, result: dict[str, Any]) -> dict[str, Any]:
    """What the service left out because we sent it."""
    reading = item.reading
    assert reading is not None  # noqa: S101
    result["asset_id"] = reading.asset_id
    result["sensor_id"] = reading.sensor_id
    result["timestamp"] = reading.timestamp.isoformat()
    result["features"] = reading.features
    result["metadata"] = merge_metadata(result.get("metadata") or {}, reading.metadata)
    return result


def resolve_in_batch_duplicates(items: Iterable[BatchRecord]) -> None:
    """A repetition inside the batch is a duplicate of a stored reading, or shares its fate."""
    for item in items:
        original = item.original
        if original is None or item.reading is None:
            continue
        if original.result is not None:
            item.refusal = _duplicate(item.reading, original.id)
        elif original.refusal is not None:
            first = original.refusal
            item.refusal = Rejection(
                first.reason, first.message, first.asset_id, first.sensor_id, first.original_id
            )
