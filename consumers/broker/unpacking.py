"""Unpack Kafka's record batches (format 2) into records, one by one and with bounded memory.

Every offset of the log yields something, so that a reader can distinguish a gap from a loss: a
:class:`FetchedRecord` (perhaps with the reason why it is unreadable), or :class:`EmptyOffsets` for
offsets without a record (transaction markers, aborted records, records removed by compaction).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from kafka.record.default_records import DefaultRecordBatch
from kafka.record.util import calc_crc32c, decode_varint

from consumers.broker.inflating import InflateError, chunks

_HEADER = DefaultRecordBatch.HEADER_STRUCT
_CHECKED_FROM = DefaultRecordBatch.ATTRIBUTES_OFFSET  # the checksum covers the bytes from here
# Maximum offsets of a batch with a damaged header; no broker accepts more records in a batch.
_MAX_OFFSETS = 1_000_000
_LENGTH_BYTES = 10  # maximum length of a varint
_FRONT_BYTES = 50  # start of a record: attributes and the varints up to its value's length

Header = tuple[str, bytes | None]


@dataclass(slots=True)
class FetchedRecord:
    """One record as stored by the broker.

    Parameters
    ----------
    follows : int
        The offsets from here up to the record's own hold no other record.
    timestamp : int
        Milliseconds; -1: none.
    unreadable : str or None
        Why the record cannot be read; key, value and headers then hold the readable parts.
    retry : bool
        The bytes differ from those sent, so another fetch may return them undamaged.
    """

    offset: int
    follows: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[Header] = ()
    unreadable: str | None = None
    retry: bool = False


@dataclass(frozen=True, slots=True)
class EmptyOffsets:
    """The offsets from ``follows`` through ``offset`` hold no record."""

    offset: int
    follows: int
    retry: bool = False


class Batch:
    """One batch of format 2.

    Parameters
    ----------
    raw : bytes
        The batch including its header.
    limit : int
        Maximum size of one decompressed record.
    """

    def __init__(self, raw: bytes, limit: int) -> None:
        self.raw = raw
        self._limit = limit
        (
            self.base, _, self.leader_epoch, _, self._crc, self._attributes, self._last_delta,
            self._first_timestamp, self._max_timestamp, self.producer_id, _, _, self._count,
        ) = _HEADER.unpack_from(raw)  # fmt: skip

    @property
    def last(self) -> int:
        """Its last offset, even if no record has it any more."""
        return int(self.base + self._last_delta)

    @property
    def is_control(self) -> bool:
        """Whether it only marks the end of a transaction."""
        return bool(self._attributes & DefaultRecordBatch.CONTROL_MASK)

    @property
    def is_transactional(self) -> bool:
        """Whether it is part of a transaction."""
        return bool(self._attributes & DefaultRecordBatch.TRANSACTIONAL_MASK)

    def aborts(self) -> bool:
        """Whether this marker aborts its transaction (type 0 in its key)."""
        marker = next(self._parse(), None)
        return marker is not None and (marker.key or b"")[2:4] == b"\x00\x00"

    def end(self, after: int | None, fetched: int) -> int:
        """Return the offset after the batch; a damaged header is trusted only within limits.

        Parameters
        ----------
        after : int or None
            First offset of the next batch, if known.
        fetched : int
            The requested offset, which must belong to this batch.
        """
        claimed = self.last + 1
        if self.whole or (
            self._last_delta + 1 == self._count > 0 and (after is None or claimed <= after)
        ):
            return claimed
        return max(self.base, fetched) + 1 if after is None else after

    @cached_property
    def whole(self) -> bool:
        """Whether the checksum matches."""
        return bool(calc_crc32c(memoryview(self.raw)[_CHECKED_FROM:]) == self._crc)

    def records(self) -> Iterator[FetchedRecord]:
        """Yield the records; unreadable ones at the end carry the reason."""
        expected, made = self.base, 0
        try:
            for record in self._parse():
                if record.offset < expected or record.offset > self.last:
                    raise ValueError(f"offset {record.offset} out of order")
                record.follows, expected, made = expected, record.offset + 1, made + 1
                yield record
        except (InflateError, ValueError, IndexError, OverflowError) as error:
            yield from self.given_up(expected, self.last, f"the batch is malformed: {error}")

    def given_up(
        self, first: int, last: int, why: str, retry: bool = False
    ) -> Iterator[FetchedRecord]:
        """Yield one unreadable record per offset; the first holds the batch's raw bytes.

        Parameters
        ----------
        first, last
            Range of unreadable offsets, both included.
        why
            Message of the dead letters.
        retry
            Whether another fetch may return other bytes.
        """
        value: bytes | None = self.raw
        for offset in range(first, min(last, first + _MAX_OFFSETS) + 1):
            text = why if value else f"{why}; its bytes are with offset {first}"
            yield FetchedRecord(offset, offset, -1, None, value, unreadable=text, retry=retry)
            value = None

    def salvaged(self, first: int, last: int, why: str) -> list[FetchedRecord]:
        """Return a damaged batch's records, each with its own bytes if possible.

        Parameters
        ----------
        first, last
            Range of wanted offsets, both included; the others are already processed.
        why
            Message of the dead letters.
        """
        found: list[FetchedRecord] = []
        size = 0
        try:
            for record in self._parse():
                size += len(record.value or b"")
                if size > self._limit or record.offset != self.base + len(found):
                    raise ValueError
                found.append(record)
        except (InflateError, ValueError, IndexError, OverflowError):
            found = []
        if not found or found[-1].offset > last:
            return list(self.given_up(first, last, why, retry=True))
        for record in found:
            record.unreadable, record.retry = why, True
        return [record for record in found if record.offset >= first]

    def _parse(self) -> Iterator[FetchedRecord]:
        codec = self._attributes & DefaultRecordBatch.CODEC_MASK
        source = _Source(chunks(codec, self.raw[_HEADER.size :], self._limit))
        for _ in range(self._count):
            length = source.varint()
            if length < 0:
                raise ValueError(f"a record of {length} bytes")
            if codec and length > self._limit:
                yield self._too_large(source, length)
            else:
                yield self._record(source.take(length))
        if source.left():
            raise ValueError("bytes behind the last record")

    def _record(self, data: bytes) -> FetchedRecord:
        offset, timestamp, at = self._front(data)
        key, at = _bytes(data, at)
        value, at = _bytes(data, at)
        count, at = decode_varint(data, at)
        if count == 0 and at == len(data):
            return FetchedRecord(offset, offset, timestamp, key, value)
        if count < 0 or count > len(data):
            raise ValueError(f"{count} headers")
        headers: list[Header] = []
        record = FetchedRecord(offset, offset, timestamp, key, value, headers)
        for _ in range(count):
            name, at = _bytes(data, at)
            content, at = _bytes(data, at)
            if name is None:
                raise ValueError("a header without a name")
            try:
                text = name.decode()
            except UnicodeDecodeError:
                text = name.decode("latin-1")
                record.unreadable = f"the name of header {text[:80]!r} is not UTF-8"
            headers.append((text, content))
        if at != len(data):
            raise ValueError("a record longer than its parts")
        return record

    def _front(self, data: bytes) -> tuple[int, int, int]:
        """Return offset, timestamp, and the position of the key."""
        delta, at = decode_varint(data, 1)  # after the attributes, which are unused
        offset, at = decode_varint(data, at)
        appended = self._attributes & DefaultRecordBatch.TIMESTAMP_TYPE_MASK
        timestamp = self._max_timestamp if appended else self._first_timestamp + delta
        return self.base + offset, timestamp, at

    def _too_large(self, source: _Source, length: int) -> FetchedRecord:
        """Skip a record that does not fit into memory."""
        front = source.take(min(length, _FRONT_BYTES))
        offset, timestamp, _ = self._front(front)
        source.skip(length - len(front))
        why = f"it inflates to {length} bytes; at most {self._limit} are allowed (BRIDGE_BUFFER_MB)"
        return FetchedRecord(offset, offset, timestamp, None, None, unreadable=why)


class _Source:
    """Read bytes from chunks; holds at most the requested bytes and one chunk."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts = parts
        self._data = b""
        self._at = 0

    def take(self, count: int) -> bytes:
        """Return the next ``count`` bytes.

        Raises
        ------
        ValueError
            There are fewer bytes.
        """
        begin, self._at = self._at, self._at + count
        if self._at > len(self._data):
            self._at = begin
            self._fill(count)
            begin, self._at = self._at, self._at + count
            if self._at > len(self._data):
                raise ValueError("it ends too early")
        return self._data[begin : self._at]

    def skip(self, count: int) -> None:
        while count > 0:
            step = min(count, len(self._data) - self._at)
            self._at += step
            count -= step
            if count and not self._more():
                raise ValueError("it ends too early")

    def varint(self) -> int:
        if len(self._data) - self._at < _LENGTH_BYTES:
            self._fill(_LENGTH_BYTES)
        value: int
        value, self._at = decode_varint(self._data, self._at)
        return value

    def left(self) -> bool:
        self._fill(1)
        return self._at < len(self._data)

    def _fill(self, count: int) -> None:
        while len(self._data) - self._at < count and self._more():
            pass

    def _more(self) -> bool:
        part = next(self._parts, None)
        if part is None:
            return False
        self._data = self._data[self._at :] + part
        self._at = 0
        return True


def _bytes(data: bytes, at: int) -> tuple[bytes | None, int]:
    """Return the bytes after a length field; a negative length means null."""
    length, at = decode_varint(data, at)
    if length < 0:
        return None, at
    end = at + length
    if end > len(data):
        raise ValueError("a part longer than its record")
    return data[at:end], end
