"""What the bridge remembers of streams: little memory for each, a bound over all partitions."""

from __future__ import annotations

import gc
import random
import sys
import threading
import tracemalloc
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.stream_cache import CacheBudget, CachedStream, StreamCache, UnkeyedStreams
from consumers.window import Window, encode_row, pack_rows

START = datetime(2026, 1, 1, 0, 0, 0, 123456, tzinfo=UTC)
LENGTH, FEATURES = 29, 24


def rows_of(packed: Any) -> list[tuple[str, dict[str, float]]]:
    """Either form of the wire as readings, null standing for an absent feature."""
    block = orjson.loads(orjson.dumps(packed))
    if isinstance(block, list):
        return [(row["timestamp"], row["features"]) for row in block]
    return [
        (row[0], {n: v for n, v in zip(block["names"], row[1:], strict=True) if v is not None})
        for row in block["rows"]
    ]


feature_sets = st.dictionaries(st.sampled_from("abcdef"), st.floats(-1e9, 1e9), min_size=1)


@given(st.lists(st.tuples(feature_sets, st.booleans()), max_size=30), st.integers(0, 5))
def test_a_window_holds_its_last_readings_whatever_features_they_have(readings, length):
    window = Window()
    expected: list[tuple[str, dict[str, float]]] = []
    for number, (features, restart) in enumerate(readings):
        at = START + timedelta(seconds=number)
        if restart:
            window.clear()
            expected = []
        window.add(encode_row(at, features))
        window.keep(length)
        expected = [*expected, (at.isoformat(), features)][-length:] if length else []
        assert rows_of(window.packed()) == expected
        assert len(window) == len(expected)
        oldest = window.oldest()
        assert (oldest.isoformat() if oldest else None) == (expected[0][0] if expected else None)


def test_names_that_no_reading_has_any_more_leave_the_window():
    window = Window()
    for number in range(500):
        window.add(encode_row(START, {f"f{number}": 1.0, "x": 2.0}))
        window.keep(LENGTH)
    packed = window.packed()
    assert isinstance(packed, dict)
    assert len(packed["names"]) <= LENGTH + 2
    assert window.size < 20_000


def test_rows_of_a_batch_are_compact_when_all_have_the_same_features():
    rows = [encode_row(START, {"b": 2.0, "a": 1.0}), encode_row(START, {"a": 3.0, "b": 4.0})]
    stamp = START.isoformat()
    assert orjson.loads(orjson.dumps(pack_rows(rows))) == {
        "names": ["a", "b"], "rows": [[stamp, 1.0, 2.0], [stamp, 3.0, 4.0]]
    }  # fmt: skip


def test_memory_keeps_the_window_as_the_service_says():
    cached = CachedStream()
    cached.set_window_length(2)
    for number, mark in enumerate(["added", "added", "added", "left_out", "restarted"]):
        row = encode_row(START, {"a": float(number)})
        cached.add(row, START + timedelta(seconds=number), mark)
        if number == 3:
            assert [one["a"] for _, one in rows_of(cached.window.packed())] == [1.0, 2.0]
    assert [one["a"] for _, one in rows_of(cached.window.packed())] == [4.0]
    assert cached.last == START + timedelta(seconds=4)


