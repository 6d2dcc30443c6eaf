"""Group a request's items by stream for scoring, and restore their order afterwards. Pure.

A stream is (asset, sensor). Its items without an own history are scored in time order, after the
stored readings of the stream; each is history for the next. An item with its own history is scored
as a new stream that begins with this history, so its score depends neither on stored readings nor
on other items.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from errors import InputError
from models.scoring.ensemble import StreamOutcome
from models.scoring.maintenance.suppression import Suppression
from models.scoring.stream_work import Reading, StreamWork
from schemas import StreamKey, merge_metadata, stream_key
from serving.requests.detect import Item


@dataclass(frozen=True, slots=True)
class StoredStream:
    """State and window of a stream in the database."""

    state: dict[str, Any] | None = None
    window: Sequence[Reading] = ()


NOTHING_STORED = StoredStream()


@dataclass(slots=True)
class Planned:
    """The work of one stream, and the item of each of its readings (None: history only)."""

    work: StreamWork
    items: list[int | None]


@dataclass(slots=True)
class StoredContext:
    """The results of the database look-up for a request."""

    stored: Mapping[StreamKey, StoredStream] = field(default_factory=dict)
    criticality: dict[str, str] = field(default_factory=dict)
    suppression: Suppression = field(default_factory=Suppression)
    false_alarms: Mapping[str, int] = field(default_factory=dict)
    degraded: bool = False


def streams_to_look_up(items: Sequence[Item | InputError]) -> set[StreamKey]:
    """Return the streams of items without their own history."""
    return {
        stream_key(i.asset_id, i.sensor_id)
        for i in items
        if isinstance(i, Item) and i.history is None
    }


def assets_to_look_up(items: Sequence[Item | InputError]) -> set[str]:
    """Return the assets whose criticality is missing in any item of the request."""
    return {i.asset_id for i in items if isinstance(i, Item) and i.criticality is None}


def set_times(items: Sequence[Item | InputError], now: datetime | None = None) -> None:
    """Set missing times to now, each a microsecond after the one before.

    Two readings of one stream with the same time would count as duplicates.
    """
    now = now or datetime.now(UTC)
    for index, item in enumerate(items):
        if isinstance(item, Item) and item.timestamp is None:
            item.timestamp = now + timedelta(microseconds=index)


def group_by_stream(items: Sequence[Item | InputError], known: StoredContext) -> list[Planned]:
    """Group the items of a request by stream.

    Parameters
    ----------
    items : sequence of Item or InputError
        With times set; errors are skipped.
    known : StoredContext
        Stored state and window by stream, criticality by asset.
    """
    chains: dict[StreamKey, list[int]] = {}
    planned: list[Planned] = []
    for index, item in enumerate(items):
        if not isinstance(item, Item):
            continue
        if item.history is not None:
            planned.append(_alone(item, index, known))
        chains.setdefault(stream_key(item.asset_id, item.sensor_id), []).append(index)
    for key, indices in chains.items():
        if len(indices) > 1:
            indices.sort(key=lambda p: items[p].timestamp)  # type: ignore[union-attr, arg-type, return-value]
        members = [(index, item) for index in indices if isinstance(item := items[index], Item)]
        if any(item.history is None for _, item in members):
            planned.append(_chain(key, members, known))
    return planned


def _alone(item: Item, index: int, known: StoredContext) -> Planned:
    window = [Reading(None, features) for features in item.history or ()]
    return Planned(_work([item], known, StoredStream(window=window)), [index])


def _chain(key: StreamKey, members: list[tuple[int, Item]], known: StoredContext) -> Planned:
    """Score a stream once; criticality changes only each item's threshold, not the score."""
    stored = known.stored.get(key, NOTHING_STORED)
    work = _work([item for _, item in members], known, stored)
    work.renew = True  # an unreadable stored state is not the caller's fault
    return Planned(work, [index if item.history is None else None for index, item in members])


def _work(items: Sequence[Item], known: StoredContext, before: StoredStream) -> StreamWork:
    asset_id = items[0].asset_id
    return StreamWork(
        asset_id=asset_id,
        sensor_id=items[0].sensor_id,
        feature=None,
        criticality=[_criticality(item, known) for item in items],
        state=before.state,
        window=before.window,
        readings=[Reading(item.timestamp, item.features) for item in items],
        maintenance=known.suppression.windows,
        off_conditions=known.suppression.conditions,
        false_alarms=known.false_alarms.get(asset_id, 0),
    )


def _criticality(item: Item, known: StoredContext) -> str:
    return item.criticality or known.criticality.get(item.asset_id, "medium")


def reassemble(
    items: Sequence[Item | InputError],
    planned: Sequence[Planned],
    outcomes: Sequence[StreamOutcome],
) -> list[dict[str, Any]]:
    """Return one result or error entry per item, in the items' order.

    Parameters
    ----------
    items : sequence of Item or InputError
        The items of the request.
    planned : sequence of Planned
        The result of :func:`group_by_stream`.
    outcomes : sequence of StreamOutcome
        One per planned stream.
    """
    answers: list[dict[str, Any]] = [
        {"error": item.entry()} if isinstance(item, InputError) else {} for item in items
    ]
    for part, outcome in zip(planned, outcomes, strict=True):
        for index, result in zip(part.items, outcome.results, strict=True):
            if index is not None:
                answers[index] = result
    for item, answer in zip(items, answers, strict=True):
        if isinstance(item, Item) and item.metadata and "metadata" in answer:
            merge_metadata(answer["metadata"], item.metadata)
    return answers
