"""The private parts of kafka-python that are used, where it offers nothing or errs.

With :mod:`consumers.broker.fetching`, all that reaches behind its public interface.
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

#: Metadata of the offsets that a bridge commits to Kafka, which only repeat its database.
BRIDGE_METADATA = "anomaly-bridge"


def compress_quickly() -> None:
    """Have producers use ISA-L's gzip.

    zlib at its best, kafka-python's only level, takes twenty times as long for a tenth fewer bytes.
    """
    default_records.gzip_encode = partial(igzip.compress, compresslevel=1)


def forbid_topic_creation(consumer: KafkaConsumer) -> None:
    """Keep a consumer from creating its topic: kafka-python 3.0 does not pass this option on."""
    consumer._client.cluster.config["allow_auto_create_topics"] = False


class _Headers(list):  # type: ignore[type-arg]
    """Headers that seem to be none where kafka-python 3.0 adds up the lengths of their values."""

    __slots__ = ()

    def __bool__(self) -> bool:
        return False


class _NullHeader(tuple):  # type: ignore[type-arg]
    """A header without a value, which kafka-python 3.0 writes but its producer's check refuses.

    The check takes a header apart by index, whatever writes it by unpacking.
    """

    __slots__ = ()

    def __getitem__(self, index: Any) -> Any:
        found = super().__getitem__(index)
        return b"" if found is None else found


def sendable_headers(
    headers: Iterable[tuple[str, bytes | None]],
) -> list[tuple[str, bytes | None]]:
    """Headers as ``KafkaProducer.send`` takes them, null values included."""
    return _Headers(one if one[1] is not None else _NullHeader(one) for one in headers)


def send(producer: KafkaProducer, topic: str, message: Any, timestamp_ms: int | None = None) -> Any:
    """Begin to send a message; return the future of its acknowledgement.

    kafka-python sends no record that has neither key nor value: the value is empty then.

    Parameters
    ----------
    message
        Has ``key``, ``value`` and ``headers``.
    timestamp_ms
        Of the record; the time of sending when left out.
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
    """Return whether a broker has answered about its topics since ``moment`` (`time.monotonic`)."""
    return bool(producer._metadata._last_successful_refresh_ms >= moment * 1000)


def knows_topic(producer: KafkaProducer, topic: str) -> bool:
    """Return whether the producer believes that there is such a topic."""
    return bool(producer._metadata.partitions_for_topic(topic))


def close(producer: KafkaProducer, seconds: float) -> None:
    """Close a producer, whatever it still holds.

    kafka-python 3.0 raises when that is not delivered in time, and its thread goes on sending.
    """
    try:
        producer.close(timeout=seconds)
    except kafka_errors.KafkaError:
        producer._sender.force_close()
        producer._closed = True


def topic_id(consumer: KafkaConsumer, topic: str) -> UUID | None:
    """Return the id of the topic that now has this name; None while it is not known.

    Brokers before 2.8 have no topic ids: the name is used, and a recreated topic is then
    taken for the old one.
    """
    cluster = consumer._client.cluster
    if not cluster.partitions_for_topic(topic):
        return None
    found = cluster.topic_id(topic)
    if found is None or found.int == 0:
        return uuid5(NAMESPACE_URL, f"kafka-topic:{topic}")
    return UUID(int=found.int)


def refresh_metadata(consumer: KafkaConsumer) -> None:
    """Ask for fresh metadata soon, without waiting for it."""
    consumer._client.cluster.request_update()


def connected(consumer: KafkaConsumer) -> bool:
    """Whether a connection to any broker is open."""
    return any(conn.connected for conn in list(consumer._manager._conns.values()))


def last_heartbeat(consumer: KafkaConsumer) -> float:
    """``time.monotonic()`` of the last heartbeat that the coordinator confirmed."""
    return float(consumer._coordinator.heartbeat.last_receive)


def complete_pending_join(consumer: KafkaConsumer) -> None:
    """Have the next ``poll`` take the answer of a join that an earlier one did not wait for.

    kafka-python 3.0 forgets it when the join came from changed metadata: the leader's part of the
    join makes it believe that none is needed any more, and the member stays without partitions.
    """
    coordinator = consumer._coordinator
    if coordinator._join_task is not None and not coordinator.need_rejoin():
        coordinator.request_rejoin()


def resume_parked_records(consumer: KafkaConsumer) -> None:
    """Have the next ``poll`` return records that were fetched before their partition was paused.

    kafka-python 3.0 parks them, and takes them up again only into an empty slot; a slot whose
    records are used up counts as taken, so without this a resumed partition may stand still.
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
    """Return whether the group has given this member its partitions (perhaps none)."""
    return bool(consumer._coordinator.stable() and not consumer._coordinator.need_rejoin())


async def sleep_in_listener(consumer: KafkaConsumer, seconds: float) -> None:
    """Wait inside a rebalance listener while the consumer's loop (heartbeats) goes on."""
    await consumer._net.sleep(seconds)


def pause_until_claimed(consumer: KafkaConsumer, partition: TopicPartition) -> None:
    """Keep a newly assigned partition from being read before it is claimed.

    Called from the rebalance listener, where no call that waits is allowed: these two only
    mark the subscription.
    """
    consumer.pause(partition)
    consumer.seek(partition, 0)


def commit_async(consumer: KafkaConsumer, offsets: Mapping[TopicPartition, int]) -> None:
    """Commit offsets to Kafka for lag monitors; a failure is of no consequence."""
    consumer.commit_async(_with_metadata(offsets), callback=lambda *_: None)


def commit(consumer: KafkaConsumer, offsets: Mapping[TopicPartition, int], seconds: float) -> None:
    """Like :func:`commit_async`, waiting for it up to ``seconds``.

    Parameters
    ----------
    offsets : {partition: offset}
        Of the next record of each.
    seconds
        How long the broker's answer is waited for.
    """
    consumer.commit(_with_metadata(offsets), timeout_ms=seconds * 1000)


def _with_metadata(
    offsets: Mapping[TopicPartition, int],
) -> dict[TopicPartition, OffsetAndMetadata]:
    return {at: OffsetAndMetadata(offset, BRIDGE_METADATA, -1) for at, offset in offsets.items()}
