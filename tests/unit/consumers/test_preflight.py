"""``--check``: a line for each thing that is needed."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, text

from config import Settings
from consumers import preflight
from consumers.broker import clients
from consumers.scoring_client import HttpScorer
from errors import BrokerUnavailable


def refusal(status: int, code: str) -> httpx.Response:
    return httpx.Response(status, json={"error": {"code": code, "message": "no", "field": None}})


def test_check_names_each_and_counts_failures(database_url):
    lines: list[str] = []
    settings = Settings(_env_file=None, database_url=database_url)

    def broken():
        raise BrokerUnavailable("Kafka at nowhere: refused")

    probes = [("database", lambda: preflight.probe_database(settings)), ("broker", broken)]
    assert preflight.run(probes, lines.append) == 1
    assert lines[0].startswith("database  ok      PostgreSQL")
    assert lines[1] == "broker    FAILED  Kafka at nowhere: refused"
    assert preflight.run(probes[:1], lines.append) == 0


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ("UPDATE alembic_version SET version_num = '9999'",
         "requires a program that knows revision 9999"),
        ("ALTER DATABASE {name} SET default_transaction_read_only = on", "is read-only"),
    ],
)  # fmt: skip
def test_a_database_that_the_bridge_could_not_work_with_is_no_success(
    engine: Engine, database_url: str, change: str, line: str
):
    settings = Settings(_env_file=None, database_url=database_url)
    assert preflight.probe_database(settings).startswith("PostgreSQL")
    with engine.begin() as connection:
        connection.execute(text(change.format(name=engine.url.database)))
    lines: list[str] = []
    probe = partial(preflight.probe_database, settings)
    assert preflight.run([("database", probe)], lines.append) == 1
    assert lines[0].startswith("database  FAILED")
    assert line in lines[0]


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (httpx.Response(200, json={"streams": []}), "service   ok      http://service"),
        (refusal(401, "access_denied"), r"service   FAILED .* 401: .*\(SERVICE_API_KEY\)"),
        (refusal(403, "access_denied"), r"service   FAILED .* 403: .*\(SERVICE_API_KEY\)"),
        (refusal(503, "no_model"), "service   ok      http://service; it has no model yet"),
        (refusal(503, "starting"), "service   FAILED .* 503"),
    ],
)
def test_the_service_must_let_the_bridge_score(answer: httpx.Response, line: str):
    asked: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return answer

    settings = Settings(_env_file=None, service_url="http://service")
    scorer = HttpScorer(settings, transport=httpx.MockTransport(handle))
    lines: list[str] = []
    probe = partial(preflight.probe_service, settings, scorer)
    failed = preflight.run([("service", probe)], lines.append)
    assert re.match(line, lines[0])
    assert failed == int("FAILED" in line)
    assert [(one.method, one.url.path) for one in asked] == [
        ("POST", "/api/v1/anomalies/detect/streams")
    ]


def test_the_topics_that_are_written_are_named_by_their_settings():
    settings = Settings(_env_file=None, kafka_topic_incidents="")
    assert set(preflight.output_topics(settings).values()) == {
        "KAFKA_TOPIC_OUTPUT_ANOMALIES", "KAFKA_TOPIC_DEAD_LETTER",
    }  # fmt: skip
    settings = Settings(_env_file=None, kafka_topic_incidents="incidents")
    assert preflight.output_topics(settings)["incidents"] == "KAFKA_TOPIC_INCIDENTS"


def test_a_silent_broker_is_waited_for_once_and_each_topic_is_named(monkeypatch):
    calls = []

    def nobody(settings: Settings) -> dict[str, str]:
        calls.append(settings)
        raise BrokerUnavailable("Kafka at nowhere: refused")

    monkeypatch.setattr(preflight, "unwritable", nobody)
    settings = Settings(
        _env_file=None, kafka_topic_output_anomalies="alarms", kafka_topic_dead_letter="dead"
    )
    probes = preflight.probes(settings, HttpScorer(settings))
    lines: list[str] = []
    assert preflight.run([one for one in probes if one[0] == "topic"], lines.append) == 1
    failed = "topic     FAILED  topic {}: Kafka at nowhere: refused"
    assert lines == [failed.format(topic) for topic in ("alarms", "dead")]
    assert len(calls) == 1


class Admin:
    """Shows the configuration of brokers and topics as a test has it; what is absent is refused."""

    def __init__(self, **values: str) -> None:
        self.values = {name.replace("__", "."): value for name, value in values.items()}

    def close(self) -> None:
        pass

    def describe_cluster(self) -> dict[str, Any]:
        return {"brokers": [{"broker_id": 1}]}

    def describe_configs(self, asked: list[Any], config_filter: str) -> dict[str, Any]:
        values = {name: {"value": value} for name, value in self.values.items()}
        return {asked[0].resource_type.name.lower(): {asked[0].name: values}}


THERE = {"error_code": 0}


@pytest.mark.parametrize(
    ("described", "admin", "keyed", "why"),
    [
        (THERE, Admin(), False, None),  # neither rights nor configuration are shown
        (None, Admin(), False, "does not exist (create it: kafka-topics.sh --create --topic out)"),
        (
            None,
            Admin(),
            True,
            "does not exist (create it: kafka-topics.sh --create --topic out"
            " --config cleanup.policy=compact)",
        ),
        (None, Admin(auto__create__topics__enable="false"), False, "does not exist"),
        (None, Admin(auto__create__topics__enable="true"), False, None),
        ({"error_code": preflight.MISSING}, Admin(), False, "does not exist"),
        ({"error_code": preflight.REFUSED}, Admin(), False, "cannot be seen"),
        ({**THERE, "authorized_operations": ["READ"]}, Admin(), False, "cannot be written"),
        ({**THERE, "authorized_operations": ["READ", "WRITE"]}, Admin(), False, None),
        (THERE, Admin(cleanup__policy="compact,delete"), False, "is compacted"),
        (THERE, Admin(cleanup__policy="compact,delete"), True, None),
        (THERE, Admin(cleanup__policy="delete"), False, None),
    ],
)
def test_a_topic_that_cannot_be_written_is_named_with_the_reason(
    described: dict[str, Any] | None, admin: Admin, keyed: bool, why: str | None
):
    found = preflight._why(admin, "out", described, keyed=keyed)
    assert found is None if why is None else found is not None and found.startswith(why)


@pytest.mark.parametrize(
    ("policy", "named"), [("compact", True), ("compact,delete", True), ("delete", False)]
)
def test_a_compacted_input_topic_is_named_at_the_start(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, policy: str, named: bool
):
    """Of what waits to be read only one record of each asset is left, and nothing shows it."""
    settings = Settings(_env_file=None, kafka_topic_input_features="in")
    admin = Admin(cleanup__policy=policy)
    monkeypatch.setattr(clients, "make_admin", lambda _: admin)
    preflight.log_compacted(settings)
    assert ("topic in (KAFKA_TOPIC_INPUT_FEATURES) is compacted" in caplog.text) == named


def test_what_cannot_be_written_is_logged_and_what_cannot_be_asked_shows_later(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    settings = Settings(_env_file=None, kafka_topic_dead_letter="dead")
    monkeypatch.setattr(preflight, "unwritable", lambda _: {"dead": "does not exist"})
    preflight.log_unwritable(settings)
    assert "topic dead (KAFKA_TOPIC_DEAD_LETTER) does not exist" in caplog.text

    def away(_: Settings) -> dict[str, str]:
        raise BrokerUnavailable("away")

    caplog.clear()
    monkeypatch.setattr(preflight, "unwritable", away)
    preflight.log_unwritable(settings)
    assert not [one for one in caplog.records if one.levelname == "ERROR"]
