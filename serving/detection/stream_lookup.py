"""Look up stored data of a request's streams: state, window, criticality, plans.

Look-ups of concurrent requests share one transaction. Criticalities, plans and false alarms are
cached for a few seconds, so that a request with its own history does not query the database each
time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cachetools import LRUCache
from sqlalchemy import Connection

from config import Settings
from db.assets import asset_criticalities
from db.queries.feedback import false_alarms
from db.queries.schedules import WINDOW_DAYS, off_conditions, windows
from db.queries.stored_windows import stored_windows
from db.queries.stream_states import StoredState, newest_states
from errors import InputError, StorageUnavailable
from models.scoring.maintenance.suppression import Suppression
from models.scoring.stream_work import Reading
from schemas import StreamKey
from serving import metrics
from serving.batching import Batcher
from serving.database import Database
from serving.detection.planning import (
    StoredContext,
    StoredStream,
    assets_to_look_up,
    streams_to_look_up,
)
from serving.requests.detect import Item

#: Criticalities, and windows and conditions, are read again after this time.
CRITICALITY_S = 5.0
PLANS_S = 2.0
CRITICALITIES_KEPT = 100_000  # assets, to bound the memory
#: A window of 30 readings of 24 features takes some 60 KB.
WINDOWS_KEPT = 500


@dataclass(frozen=True, slots=True)
class _Wanted:
    streams: frozenset[StreamKey]
    assets: frozenset[str]
    plans: bool


@dataclass(frozen=True, slots=True)
class Plans:
    """The plans for all assets, and the number of reported false alarms per asset."""

    suppression: Suppression = field(default_factory=Suppression)
    false_alarms: Mapping[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Found:
    streams: dict[StreamKey, StoredStream]
    criticality: dict[str, str]
    plans: Plans | None


class StreamLookup:
    """Look up stored data of a request's streams.

    Parameters
    ----------
    database : Database
    settings : Settings
        Whether states and windows are read, and for how long false alarms count.
    """

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._feedback_days = settings.feedback_raise_days
        self._plans = Plans()
        self._planned_at = float("-inf")
        self._use_stored = settings.use_stored_history
        self._criticality: LRUCache[str, tuple[float, str]] = LRUCache(CRITICALITIES_KEPT)
        self._windows = Windows()
        self._batcher: Batcher[_Wanted, _Found] = Batcher(
            self._together,
            max_weight=2000,
            max_waiting=1_000_000,
            parallel=2,
            on_batch=metrics.BATCH.labels("look_up").observe,
        )

    async def find(self, items: Sequence[Item | InputError]) -> StoredContext:
        """Look up the data of these items; without the database the result is ``degraded``."""
        streams = frozenset(streams_to_look_up(items)) if self._use_stored else frozenset()
        criticality, missing = self._kept(assets_to_look_up(items))
        known = StoredContext({}, criticality, self._plans.suppression, self._plans.false_alarms)
        plans = time.monotonic() - self._planned_at > PLANS_S
        if not (streams or missing or plans):
            return known
        try:
            if not self._database.available:
                raise StorageUnavailable("down")
            found = await self._batcher.submit(
                _Wanted(streams, frozenset(missing), plans),
                weight=max(len(streams) + len(missing), 1),
            )
        except StorageUnavailable:
            known.degraded = True  # the last known plans are better than none
            metrics.DEGRADED.labels("look_up").inc()
            return known
        # the look-up also returned streams of other requests, which are not used here
        known.stored = {key: found.streams[key] for key in streams if key in found.streams}
        for asset in missing:
            known.criticality[asset] = found.criticality.get(asset, "medium")
        known.suppression, known.false_alarms = self._plans.suppression, self._plans.false_alarms
        return known

    def _kept(self, assets: Iterable[str]) -> tuple[dict[str, str], list[str]]:
        """Return the cached criticalities, and the assets to query."""
        now = time.monotonic()
        held: dict[str, str] = {}
        missing: list[str] = []
        for asset in assets:
            kept = self._criticality.get(asset)
            if kept is not None:
                held[asset] = kept[1]  # even an expired one: better than none in an outage
            if kept is None or now - kept[0] > CRITICALITY_S:
                missing.append(asset)
        return held, missing

    async def _together(self, wanted: list[_Wanted]) -> Sequence[_Found]:
        streams = {key for one in wanted for key in one.streams}
        assets = {asset for one in wanted for asset in one.assets}
        days = self._feedback_days if any(one.plans for one in wanted) else None
        found = await self._database.quick(
            look_up, streams, assets, windows_kept=self._windows, plans_of=days
        )
        now = time.monotonic()
        if found.plans is not None:
            self._plans, self._planned_at = found.plans, now
        for asset in assets:
            self._criticality[asset] = (now, found.criticality.get(asset, "medium"))
        return [found] * len(wanted)


class Windows:
    """Cache stored windows; a window is valid until its stream's state changes.

    Parameters
    ----------
    size : int
        Maximum number of streams; the least recently used are dropped.
    """

    def __init__(self, size: int = WINDOWS_KEPT) -> None:
        self._kept: LRUCache[StreamKey, tuple[Any, list[Reading]]] = LRUCache(size)
        self._lock = threading.Lock()

    def get(self, key: StreamKey, state: StoredState) -> list[Reading] | None:
        """Return the window that belongs to ``state``, or None if it is not cached."""
        with self._lock:
            kept = self._kept.get(key)
        return None if kept is None or kept[0] != _mark(state) else kept[1]

    def put(self, key: StreamKey, state: StoredState, window: list[Reading]) -> None:
        """Cache a window, which must not be changed afterwards.

        Parameters
        ----------
        key : (asset_id, sensor_id, feature)
        state : StoredState
            The state that the window belongs to.
        window : list of Reading
            Oldest first.
        """
        with self._lock:
            self._kept[key] = (_mark(state), window)


def _mark(state: StoredState) -> tuple[Any, ...]:
    return state.topic_id, state.partition, state.last_timestamp, state.window_length, state.state


def look_up(
    connection: Connection,
    streams: Iterable[StreamKey],
    assets: Iterable[str],
    windows_kept: Windows,
    plans_of: int | None = None,
) -> _Found:
    """Read states with their windows, criticalities and plans, in one transaction.

    Parameters
    ----------
    connection : Connection
    streams : iterable of (asset_id, sensor_id, feature)
        States and windows to read.
    assets : iterable of str
        Criticalities to read.
    windows_kept : Windows
        The cache that is read and filled.
    plans_of : int, optional
        Also read plans, and the false alarms of this many days.
    """
    found: dict[StreamKey, StoredStream] = {}
    missing: dict[StreamKey, StoredState] = {}
    states = newest_states(connection, streams) if streams else {}
    for key, state in states.items():
        window = windows_kept.get(key, state)
        if window is None:
            missing[key] = state
        found[key] = StoredStream(state.state, window or ())
    for key, readings in stored_windows(connection, missing).items():
        window = [Reading(at, features) for at, features in readings]
        windows_kept.put(key, states[key], window)
        found[key] = StoredStream(states[key].state, window)
    criticality = asset_criticalities(connection, list(assets)) if assets else {}
    plans = None if plans_of is None else read_plans(connection, plans_of)
    return _Found(found, dict(criticality), plans)


def read_plans(connection: Connection, feedback_days: int) -> Plans:
    """Read maintenance windows, machine-off conditions and false alarms."""
    since = datetime.now(UTC) - timedelta(days=WINDOW_DAYS)
    planned, off = windows(connection, since), off_conditions(connection)
    suppression = Suppression.from_rows(planned, off, "alarms")
    metrics.PLANS_REFUSED.set(len(suppression.refused))
    return Plans(suppression, false_alarms(connection, feedback_days))
