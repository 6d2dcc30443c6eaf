"""Access the database for the bridge: claims, streams, one commit per batch, the outbox.

Raises the errors of ``db.session`` (StorageUnavailable, AlreadyStored, InputError) and
:class:`FencedError`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Concatenate, ParamSpec, TypeVar
from uuid import UUID

from sqlalchemy import Connection, Engine

from config import Settings
from consumers.outbox_cache import OutboxCache
from consumers.schedule_cache import Schedules
from consumers.stream_cache import CachedStream
from consumers.window import Window, encode_row
from db.assets import asset_criticalities
from db.incident_recording import record
from db.queries import (
    feedback,
    incidents,
    offsets,
    outbox,
    schedules,
    stored_windows,
    stream_states,
)
from db.queries.copy import add_outbox, insert_dead_letters, insert_detections
from db.queries.offsets import Claim, OffsetAdvance
from db.queries.outbox import OutboxMessage, Source, Target
from db.queries.stream_states import StoredState, newest_state_elsewhere
from db.session import in_transaction, transaction
from errors import AnomalyError
from schemas import REPEATED_HOUR_S, SEVERITIES, StreamKey, moved, parse_timestamp, stream_key

P = ParamSpec("P")
R = TypeVar("R")
CRITICALITY_SECONDS = 30.0  # an asset's criticality is read again after this time
#: Windows, conditions and resets are read again after this time, so they apply within seconds.
SCHEDULE_SECONDS = 2.0
CRITICALITIES_KEPT = 100_000  # assets, to bound the memory


class FencedError(AnomalyError):
    """A partition's stored offset or epoch differs from what this bridge expected.

    Another bridge has claimed the partition, or a commit took effect whose answer was lost.
    """

    code = "claim_lost"


@dataclass(slots=True)
class BatchCommit:
    """All rows of one batch, stored in one transaction."""

    moves: list[OffsetAdvance] = field(default_factory=list)
    detections: list[dict[str, Any]] = field(default_factory=list)
    dead_letters: list[dict[str, Any]] = field(default_factory=list)
    states: dict[Source, list[StoredState]] = field(default_factory=dict)
    outbox: list[dict[str, Any]] = field(default_factory=list)
    #: by detection: the message to publish if an incident opens or rises in severity with it
    news: dict[UUID, dict[str, Any]] = field(default_factory=dict)


class BridgeStore:
    """Run the bridge's database operations; safe to share between threads.

    Parameters
    ----------
    engine : Engine
    owner : str
        Identifies this bridge in the table of offsets.
    settings : Settings
    """

    def __init__(self, engine: Engine, owner: str, settings: Settings) -> None:
        self._settings = settings
        self._engine = engine
        # late anomalies of an event are at most this far before its start
        self._late = timedelta(seconds=max(settings.event_silence_s, REPEATED_HOUR_S))
        self._owner = owner
        self._outbox = OutboxCache()
        self._criticalities: dict[str, tuple[float, str]] = {}
        self._schedules = Schedules()
        self._schedules_until = float("-inf")

    def run(
        self, call: Callable[Concatenate[Connection, P], R], *args: P.args, **options: P.kwargs
    ) -> R:
        """Run ``call(connection, ...)`` in its own transaction."""
        return in_transaction(self._engine, call, *args, **options)

    def claim(self, topic_id: UUID, partition: int, topic: str) -> Claim:
        """Claim a partition.

        Parameters
        ----------
        topic_id, partition
            The partition's key in the database.
        topic
            The topic's name; finds an earlier topic of the same name.
        """
        return self.run(offsets.claim, topic_id, partition, topic=topic, owner=self._owner)

    def load_streams(
        self, topic_id: UUID, partition: int, firsts: Mapping[StreamKey, datetime]
    ) -> dict[StreamKey, CachedStream]:
        """Load state and window of streams that are not cached.

        Parameters
        ----------
        firsts : {key: time}
            The streams, each with the time of its first reading here. A stream that is new to
            this partition takes over its newest state elsewhere that is older than this reading.
        """
        with transaction(self._engine) as connection:
            own = stream_states.load_states(connection, topic_id, partition, firsts)
            windows = stored_windows.stored_windows(connection, own)
            new = {key: first for key, first in firsts.items() if key not in own}
            elsewhere = newest_state_elsewhere(connection, topic_id, partition, new) if new else {}
            newest = stream_states.newest_times(connection, firsts)
        found = {}
        for key in firsts:
            stored = own.get(key) or elsewhere.get(key)
            if stored is None:
                found[key] = CachedStream(elsewhere=newest.get(key))
                continue
            rows = (encode_row(at, features) for at, features in windows.get(key, ()))
            cached = found[key] = CachedStream(
                window=Window(rows),
                window_length=stored.window_length or 0,
                last=stored.last_timestamp,
                elsewhere=newest.get(key),
            )
            cached.set_state(stored.state)
        return found

    def unkeyed(
        self, topic_id: UUID, seen: Mapping[StreamKey, tuple[int, datetime]]
    ) -> set[StreamKey]:
        """Return streams that also have readings in other partitions of the topic.

        Parameters
        ----------
        seen : {key: (partition, last)}
            The partition of each stream here, and its newest known time there.
        """
        return self.run(stream_states.unkeyed_streams, topic_id, seen)

    def duplicates(
        self, candidates: Sequence[tuple[StreamKey, datetime]]
    ) -> dict[int, list[tuple[UUID, dict[str, float]]]]:
        """Return stored readings with the same stream and time, by index into ``candidates``."""
        return self.run(stored_windows.find_duplicates, candidates)

    def criticalities(self, assets: Iterable[str]) -> dict[str, str]:
        """Return the criticality of each asset; cached for ``CRITICALITY_SECONDS``."""
        now = time.monotonic()
        known = self._criticalities
        held = {one: known.get(one, (0.0, "")) for one in assets}
        answer = {one: criticality for one, (until, criticality) in held.items() if until >= now}
        missing = held.keys() - answer.keys()
        if missing:
            found = self.run(asset_criticalities, missing)
            if len(known) + len(found) > CRITICALITIES_KEPT:
                known.clear()
            known.update({key: (now + CRITICALITY_SECONDS, one) for key, one in found.items()})
            answer |= found
        return answer

    def schedules(self) -> Schedules:
        """Return maintenance windows, resets and feedback; cached for ``SCHEDULE_SECONDS``."""
        now = time.monotonic()
        known = self._schedules
        if now < self._schedules_until:
            return known
        with transaction(self._engine) as connection:
            # recurring windows apply to readings of any age, single ones also to late readings
            since = datetime.now(UTC) - timedelta(days=schedules.WINDOW_DAYS)
            planned = schedules.windows(connection, since)
            fresh = known.renewed(
                [schedules.window_wire(row) for row in planned if row["alarms"]],
                [schedules.condition_wire(row) for row in schedules.off_conditions(connection)],
                schedules.resets(connection, known.newest_reset),
                feedback.false_alarms(connection, self._settings.feedback_raise_days),
                incidents.closed_persistent(connection),
            )
        self._schedules, self._schedules_until = fresh, now + SCHEDULE_SECONDS
        return fresh

    def event_level(self, asset_id: str, sensor_id: str | None, event: Mapping[str, Any]) -> int:
        """Return the highest stored severity of an event as an index into SEVERITIES; -1: none.

        Parameters
        ----------
        event
            An event's ``id`` and ``started_at``, from a result's metadata.
        """
        key = stream_key(asset_id, sensor_id)
        # the event's late anomalies can be older than its start
        since = moved(parse_timestamp(event["started_at"]), -self._late)
        found = self.run(stored_windows.event_criticalities, key, event["id"], since)
        return max((SEVERITIES.index(one) for one in found), default=-1)

    def commit(self, batch: BatchCommit, before_commit: Callable[[], None] = lambda: None) -> None:
        """Store one batch in one transaction; call ``before_commit`` just before COMMIT.

        Raises
        ------
        FencedError
            A partition's stored offset or epoch has changed; nothing was stored.
        """
        with transaction(self._engine) as connection:
            insert_detections(connection, batch.detections)
            insert_dead_letters(connection, batch.dead_letters)
            for source in sorted(batch.states):
                stream_states.save_states(connection, batch.states[source])
            news = record(connection, batch.detections, self._settings, "bridge")
            alarms = [batch.news[row["id"]] for row in news if row["id"] in batch.news]
            add_outbox(connection, [*batch.outbox, *alarms])
            for move in sorted(batch.moves, key=lambda m: (m.topic_id, m.partition)):
                if not offsets.advance(connection, move):
                    raise FencedError(
                        f"partition {move.partition}: the stored offset is not {move.expected}, or"
                        " another bridge has claimed it"
                    )
            before_commit()
        self._outbox.put([*batch.outbox, *alarms])

    def waiting(
        self,
        sources: Collection[Source],
        target: Target,
        after: int,
        limit: int,
        without: Collection[int] = (),
    ) -> list[OutboxMessage]:
        """Return the oldest unpublished messages of these partitions to a target.

        Parameters
        ----------
        sources
            The partitions.
        target
            One topic, or every topic except some.
        after
            Messages up to this id are skipped.
        limit
            Maximum number of messages.
        without
            Ids of messages that are skipped too.
        """
        return self.run(
            outbox.next_outbox,
            sources,
            limit,
            target=target,
            after=after,
            without=without,
            take_content=self._outbox.take,
        )

    def publish_orphans(
        self,
        sources: Collection[Source],
        target: Target,
        after: int,
        limit: int,
        publish: Callable[[list[OutboxMessage]], Sequence[int]],
    ) -> list[OutboxMessage]:
        """Publish messages that no bridge owns; their rows are locked against other bridges.

        All messages that were read are returned.

        Parameters
        ----------
        sources, target, after, limit
            See :meth:`waiting`.
        publish
            Sends messages; returns the ids whose rows can be deleted.
        """
        with transaction(self._engine) as connection:
            if not outbox.may_publish(connection, sources):
                return []
            messages = outbox.next_outbox(
                connection, sources, limit, target=target, after=after, skip_locked=True
            )
            if messages:
                outbox.delete_outbox(connection, publish(messages))
            return messages
