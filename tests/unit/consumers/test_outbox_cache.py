"""Messages between their commit and their publishing."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from consumers.outbox_cache import OutboxCache

TOPIC = UUID(int=1)


def row(offset: int | None, size: int = 10) -> dict[str, Any]:
    return {"target_topic": "out", "topic_id": TOPIC, "partition": 0, "source_offset": offset,
            "key": None, "value": b"v" * size}  # fmt: skip


def key(offset: int) -> tuple[str, UUID, int, int]:
    return "out", TOPIC, 0, offset


def test_a_message_is_given_out_once():
    cache = OutboxCache()
    cache.put([row(1), row(2)])
    assert cache.take(key(1)) == (None, b"v" * 10, None)
    assert cache.take(key(1)) is None
    assert cache.take(key(3)) is None
    assert cache.bytes == 10


def test_beyond_its_bytes_the_oldest_go():
    cache = OutboxCache(max_bytes=25)
    cache.put([row(1), row(2)])
    cache.put([row(3)])
    assert [cache.take(key(n)) is None for n in (1, 2, 3)] == [True, False, False]
    assert cache.bytes == 0
    cache.put([row(4, size=26)])
    assert cache.take(key(4)) is None
    assert cache.bytes == 0


def test_a_record_stored_again_counts_once_and_one_without_a_record_is_not_kept():
    cache = OutboxCache()
    cache.put([row(1), row(1, size=4), row(None)])
    assert cache.bytes == 4
    assert cache.take(key(1)) == (None, b"vvvv", None)
