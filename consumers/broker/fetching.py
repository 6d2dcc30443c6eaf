"""Replace the batch reader in kafka-python's consumer by ours, which bounds memory.

kafka-python 3.0 decompresses a whole batch at once, and fails a whole ``poll`` because of a header
name that is not UTF-8. It also takes the end of the log for the end of the readable records, which
is earlier while a transaction is open. This module uses private parts of kafka-python, as
:mod:`consumers.broker.internals` does.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import partial
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka import errors as kafka_errors
from kafka.consumer.fetcher import Fetcher
from kafka.protocol.consumer import IsolationLevel
from kafka.record.default_records import DefaultRecordBatch
from kafka.record.legacy_records import LegacyRecordBatch

from consumers.broker.unpacking import Batch, EmptyOffsets, FetchedRecord
from consumers.partition import size

_LENGTH_AT, _LENGTH_BEHIND, _MAGIC_AT = 8, 12, 16

Element = FetchedRecord | EmptyOffsets


class Allowance:
    """Limit the bytes that one ``poll`` returns and that one record may inflate to.

    Parameters
    ----------
    buffer : int
        Maximum size of all buffered records, including those of earlier polls.
    """

    def __init__(self, buffer: int) -> None:
        self.record = max(1, buffer // 4)
        self._poll = max(1, buffer // 8)
        self.left = self._poll

    def renew(self) -> None:
        """Reset the allowance for another poll."""
        self.left = self._poll


class BoundedRecords(Fetcher.PartitionRecords):  # type: ignore[misc]
    """One partition's part of a fetch, unpacked on demand."""

    def __init__(self, *given: Any, allowance: Allowance, **options: Any) -> None:
        self._allowance = allowance
        super().__init__(*given, **options)

    def take(self, n: int | None = None) -> list[Element]:
        """Return at most ``n`` elements, but at least one of any size."""
        taken: list[Element] = []
        for element in itertools.islice(self.record_iterator, n):
            taken.append(element)
            if isinstance(element, FetchedRecord):
                self._allowance.left -= size(element)
                if self._allowance.left <= 0:
                    break
        return taken

    def _unpack_records(self, tp: TopicPartition, records: Any, *_: Any) -> Iterator[Element]:
        raws = list(_split(bytes(records._buffer)))
        for number, raw in enumerate(raws):
            after = _base(raws[number + 1]) if number + 1 < len(raws) else None
            if len(raw) > _MAGIC_AT and raw[_MAGIC_AT] < 2:
                found = _legacy(raw, after)
            elif len(raw) < DefaultRecordBatch.HEADER_STRUCT.size:
                found = _unparsable(raw, after)
            else:
                found = self._batch(Batch(raw, self._allowance.record), after)
            for element in found:
                self.next_fetch_offset = element.offset + 1
                yield element
        self.drain()

    def _batch(self, batch: Batch, after: int | None) -> Iterator[Element]:
        self.leader_epoch = batch.leader_epoch
        end, expected = batch.end(after, self.fetch_offset), batch.base
        for record in self._records(batch, end):
            yield record
            expected = record.offset + 1
        if expected < end:
            yield EmptyOffsets(end - 1, expected)

    def _records(self, batch: Batch, end: int) -> Iterator[FetchedRecord]:
        if end <= self.fetch_offset:
            return iter(())  # a damaged batch whose offsets are all processed
        if not batch.whole:
            first = max(batch.base, self.fetch_offset)
            why = "the checksum of its batch is wrong"
            return iter(batch.salvaged(first, end - 1, why))
        if self._is_void(batch):
            return iter(())
        return batch.records()

    def _is_void(self, batch: Batch) -> bool:
        """Return whether a batch is a transaction marker or belongs to an aborted transaction."""
        if self.isolation_level != IsolationLevel.READ_COMMITTED or batch.producer_id < 0:
            return batch.is_control
        self._consume_aborted_transactions_up_to(batch.last)
        if batch.is_control:
            if batch.aborts():
                self.aborted_producer_ids.discard(batch.producer_id)
            return True
        return batch.is_transactional and batch.producer_id in self.aborted_producer_ids


def install(consumer: KafkaConsumer, buffer: int) -> None:
    """Let a consumer return :class:`FetchedRecord` and :class:`EmptyOffsets`, bounded in memory.

    Parameters
    ----------
    buffer : int
        Maximum size of all buffered records in bytes.
    """
    fetcher, allowance = consumer._fetcher, Allowance(buffer)
    append, hand_out, parse = fetcher._append, fetcher.fetched_records, fetcher._parse_fetched_data

    def appended(drained: Any, part: Any, max_records: int, update_offsets: bool) -> int:
        count: int = append(drained, part, max_records, update_offsets)
        return max_records if allowance.left <= 0 else count  # max_records ends the poll

    def handed_out(*given: Any, **options: Any) -> Any:
        allowance.renew()
        return hand_out(*given, **options)

    def parsed(completed: Any) -> Any:
        data = completed.partition_data
        if 0 <= data.last_stable_offset < data.high_watermark:
            data.high_watermark = data.last_stable_offset
        try:
            return parse(completed)
        except kafka_errors.CorruptRecordError as error:  # reported by the broker, without bytes
            error.partition = completed.topic_partition
            raise

    fetcher.PartitionRecords = partial(BoundedRecords, allowance=allowance)
    fetcher._append, fetcher.fetched_records = appended, handed_out
    fetcher._parse_fetched_data = parsed


def _split(data: bytes) -> Iterator[bytes]:
    """Yield the whole batches; a broker may truncate the last one."""
    at = 0
    while at + _LENGTH_BEHIND <= len(data):
        length = int.from_bytes(data[at + _LENGTH_AT : at + _LENGTH_BEHIND], "big", signed=True)
        end = at + _LENGTH_BEHIND + max(0, length)
        if end > len(data):
            return
        yield data[at:end]
        at = end


def _base(raw: bytes) -> int:
    return int.from_bytes(raw[:_LENGTH_AT], "big", signed=True)


def _legacy(raw: bytes, after: int | None) -> Iterator[Element]:
    """Yield records of formats 0 and 1, written by brokers before 0.11."""
    try:
        batch = LegacyRecordBatch(memoryview(raw), raw[_MAGIC_AT])
        if not batch.validate_crc():
            raise ValueError("the checksum is wrong")
        for record in batch:
            stamp = -1 if record.timestamp is None else record.timestamp
            yield FetchedRecord(record.offset, record.offset, stamp, record.key, record.value)
    except (ValueError, IndexError, RuntimeError, OSError, kafka_errors.KafkaError) as error:
        yield from _unparsable(raw, after, f"the message is malformed: {error}")


def _unparsable(
    raw: bytes, after: int | None, why: str = "shorter than a batch can be"
) -> Iterator[Element]:
    """Yield a batch that cannot be parsed as one unreadable record, then its other offsets."""
    base = _base(raw)
    yield FetchedRecord(base, base, -1, None, raw, unreadable=why, retry=True)
    if after is not None and after > base + 1:
        yield EmptyOffsets(after - 1, base + 1)