def full(random_: random.Random, number: int) -> CachedStream:
    """A stream as it is after a day: full window, state with level and an event."""
    cached = CachedStream(
        window_length=LENGTH, published=(f"event-{number}", 2), seen=float(number)
    )
    for second in range(LENGTH + 3):
        features = {f"feature_{i:02}": random_.gauss(0.0, 1.0) for i in range(FEATURES)}
        at = START + timedelta(seconds=second)
        cached.add(encode_row(at, features), at, "added")
    cached.set_state(
        {
            "v": 2, "bundle": "0123456789ab", "last": START.isoformat(),
            "tail": [random_.random() for _ in range(9)], "clock": [1000, None, 0, None],
            "events": [[f"{number:036}", "anomaly", START.isoformat(), 5.123456789, 1.7e9, 0]],
            "level": [1001411331, 30, "A" * (FEATURES * 8 * 4 // 3)],
        }
    )  # fmt: skip
    return cached


def key_of(number: int) -> tuple[str, str, str]:
    return f"PLANT_7_ENGINE_{number:05}", f"VIBRATION_{number % 7}", ""


@pytest.mark.slow
def test_a_stream_takes_at_most_20_kb_and_is_counted_as_what_it_takes():
    random_ = random.Random(1)
    budget = CacheBudget(10**9)
    cache = budget.partition()
    cache.put(key_of(0), full(random_, 0))
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    count = 300
    for number in range(1, 1 + count):
        cache.put(key_of(number), full(random_, number))
    gc.collect()
    taken = (tracemalloc.get_traced_memory()[0] - before) / count
    tracemalloc.stop()
    counted = budget.bytes / (count + 1)
    assert taken < 20_000
    assert taken == pytest.approx(counted, rel=0.1)


def test_what_is_beyond_the_bound_goes_least_recently_used_first_over_all_partitions():
    random_ = random.Random(1)
    one = full(random_, 0)
    size = one.size + 50
    budget = CacheBudget(100 * size)
    first, second = budget.partition(), budget.partition()
    for number in range(80):
        first.put(key_of(number), full(random_, number))
    budget.make_room()
    assert len(first) == 80
    for number in range(80, 160):
        second.put(key_of(number), full(random_, number))
        budget.make_room()
        assert budget.bytes <= 100 * size
    assert len(second) == 80  # the one that came later is not starved
    assert 15 <= len(first) <= 25
    assert first.get(key_of(79)) is not None
    assert first.get(key_of(0)) is None


def test_a_partition_that_is_lost_gives_its_memory_back():
    budget = CacheBudget(10**9)
    cache = budget.partition()
    cache.put(key_of(1), full(random.Random(1), 1))
    assert budget.bytes > 0
    del cache
    gc.collect()
    assert budget.bytes == 0


def test_a_stream_forgotten_or_put_again_is_counted_once():
    cache = StreamCache()
    cached = full(random.Random(1), 1)
    for _ in range(3):
        cache.put(key_of(1), cached)
    assert cache.bytes < cached.size + 100
    cache.forget(key_of(1))
    cache.forget(key_of(1))
    assert (cache.bytes, len(cache)) == (0, 0)
    cache.put(key_of(1), cached)
    cache.clear()
    assert cache.bytes == 0


def test_one_lane_makes_room_in_the_others_partition_while_it_is_used():
    budget = CacheBudget(20_000)
    parts = [budget.partition() for _ in range(2)]
    failures: list[BaseException] = []

    def work(mine: StreamCache) -> None:
        try:
            for number in range(3000):
                mine.put(key_of(number % 50), CachedStream(state=b"x" * 500, seen=float(number)))
                mine.get(key_of(number % 7))
                list(mine)
                budget.make_room()
        except BaseException as error:
            failures.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    threads = [threading.Thread(target=work, args=(part,)) for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.setswitchinterval(interval)
    assert not failures
    budget.make_room()
    assert budget.bytes == sum(part.bytes for part in parts) <= 20_000


def test_spread_streams_are_told_and_never_remembered_without_a_bound():
    unkeyed = UnkeyedStreams(seconds=3600, max_streams=100)
    assert not unkeyed.note(key_of(0), False)
    for number in range(1000):
        assert unkeyed.note(key_of(number), True)
    assert len(unkeyed) == 100
    assert unkeyed.note(key_of(999), False)  # a while after the other partition's last news
    assert not unkeyed.note(key_of(0), False)


def test_a_stream_that_moved_is_not_spread_for_ever():
    unkeyed = UnkeyedStreams(seconds=0.0)
    unkeyed.note(key_of(1), True)
    assert not unkeyed.note(key_of(1), False)
    assert len(unkeyed) == 0
