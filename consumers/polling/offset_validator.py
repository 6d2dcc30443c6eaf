"""What was fetched, against what was expected: holes, damage, offsets given twice or gone."""

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
from consumers.partition import AssignedPartition
from consumers.polling.claims import bounds, say_truncated, settle
from errors import BrokerUnavailable

log = logging.getLogger("consumers.bridge")

ASK_SECONDS = 5.0


@dataclass(slots=True)
class _Damage:
    """Bytes of a partition that cannot be read, and how often they were fetched."""

    trouble: Outage
    offset: int = -1
    tries: int = 0
    put_aside: int = -1  # its records before this offset are dead letters


class OffsetValidator:
    """Lets nothing into a place's buffer that does not continue it.

    Parameters
    ----------
    tries : int
        How often damaged bytes are fetched before their records are put aside as unreadable.
    """

    def __init__(
        self, consumer: KafkaConsumer, metrics: Metrics, notice: StateListener, tries: int
    ) -> None:
        self._consumer = consumer
        self._metrics = metrics
        self._notice = notice
        self._tries = tries
        self._damages: dict[TopicPartition, _Damage] = {}

    def accept(self, place: AssignedPartition, elements: Sequence[Element], now: float) -> float:
        """Take the fetched elements in that belong into the buffer now.

        Returns
        -------
        float
            Seconds to wait before more is fetched, from ``place.fetched`` on; 0: go on.
        """
        if elements[0].follows > place.fetched and not self._is_hole(place, elements[0].follows):
            return 0.0
        sound, wait = self._sound(place, elements)
        if sound:
            lowest = place.next
            kept = [one for one in sound if isinstance(one, FetchedRecord) and one.offset >= lowest]
            # a log that was cut short gives offsets a second time: they are accounted for
            self._metrics.lost.inc(
                sum(1 for one in sound if isinstance(one, FetchedRecord) and one.offset < lowest)
            )
            place.extend(kept, sound[-1].offset + 1, now)
        return wait

    def out_of_range(self, place: AssignedPartition, offset: int) -> None:
        """The broker does not have ``offset``: say what is lost, read on where it can be."""
        begin, end = bounds(self._consumer, place.partition, ASK_SECONDS)
        self._read_on(place, settle(place, offset, begin, end, self._metrics))

    def truncated(self, place: AssignedPartition, end: int | None) -> None:
        """The broker lost the end of the log, perhaps with other records in its place since.

        ``end`` is where the log that was read ends now, or None where the broker cannot tell.
        """
        if end is None:
            end = bounds(self._consumer, place.partition, ASK_SECONDS)[1]
        if end < place.fetched:
            say_truncated(place, place.fetched, end)
        self._read_on(place, min(end, place.fetched))

    def unreadable(self, place: AssignedPartition, error: Exception) -> float:
        """The broker itself cannot read its log: seconds to wait before it is asked again.

        No bytes came that could be put aside, and nothing says where the next record begins.
        """
        return self._damage(place).trouble.failed(_unreadable(place, str(error)))

    def _read_on(self, place: AssignedPartition, offset: int) -> None:
        place.extend((), offset, 0.0)
        self._consumer.seek(place.partition, offset)

    def _is_hole(self, place: AssignedPartition, first: int) -> bool:
        """Whether the offsets before ``first`` are really not there.

        Compaction leaves holes, and the broker may have dropped records; but a poll that failed
        half-way may also have swallowed some. So a hole is believed when it is seen twice in the
        same place.
        """
        hole = (place.fetched, first)
        if place.hole != hole:
            place.hole = hole
            self._consumer.seek(place.partition, place.fetched)
            return False
        begin, end = bounds(self._consumer, place.partition, ASK_SECONDS)
        settle(place, place.fetched, min(begin, first), max(end, first), self._metrics)
        return True

    def _sound(
        self, place: AssignedPartition, elements: Sequence[Element]
    ) -> tuple[Sequence[Element], float]:
        """What comes before damaged bytes, and how long to wait; all, once they were tried enough.

        Another replica may have them whole, and may become the one that is asked.
        """
        at = next((n for n, one in enumerate(elements) if one.retry), None)
        if at is None:
            if place.partition in self._damages:
                self._damages.pop(place.partition).trouble.passed()
            return elements, 0.0
        first: Any = elements[at]
        damage = self._damage(place)
        behind = max(one.offset for one in elements if one.retry) + 1
        if at == 0 and first.offset == damage.put_aside:
            damage.put_aside = behind  # one poll does not give all of a large batch
            return elements, 0.0
        if damage.offset != first.offset:
            damage.offset, damage.tries = first.offset, 0
        damage.tries += 1
        if damage.tries < self._tries:
            return elements[:at], damage.trouble.failed(_unreadable(place, first.unreadable))
        log.error(
            "%s[%d]: offset %d and those with it cannot be read after %d tries (%s): dead letters",
            *place.partition, first.offset, damage.tries, first.unreadable,
            extra={"action": "unreadable"},
        )  # fmt: skip
        damage.put_aside = behind
        damage.trouble.passed()
        return elements, 0.0

    def _damage(self, place: AssignedPartition) -> _Damage:
        topic, partition = place.partition
        if place.partition not in self._damages:
            trouble = Outage(f"{topic}[{partition}]", self._notice)
            self._damages[place.partition] = _Damage(trouble)
        return self._damages[place.partition]


def _unreadable(place: AssignedPartition, why: str | None) -> BrokerUnavailable:
    said = f"what follows offset {place.next - 1} cannot be read ({why})"
    return BrokerUnavailable(said, code="unreadable")
