"""Use private parts of kafka-python where its public interface lacks something or has a bug.

Only this module and :mod:`consumers.broker.fetching` do so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from isal import igzip
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka import errors as kafka_errors
from kafka.record import default_records
from kafka.structs import OffsetAndMetadata

#: Metadata of offsets that a bridge commits to Kafka as a copy of its database.
BRIDGE_METADATA = "anomaly-bridge"


def compress_quickly() -> None:
    """Let producers use ISA-L's gzip.

    kafka-python offers only zlib's highest level, which takes twenty times as long for a tenth
    fewer bytes.
    """
    default_records.gzip_encode = partial(igzip.compress, compresslevel=1)


def forbid_topic_creation(consumer: KafkaConsumer) -> None:
    """Stop a consumer from creating its topic: kafka-python 3.0 does not pass this option on."""
    consumer._client.cluster.config["allow_auto_create_topics"] = False


class _Headers(list):  # type: ignore[type-arg]
    """Headers that kafka-python 3.0 takes for empty when it adds up the lengths of their values."""

    __slots__ = ()

    def __bool__(self) -> bool:
        return False


class _NullHeader(tuple):  # type: ignore[type-arg]
    """A header without a value, which kafka-python 3.0 can write but its producer's check rejects.

    The check accesses a header by index, the writer by unpacking.
    """

    __slots__ = ()

    def __getitem__(self, index: Any) -> Any:
        found = super().__getitem__(index)
        return b"" if found is None else found


def sendable_headers(
    headers: Iterable[tuple[str, bytes | None]],
) -> list[tuple[str, bytes | None]]:
    """Convert headers for ``KafkaProducer.send``, null values included."""
    return _Headers(one if one[1] is not None else _NullHeader(one) for one in headers)


def send(producer: KafkaProducer, topic: str, message: Any, timestamp_ms: int | None = None) -> Any:
    """Start sending a message; return the future of its acknowledgement.

    kafka-python sends no record that has neither key nor value, so the value becomes empty.

    Parameters
    ----------
    message
        Has ``key``, ``value`` and ``headers``.
    timestamp_ms
        Time of the record; by default the time of sending.
    """
    bare = message.key is None and message.value is None
    return producer.send(
        topic,
        key=message.key,
        value=b"" if bare else message.value,
        headers=sendable_headers(message.headers),
        timestamp_ms=timestamp_ms,
    )


def answered_since(producer: KafkaProducer, moment: float) -> bool:
    """Return whether a broker has answered a metadata request since ``moment`` (monotonic)."""
    return bool(producer._metadata._last_successful_refresh_ms >= moment * 1000)


def knows_topic(producer: KafkaProducer, topic: str) -> bool:
    """Return whether the producer's metadata contain the topic."""
    return bool(producer._metadata.partitions_for_topic(topic))


def close(producer: KafkaProducer, seconds: float) -> None:
    """Close a producer and discard its unsent messages.

    kafka-python 3.0 raises if they are not delivered in time, and its thread continues sending.
    """
    try:
        producer.close(timeout=seconds)
    except kafka_errors.KafkaError:
        producer._sender.force_close()
        producer._closed = True


def topic_id(consumer: KafkaConsumer, topic: str) -> UUID | None:
    """Return the id of the topic that now has this name; None while it is not known.

    Brokers before 2.8 have no topic ids. The name serves as id then, so a recreated topic is not
    recognised.
    """
    cluster = consumer._client.cluster
    if not cluster.partitions_for_topic(topic):
        return None
    found = cluster.topic_id(topic)
    if found is None or found.int == 0:
        return uuid5(NAMESPACE_URL, f"kafka-topic:{topic}")
    return UUID(int=found.int)


def refresh_metadata(consumer: KafkaConsumer) -> None:
    """Request fresh metadata without waiting."""
    consumer._client.cluster.request_update()


def connected(consumer: KafkaConsumer) -> bool:
    """Return whether a connection to any broker is open."""
    return any(conn.connected for conn in list(consumer._manager._conns.values()))


def last_heartbeat(consumer: KafkaConsumer) -> float:
    """Return when the coordinator confirmed the last heartbeat (``time.monotonic()``)."""
    return float(consumer._coordinator.heartbeat.last_receive)


def complete_pending_join(consumer: KafkaConsumer) -> None:
    """Let the next ``poll`` process the answer to a join that an earlier poll did not wait for.

    kafka-python 3.0 forgets such a join if changed metadata caused it: after the leader's part it
    considers the join complete, and the member stays without partitions.
    """
    coordinator = consumer._coordinator
    if coordinator._join_task is not None and not coordinator.need_rejoin():
        coordinator.request_rejoin()


def resume_parked_records(consumer: KafkaConsumer) -> None:
    """Let the next ``poll`` return records that were fetched before their partition was paused.

    kafka-python 3.0 sets these records aside and returns them only through an empty slot. A slot
    with consumed records does not count as empty, so a resumed partition could stop for ever.
    """
    fetcher = consumer._fetcher
    if fetcher._paused_partition_records and not fetcher._next_partition_records:
        fetcher._next_partition_records = None


def refreshed(consumer: KafkaConsumer, seconds: float) -> None:
    """Wait for fresh metadata.

    Raises
    ------
    kafka.errors.KafkaTimeoutError
    """
    update = consumer._client.cluster.request_update()
    consumer._net.run(consumer._manager.wait_for, update, seconds * 1000)


def is_stable(consumer: KafkaConsumer) -> bool:
    """Return whether the group has assigned this member its partitions (perhaps none)."""
    return bool(consumer._coordinator.stable() and not consumer._coordinator.need_rejoin())


async def sleep_in_listener(consumer: KafkaConsumer, seconds: float) -> None:
    """Wait inside a rebalance listener while the consumer's loop (heartbeats) continues."""
    await consumer._net.sleep(seconds)


def pause_until_claimed(consumer: KafkaConsumer, partition: TopicPartition) -> None:
    """Pause a newly assigned partition until it is claimed.

    Called from the rebalance listener, where blocking calls are not allowed; these two calls only
    change the subscription's state.
    """
    consumer.pause(partition)
    consumer.seek(partition, 0)


def commit_async(consumer: KafkaConsumer, offsets: Mapping[TopicPartition, int]) -> None:
    """Commit offsets to Kafka for lag monitors; a failure does not matter."""
    consumer.commit_async(_with_metadata(offsets), callback=lambda *_: None)


def commit(consumer: KafkaConsumer, offsets: Mapping[TopicPartition, int], seconds: float) -> None:
    """Do the same as :func:`commit_async` and wait for the answer.

    Parameters
    ----------
    offsets : {partition: offset}
        Offset of the next record of each.
    seconds
        Maximum wait for the broker's answer.
    """
    consumer.commit(_with_metadata(offsets), timeout_ms=seconds * 1000)


def _with_metadata(
    offsets: Mapping[TopicPartition, int],
) -> dict[TopicPartition, OffsetAndMetadata]:
    return {at: OffsetAndMetadata(offset, BRIDGE_METADATA, -1) for at, offset in offsets.items()}
