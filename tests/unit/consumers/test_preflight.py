"""``--check``: a line for each thing that is needed."""

from __future__ import annotations

from config import Settings
from consumers import preflight
from errors import BrokerUnavailable


def test_check_names_each_and_counts_failures(engine):
    said: list[str] = []

    def broken():
        raise BrokerUnavailable("Kafka at nowhere: refused")

    probes = [("database", lambda: preflight.probe_database(lambda: engine)), ("broker", broken)]
    assert preflight.run(probes, said.append) == 1
    assert said[0].startswith("database  ok      PostgreSQL")
    assert said[1] == "broker    FAILED  Kafka at nowhere: refused"
    assert preflight.run(probes[:1], said.append) == 0


def test_the_topics_that_are_written_are_named_by_their_settings():
    settings = Settings(_env_file=None, kafka_topic_incidents="")
    assert set(preflight.output_topics(settings).values()) == {
        "KAFKA_TOPIC_OUTPUT_ANOMALIES", "KAFKA_TOPIC_DEAD_LETTER",
    }  # fmt: skip
    settings = Settings(_env_file=None, kafka_topic_incidents="incidents")
    assert preflight.output_topics(settings)["incidents"] == "KAFKA_TOPIC_INCIDENTS"
