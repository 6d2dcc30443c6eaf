"""Record batches: read a few records at a time, damaged and foreign ones accounted for."""

from __future__ import annotations

import gzip
import random
import tracemalloc
from collections.abc import Callable, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kafka import TopicPartition
from kafka.protocol.consumer import IsolationLevel
from kafka.record import MemoryRecords
from kafka.record.memory_records import MemoryRecordsBuilder

from consumers.broker.fetching import Allowance, BoundedRecords, Element
from consumers.broker.unpacking import EmptyOffsets, FetchedRecord

AT = TopicPartition("in", 0)
CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
BUFFER = 8 * 2**20


def batch(
    values: Sequence[bytes | None], base: int = 0, codec: int = 0, magic: int = 2, **options: Any
) -> bytes:
    """One batch as a producer builds it and a broker stores it."""
    builder = MemoryRecordsBuilder(magic, codec, 2**30)
    if options:
        builder.set_producer_state(7, 0, 0, True)
    headers = options.get("headers", [])
    for number, value in enumerate(values):
        builder.append(1_000 + number, b"k%d" % number, value, headers)
    builder.close()
    made = bytearray(builder.buffer())
    if magic == 2:  # the builder counts offsets from 0, the broker sets where they begin
        made[:8] = base.to_bytes(8, "big")
    return bytes(made)


def read(
    data: bytes, offset: int = 0, poll: int = 10_000, buffer: int = BUFFER, aborted: Any = ()
) -> list[Element]:
    """Everything, ``poll`` elements at a time."""
    allowance, found = Allowance(buffer), []
    part = BoundedRecords(
        offset, AT, MemoryRecords(data), isolation_level=IsolationLevel.READ_COMMITTED,
        aborted_transactions=list(aborted), allowance=allowance,
    )  # fmt: skip
    while part:
        allowance.renew()
        found.extend(part.take(poll))
    return found


def crc_mended(raw: bytes) -> bytes:
    """A batch that was sent like this."""
    from kafka.record.util import calc_crc32c

    return raw[:17] + calc_crc32c(memoryview(raw)[21:]).to_bytes(4, "big") + raw[21:]


def offsets(elements: Sequence[Element]) -> list[int]:
    return [one.offset for one in elements if isinstance(one, FetchedRecord)]


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
@pytest.mark.parametrize("magic", [0, 1, 2])
def test_every_format_and_codec_is_read(codec: int, magic: int) -> None:
    if (magic < 2 and codec == CODECS["zstd"]) or (magic == 0 and codec == CODECS["lz4"]):
        pytest.skip("zstd came with format 2; lz4 was written wrongly before format 1")
    values = [b"%d" % number * 50 for number in range(300)]
    found = read(batch(values, codec=codec, magic=magic))
    assert [one.value for one in found if isinstance(one, FetchedRecord)] == values
    assert offsets(found) == list(range(300))
    assert all(isinstance(one, FetchedRecord) and one.unreadable is None for one in found)
    if magic == 2:
        assert found[3] == FetchedRecord(3, 3, 1003, b"k3", values[3])


def test_values_keys_and_headers_come_as_they_were_sent() -> None:
    builder = MemoryRecordsBuilder(2, 0, 10_000)
    headers = [("a", b"1"), ("a", None), ("", b""), ("ü\x00", b"\xff")]
    builder.append(5, None, None, headers)
    builder.append(None, b"", b"", [])
    builder.close()
    first, second = read(bytes(builder.buffer()))
    assert isinstance(first, FetchedRecord)
    assert (first.key, first.value, list(first.headers)) == (None, None, headers)
    assert isinstance(second, FetchedRecord)
    assert (second.key, second.value) == (b"", b"")


def test_reading_begins_inside_a_batch() -> None:
    data = batch([b"x"] * 10, base=100, codec=1) + batch([b"y"] * 3, base=110)
    assert offsets(read(data, offset=105)) == [*range(105, 113)]


def test_a_batch_that_the_broker_cut_off_is_left_for_the_next_fetch() -> None:
    whole = batch([b"x"] * 5)
    assert offsets(read(whole + batch([b"y"] * 5, base=5)[:-3])) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
