"""The demo's broker, as a process: it answers at the address given, and its topics are known."""

from __future__ import annotations

import os
from pathlib import Path

from deploy.broker import create_topics, start_broker, topic_id
from deploy.processes import Children


def test_broker_answers_with_the_topics_that_were_made_and_ends_with_the_block(
    tmp_path: Path,
) -> None:
    from kafka import KafkaConsumer

    with Children(tmp_path, dict(os.environ)) as children:
        child, bootstrap = start_broker(children)
        create_topics(bootstrap, {"in": 3, "dead": 1})
        consumer = KafkaConsumer(bootstrap_servers=bootstrap)
        try:
            partitions = {name: consumer.partitions_for_topic(name) for name in ("in", "dead")}
        finally:
            consumer.close()
        assert partitions == {"in": {0, 1, 2}, "dead": {0}}
        assert topic_id(bootstrap, "in") == topic_id(bootstrap, "in")
        assert topic_id(bootstrap, "in") != topic_id(bootstrap, "dead")
    assert child.process.poll() is not None
