"""Validate fetched records: gaps, damaged bytes, repeated or deleted offsets."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from consumers.broker.fetching import Element
from consumers.broker.unpacking import FetchedRecord
from consumers.metrics import Metrics
from consumers.outage import Outage, StateListener
from consumers.partition import AssignedPartition, PartitionTable
from consumers.polling.claims import bounds, report_truncated, settle
from errors import BrokerUnavailable

log = logging.getLogger("consumers.bridge")

ASK_SECONDS = 5.0  # maximum wait for the broker's answer


@dataclass(slots=True)
class _Damage:
    """Unreadable bytes of a partition, and how often they were fetched."""

    outage: Outage
    offset: int = -1
    tries: int = 0
    put_aside: int = -1  # records before this offset become dead letters


class OffsetValidator:
    """Accept only records that continue a partition without a gap or a repeat.

    Parameters
    ----------
    consumer : KafkaConsumer
    metrics : Metrics
    listener : callable
        Called when damage begins and ends.
    tries : int
        Number of fetches of damaged bytes before their records become dead letters.
    """

    def __init__(
        self, consumer: KafkaConsumer, metrics: Metrics, listener: StateListener, tries: int
    ) -> None:
        self._consumer = consumer
        self._metrics = metrics
        self._listener = listener
        self._tries = tries
        self._damages: dict[TopicPartition, _Damage] = {}

    def accept(self, assigned: AssignedPartition, elements: Sequence[Element], now: float) -> float:
        """Buffer the fetched elements that continue the partition.

        Parameters
        ----------
        elements
            At least one, in the order of their offsets.
        now
            `time.monotonic`.

        Returns
        -------
        float
            Seconds to wait before fetching from ``assigned.fetched`` again; 0: continue.
        """
        if elements[0].follows > assigned.fetched and not self._is_hole(
            assigned, elements[0].follows
        ):
            return 0.0
        sound, wait = self._sound(assigned, elements)
        if sound:
            lowest = assigned.next
            kept = [one for one in sound if isinstance(one, FetchedRecord) and one.offset >= lowest]
            # a truncated log assigns offsets a second time: these are already stored
            self._metrics.lost.inc(
                sum(1 for one in sound if isinstance(one, FetchedRecord) and one.offset < lowest)
            )
            assigned.extend(kept, sound[-1].offset + 1, now)
        return wait

    def out_of_range(self, assigned: AssignedPartition, offset: int) -> None:
        """Log the lost records and continue at the first available offset."""
        begin, end = bounds(self._consumer, assigned.topic_partition, ASK_SECONDS)
        self._read_on(assigned, settle(assigned, offset, begin, end, self._metrics))

    def truncated(self, assigned: AssignedPartition, end: int | None) -> None:
        """Continue in a log whose end the broker lost, perhaps with new records since.

        ``end`` is the present end of the log that was read, or None if the broker does not know.
        """
        if end is None:
            end = bounds(self._consumer, assigned.topic_partition, ASK_SECONDS)[1]
        if end < assigned.fetched:
            report_truncated(assigned, assigned.fetched, end)
        self._read_on(assigned, min(end, assigned.fetched))

    def unreadable(self, assigned: AssignedPartition, error: Exception) -> float:
        """Return the seconds to wait before asking a broker again that cannot read its own log.

        The broker sent no bytes that could be stored as dead letters, and the next record's offset
        is unknown.
        """
        return self._damage(assigned).outage.record_failure(_unreadable(assigned, str(error)))

    def forget_damages(self, table: PartitionTable) -> None:
        """Forget the damage of partitions that are no longer in the table."""
        for topic_partition in list(self._damages):
            if table.get(topic_partition) is None:
                self._damages.pop(topic_partition).outage.abandon()

    def _read_on(self, assigned: AssignedPartition, offset: int) -> None:
        assigned.extend((), offset, 0.0)
        self._consumer.seek(assigned.topic_partition, offset)

    def _is_hole(self, assigned: AssignedPartition, first: int) -> bool:
        """Return whether the offsets before ``first`` really do not exist.

        Compaction leaves gaps, and the broker may have deleted records. But a poll that failed
        half-way may also have lost some. So a gap counts once two polls find it at the same
        offsets.
        """
        if not assigned.confirm_hole(first):
            self._consumer.seek(assigned.topic_partition, assigned.fetched)
            return False
        begin, end = bounds(self._consumer, assigned.topic_partition, ASK_SECONDS)
        settle(assigned, assigned.fetched, min(begin, first), max(end, first), self._metrics)
        return True

    def _sound(
        self, assigned: AssignedPartition, elements: Sequence[Element]
    ) -> tuple[Sequence[Element], float]:
        """Return the elements before damaged bytes (or all, after enough tries), and the wait.

        Another replica may have undamaged bytes, and may become the leader meanwhile.
        """
        at = next((n for n, one in enumerate(elements) if one.retry), None)
        if at is None:
            if assigned.topic_partition in self._damages:
                self._damages.pop(assigned.topic_partition).outage.record_success()
            return elements, 0.0
        first: Any = elements[at]
        damage = self._damage(assigned)
        behind = max(one.offset for one in elements if one.retry) + 1
        if at == 0 and first.offset == damage.put_aside:
            damage.put_aside = behind  # one poll may return only a part of a large batch
            return elements, 0.0
        if damage.offset != first.offset:
            damage.offset, damage.tries = first.offset, 0
        damage.tries += 1
        if damage.tries < self._tries:
            return elements[:at], damage.outage.record_failure(
                _unreadable(assigned, first.unreadable)
            )
        log.error(
            "%s: offset %d and the rest of its batch are unreadable after %d tries (%s):"
            " they become dead letters",
            assigned, first.offset, damage.tries, first.unreadable,
            extra={"action": "unreadable"},
        )  # fmt: skip
        damage.put_aside = behind
        damage.outage.record_success()
        return elements, 0.0

    def _damage(self, assigned: AssignedPartition) -> _Damage:
        if assigned.topic_partition not in self._damages:
            # not the partition alone, which is the name of the broker's outages about it
            outage = Outage(f"reading {assigned}", self._listener)
            self._damages[assigned.topic_partition] = _Damage(outage)
        return self._damages[assigned.topic_partition]


def _unreadable(assigned: AssignedPartition, why: str | None) -> BrokerUnavailable:
    text = f"the bytes after offset {assigned.next - 1} cannot be read ({why})"
    return BrokerUnavailable(text, code="unreadable")