def test_a_small_batch_cannot_fill_the_memory(codec: int) -> None:
    """64 MiB of zeros in a few KB (no codec: in 1 MiB): at most a buffer's part at a time."""
    count = 64 if codec else 1
    data = batch([bytes(2**20)] * count, codec=codec)
    allowance = Allowance(BUFFER)
    part = BoundedRecords(0, AT, MemoryRecords(data), allowance=allowance)
    taken, peak = 0, 0
    tracemalloc.start()
    while part:
        allowance.renew()
        tracemalloc.reset_peak()
        got = part.take(2000)
        taken += len(got)
        peak = max(peak, tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
    assert taken == count
    assert peak < BUFFER


def test_a_record_that_inflates_past_the_bound_is_passed_over_and_said() -> None:
    data = batch([b"a", bytes(40 * 2**20), b"b"], codec=1)
    tracemalloc.start()
    found = read(data, poll=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < BUFFER
    assert offsets(found) == [0, 1, 2]
    first, huge, last = found
    assert isinstance(first, FetchedRecord)
    assert isinstance(last, FetchedRecord)
    assert (first.value, last.value) == (b"a", b"b")
    assert isinstance(huge, FetchedRecord)
    assert "inflates to" in (huge.unreadable or "")
    assert "BRIDGE_BUFFER_MB" in (huge.unreadable or "")
    assert (huge.value, huge.retry) == (None, False)


def test_a_header_name_that_is_not_utf_8_costs_its_record_only() -> None:
    raw = batch([b"a", b"b"], headers=[("xyz", b"1")], transactional=True)
    assert raw.count(b"xyz") == 2
    latin = crc_mended(raw.replace(b"xyz", b"x\xe9z", 1))
    bad, good = read(latin)
    assert isinstance(bad, FetchedRecord)
    assert isinstance(good, FetchedRecord)
    assert "xéz" in (bad.unreadable or "")
    assert (bad.key, bad.value, list(bad.headers)) == (b"k0", b"a", [("xéz", b"1")])
    assert not bad.retry  # the checksum is right: it was sent like this
    assert good.unreadable is None


def test_a_damaged_batch_keeps_its_records_apart_where_it_can() -> None:
    raw = batch([b"value-%d" % number for number in range(4)], base=20)
    damaged = raw.replace(b"value-2", b"valve-2")
    found = read(batch([b"x"] * 20) + damaged + batch([b"y"], base=24))
    bad = [one for one in found[20:24] if isinstance(one, FetchedRecord)]
    assert [one.value for one in bad] == [b"value-0", b"value-1", b"valve-2", b"value-3"]
    assert all(one.retry and "checksum" in (one.unreadable or "") for one in bad)
    assert offsets(found) == list(range(25))
    assert isinstance(found[24], FetchedRecord)
    assert found[24].unreadable is None


@pytest.mark.parametrize("codec", [1, 2, 3, 4])
def test_a_damaged_batch_that_says_nothing_any_more_is_kept_whole(codec: int) -> None:
    raw = bytearray(batch([b"value-%d" % number for number in range(30)], base=5, codec=codec))
    raw[70:80] = bytes(10)
    found = read(bytes(raw) + batch([b"y"], base=35), offset=5)
    assert offsets(found) == list(range(5, 36))
    first, second, *_, last = found
    assert isinstance(first, FetchedRecord)
    assert isinstance(second, FetchedRecord)
    assert isinstance(last, FetchedRecord)
    assert (first.value, first.retry) == (bytes(raw), True)
    assert (second.value, second.retry) == (None, True)
    assert "with offset 5" in (second.unreadable or "")
    assert last.unreadable is None


def test_a_batch_that_was_sent_malformed_is_not_tried_again() -> None:
    raw = bytearray(batch([b"value-%d" % number for number in range(3)], codec=1))
    raw[-30:] = gzip.compress(b"another thing")[-30:]
    found = read(crc_mended(bytes(raw)) + batch([b"y"], base=3))
    assert offsets(found) == [0, 1, 2, 3]
    assert all(isinstance(one, FetchedRecord) and not one.retry for one in found)
    assert isinstance(found[3], FetchedRecord)
    assert found[3].unreadable is None


@pytest.mark.parametrize("field", [23, 57])  # last offset's delta, number of records
def test_a_damaged_header_claims_no_offsets_of_the_next_batch(field: int) -> None:
    raw = bytearray(batch([b"x"] * 3, base=0))
    raw[field : field + 4] = (2**30).to_bytes(4, "big")
    data = bytes(raw) + batch([b"y"] * 2, base=3)
    found = read(data)
    assert offsets(found) == [0, 1, 2, 3, 4]
    assert offsets(read(data, offset=3)) == [3, 4]  # the broker gives the damaged one again
    assert found[0].retry
    assert not found[3].retry


def test_a_damaged_last_batch_moves_on_by_one() -> None:
    raw = bytearray(batch([b"x"] * 3, base=0))
    raw[23:27] = (2**30).to_bytes(4, "big")
    assert offsets(read(bytes(raw))) == [0]
    assert offsets(read(bytes(raw), offset=1)) == [1]


def transaction(base: int, records: int, producer: int, marker: int | None) -> bytes:
    """Records of a transaction, and its marker (0: aborted, 1: committed) where it has ended."""
    made = bytearray(batch([b"t"] * records, base=base, transactional=True))
    made[43:51] = producer.to_bytes(8, "big")
    data = crc_mended(bytes(made))
    if marker is None:
        return data
    builder = MemoryRecordsBuilder(2, 0, 1000)
    builder.set_producer_state(producer, 0, 0, True)
    builder.append(1, bytes([0, 0, 0, marker]), bytes(6), [])
    builder.close()
    end = bytearray(builder.buffer())
    end[:8] = (base + records).to_bytes(8, "big")
    end[21:23] = (0x30).to_bytes(2, "big")
    return data + crc_mended(bytes(end))


def test_transactions_give_committed_records_and_nothing_for_the_rest() -> None:
    data = (
        transaction(0, 2, 7, 1) + transaction(3, 2, 8, 0) + batch([b"plain"], base=6)
        + transaction(7, 1, 8, 1)
    )  # fmt: skip
    found = read(data, aborted=[SimpleNamespace(producer_id=8, first_offset=3)])
    assert offsets(found) == [0, 1, 6, 7]
    nothing = [one for one in found if isinstance(one, EmptyOffsets)]
    assert nothing == [
        EmptyOffsets(2, 2),
        EmptyOffsets(4, 3),
        EmptyOffsets(5, 5),
        EmptyOffsets(8, 8),
    ]


def test_what_compaction_removed_from_a_batch_is_no_hole() -> None:
    """As the cleaner writes it: fewer records, the batch's offsets as they were."""
    raw = bytearray(batch([b"a", b"b"], base=10))
    raw[23:27] = (9).to_bytes(4, "big")
    found = read(crc_mended(bytes(raw)), offset=10)
    assert offsets(found) == [10, 11]
    assert found[-1] == EmptyOffsets(19, 12)


@settings(max_examples=200)
@given(st.integers(0, 2**32), st.sampled_from(sorted(CODECS.values())))
def test_any_damage_leaves_every_offset_accounted_for(seed: int, codec: int) -> None:
    """Whatever bytes change behind the length: each offset of the good batches comes, in order."""
    dice = random.Random(seed)
    middle = bytearray(batch([b"value-%d" % n for n in range(4)], base=3, codec=codec))
    for _ in range(dice.randrange(1, 8)):
        middle[dice.randrange(16, len(middle))] = dice.randrange(256)
    found = read(batch([b"x"] * 3) + bytes(middle) + batch([b"y"] * 2, base=7))
    assert {0, 1, 2, 7, 8} <= set(offsets(found))
    assert offsets(found) == sorted(set(offsets(found)))


def test_a_poll_takes_from_several_batches_what_it_may() -> None:
    data = b"".join(batch([b"v"] * 5, base=base) for base in range(0, 50, 5))
    part = BoundedRecords(0, AT, MemoryRecords(data), allowance=Allowance(BUFFER))
    take: Callable[[], list[Element]] = partial(part.take, 7)
    assert [offsets(take()) for _ in range(2)] == [[*range(7)], [*range(7, 14)]]
    assert part.next_fetch_offset == 14
