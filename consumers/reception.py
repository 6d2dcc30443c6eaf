"""What was fetched, against what was expected: holes, offsets given twice, offsets out of range."""

from __future__ import annotations

from typing import Any

from kafka import KafkaConsumer, TopicPartition

from consumers.claims import bounds, settle
from consumers.metrics import Metrics
from consumers.places import Place
from consumers.trouble import Notice, Trouble
from errors import BrokerUnavailable

ASK_SECONDS = 5.0


class Reception:
    """Lets nothing into a place's buffer that does not continue it."""

    def __init__(self, consumer: KafkaConsumer, metrics: Metrics, notice: Notice) -> None:
        self._consumer = consumer
        self._metrics = metrics
        self._notice = notice
        self._unreadable: dict[TopicPartition, Trouble] = {}

    def accept(self, place: Place, records: list[Any]) -> list[Any]:
        """Those of the polled records that belong into the buffer now."""
        first = records[0].offset
        if place.partition in self._unreadable:
            self._unreadable.pop(place.partition).passed()
        if first > place.fetched and not self._is_hole(place, first):
            return []
        if first < place.position:
            return self._pass_over(place, records)
        return records

    def out_of_range(self, place: Place, offset: int) -> None:
        """The broker does not have ``offset``: say what is lost, read on where it can be."""
        begin, end = bounds(self._consumer, place.partition, ASK_SECONDS)
        place.fetched = settle(place, offset, begin, end, self._metrics)
        if not place.buffer:
            place.position = max(place.position, place.fetched)
        self._consumer.seek(place.partition, place.fetched)

    def unreadable(self, place: Place, error: Exception) -> float:
        """Bytes came that cannot be read: said once; seconds to wait before the next look.

        Nothing is passed over: another replica may have them whole, or a package be missing.
        """
        topic, partition = place.partition
        trouble = self._unreadable.setdefault(
            place.partition, Trouble(f"{topic}[{partition}]", self._notice)
        )
        said = f"what follows offset {place.fetched - 1} cannot be read ({error})"
        return trouble.failed(BrokerUnavailable(said, code="unreadable"))

    def _is_hole(self, place: Place, first: int) -> bool:
        """Whether the offsets before ``first`` are really not there.

        Compaction and transactions leave holes, and the broker may have dropped records; but a
        poll that failed half-way may also have swallowed some. So a hole is believed when it is
        seen twice in the same place.
        """
        hole = (place.fetched, first)
        if place.hole != hole:
            place.hole = hole
            self._consumer.seek(place.partition, place.fetched)
            return False
        begin, end = bounds(self._consumer, place.partition, ASK_SECONDS)
        settle(place, place.fetched, min(begin, first), max(end, first), self._metrics)
        return True

    def _pass_over(self, place: Place, records: list[Any]) -> list[Any]:
        """Leave out offsets that are accounted for: a log cut short gives them a second time."""
        kept = [record for record in records if record.offset >= place.position]
        self._metrics.lost.inc(len(records) - len(kept))
        place.fetched = records[-1].offset + 1
        return kept
