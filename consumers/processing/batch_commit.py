"""Build the transaction of one batch: its rows, states, messages and offsets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from config import PublishMode, Settings
from consumers.processing.batch import BatchRecord, StreamBatch
from consumers.records.parsing import dead_letter_headers, kafka_time
from consumers.store import BatchCommit
from db.encoding import encode_headers, encode_json
from db.queries.detections import detection_row
from db.queries.offsets import OffsetAdvance
from db.queries.stream_states import StoredState
from schemas import SEVERITIES, parse_timestamp

# (asset_id, sensor_id, event) -> the highest stored severity of an event, -1 for none
EventLevel = Callable[[str, str | None, Mapping[str, Any]], int]


def build(
    items: Iterable[BatchRecord],
    streams: Iterable[StreamBatch],
    settings: Settings,
    event_level: EventLevel,
) -> BatchCommit:
    """Build the transaction of one batch, whose records all have a result or a rejection.

    Parameters
    ----------
    items
        All records of the batch, in offset order per partition.
    streams
        The scored streams with their new states.
    settings
        Determine the topics and which results are published.
    event_level
        Queried for events whose opening this bridge has not seen.
    """
    commit = BatchCommit()
    streams = list(streams)
    if settings.kafka_publish == "events":
        for stream in streams:
            _choose_events(stream, event_level)
    moves: dict[Any, OffsetAdvance] = {}
    for item in items:
        assigned = item.partition
        # the last record of each partition wins
        moves[assigned] = OffsetAdvance(
            *assigned.source, assigned.epoch, assigned.stored, item.record.offset + 1
        )
        if item.stored:
            continue
        if item.result is not None:
            _add_detection(commit, item, settings)
        elif item.rejection is not None:
            _add_dead_letter(commit, item, settings)
        else:
            raise RuntimeError(f"record {item.record.offset} has neither result nor rejection")
    commit.moves = list(moves.values())
    for stream in streams:
        if stream.state is not None:
            commit.states.setdefault(stream.partition.source, []).append(_state(stream))
    return commit


def _choose_events(stream: StreamBatch, event_level: EventLevel) -> None:
    """Publish an event's opening and each rise of its severity, each only once."""
    known, level = stream.cached.published
    for item in stream.sent:
        result = item.result
        event = (result or {}).get("metadata", {}).get("event")
        if result is None or not event or not result["is_anomaly"]:
            continue
        if event["id"] != known:
            known = event["id"]
            opened = event.get("state") == "opened"
            # this bridge has not seen the event open, so it queries the table
            level = -1 if opened else event_level(result["asset_id"], result["sensor_id"], event)
        severity = SEVERITIES.index(result["criticality"])
        if severity > level:
            level = severity
            item.publish = True
    stream.published = (known, level)


def _wanted(item: BatchRecord, publish: PublishMode) -> bool:
    if publish == "all":
        return True
    if publish == "events":
        return item.publish
    if publish == "incidents":
        return False
    return bool(item.result and item.result["is_anomaly"])


def _add_detection(commit: BatchCommit, item: BatchRecord, settings: Settings) -> None:
    result, reading, record = item.result, item.reading, item.record
    if result is None or reading is None:
        return
    topic_id, partition = item.partition.source
    row = detection_row(
        result,
        feature=reading.feature,
        topic_id=topic_id,
        partition=partition,
        offset=record.offset,
    )
    commit.detections.append(row)
    candidate = settings.kafka_publish == "incidents" and row["event_id"] and row["is_anomaly"]
    if candidate or _wanted(item, settings.kafka_publish):
        message = {**result, "detection_id": str(row["id"])}
        if reading.feature is not None:
            message["feature"] = reading.feature
        outgoing = {
            **item.source,
            "target_topic": settings.kafka_topic_output_anomalies,
            "key": reading.asset_id.encode(),
            "value": encode_json(message),
        }
        if candidate:
            commit.news[row["id"]] = outgoing
        else:
            commit.outbox.append(outgoing)


def _add_dead_letter(commit: BatchCommit, item: BatchRecord, settings: Settings) -> None:
    rejection, record = item.rejection, item.record
    if rejection is None:
        return
    topic, partition = item.partition.topic_partition
    commit.dead_letters.append(
        {
            "id": item.id,
            **item.source,
            "topic": topic,
            "reason": rejection.reason,
            "message": rejection.message,
            "key": record.key,
            "value": record.value,
            "headers": encode_headers(record.headers),
            "kafka_timestamp": kafka_time(record),
            "asset_id": rejection.asset_id,
            "sensor_id": rejection.sensor_id,
            "original_id": rejection.original_id,
        }
    )
    if rejection.reason == "duplicate":
        return
    headers = dead_letter_headers(record.headers, rejection, topic, partition, record.offset)
    commit.outbox.append(
        {
            **item.source,
            "target_topic": settings.kafka_topic_dead_letter,
            "key": record.key,
            "value": record.value,
            "headers": encode_headers(headers),
        }
    )


def _state(stream: StreamBatch) -> StoredState:
    state = stream.state or {}
    last = state.get("last")
    times = [item.reading.timestamp for item in stream.sent if item.reading and item.result]
    newest = max(times, default=stream.cached.last)
    return StoredState(
        key=stream.key,
        topic_id=stream.partition.topic_id,
        partition=stream.partition.topic_partition.partition,
        state=state,
        last_timestamp=parse_timestamp(last) if last else newest,
        window_length=stream.window_length,
        bundle_version=state.get("bundle"),
        window_start=_window_start(stream),
    )


def _window_start(stream: StreamBatch) -> datetime | None:
    """Return a time at or before the oldest reading of the window.

    None if a new bundle needs a longer window than the cached one, so the time is not known.
    """
    cached = stream.cached
    if cached.state is not None and stream.window_length > cached.window_length:
        return None
    oldest = cached.window.oldest()
    times = [] if oldest is None else [oldest]
    times += [
        item.reading.timestamp  # can be earlier than the last if the stream's clock was set back
        for item in stream.sent
        if item.reading and item.result and item.result["metadata"].get("window") != "left_out"
    ]
    return min(times, default=None)
