"""What reaches PostgreSQL: JSON that jsonb takes, COPY lines, errors told apart."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4, uuid5

import numpy as np
import psycopg2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from sqlalchemy import make_url
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from config import Settings
from db.encoding import JsonObject, clean_text, decode_headers, dump_json, encode_headers
from db.queries.copy import NAMESPACE, detection_id
from db.queries.detections import detection_row
from db.retry import retried
from db.session import connect_args, describe, translate
from errors import StorageUnavailable

any_text = st.text(st.characters(), max_size=8)  # lone surrogates and NUL included
any_value = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
    max_leaves=8,
)


def refuse(constant: str) -> float:
    raise AssertionError(f"{constant} is not JSON")


@pytest.mark.parametrize(
    "beside", [1, 2**70, "\x00", math.nan], ids=["plain", "huge", "NUL", "not finite"]
)
def test_json_that_stays_text_is_cleaned_like_all_else(beside: object) -> None:
    """jsonb refuses a NUL, also in what the service sent."""
    for text in ('{"a":[1.5,"x"]}', '{"a":"\\u0000"}', '{"a":"\\\\u0000"}'):
        out = dump_json({"explanation": JsonObject(text.encode()), "beside": beside})
        assert out == dump_json({"explanation": json.loads(text), "beside": beside})


@given(any_value)
@settings(max_examples=200, deadline=None, derandomize=True)
def test_dump_json_makes_strict_json_of_anything(value: Any) -> None:
    out = dump_json(value)
    back = json.loads(out, parse_constant=refuse)
    out.encode()
    assert "\x00" not in str(back)
    assert type(back) is type(value) or value is None or isinstance(value, int | float)


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ({"a": float("inf"), "b": -math.inf, "c": math.nan}, {"a": None, "b": None, "c": None}),
        ("a\x00b", "a\ufffdb"),
        ("back\\u0000slash", "back\\u0000slash"),
        ("\ud800x", "\ufffdx"),
        (2**63 - 1, 2**63 - 1),
        (2**64 + 1, str(2**64 + 1)),
        ({1: {2.5: (1, 2)}}, {"1": {"2.5": [1, 2]}}),
        ({"\x00": {"\x00": 1}}, {"\ufffd": {"\ufffd": 1}}),
        (np.float64(1.5), 1.5),
        ({"x": np.array([1, 2])}, {"x": [1, 2]}),
        (datetime(2026, 1, 1, tzinfo=UTC), "2026-01-01T00:00:00+00:00"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ({"odd": frozenset({1}), "huge": 10**30}, {"odd": [1], "huge": str(10**30)}),
    ],
)
def test_dump_json_keeps_what_json_can_hold(value: Any, stored: Any) -> None:
    assert json.loads(dump_json(value)) == stored


def test_dump_json_survives_depth_and_size() -> None:
    deep: Any = "bottom"
    for _ in range(5000):
        deep = [deep]
    assert "nested too deep" in dump_json(deep)
    assert dump_json(10**6000).startswith('"0x')


@given(st.lists(st.tuples(any_text, st.none() | st.binary(max_size=8)), max_size=4))
@settings(deadline=None, derandomize=True)
def test_headers_come_back_with_every_byte(headers: list[tuple[str, bytes | None]]) -> None:
    back = decode_headers(encode_headers(headers))
    assert [value for _, value in back] == [value for _, value in headers]
    for (kept, _), (name, _) in zip(back, headers, strict=True):
        assert kept == name or not name.isprintable()


def test_headers_absent_are_none() -> None:
    assert decode_headers(encode_headers(None)) == []
    assert decode_headers(None) == []
    assert decode_headers(memoryview(encode_headers([("a", None)]))) == [("a", None)]


@given(any_text)
@settings(deadline=None, derandomize=True)
def test_clean_text_is_storable_and_changes_nothing_else(value: str) -> None:
    cleaned = clean_text(value)
    assert "\x00" not in cleaned
    assert len(cleaned.encode()) > 0 or value == ""
    assert clean_text(cleaned) == cleaned


def test_detection_id_is_the_uuid5_of_the_source_key() -> None:
    topic = uuid4()
    assert detection_id(topic, 3, 77) == uuid5(NAMESPACE, f"{topic}/3/77")
    # Never to change: readers know rows by it.
    assert detection_id(UUID(int=1), 0, 5) == UUID("fa7ab18f-6124-5eea-a4dd-20ffd40e15d9")


def test_a_row_takes_its_columns_from_the_result() -> None:
    result = {
        "asset_id": "A",
        "timestamp": "2026-01-01T00:00:00+00:00",
        "scores": [],
        "final_score": 0.5,
        "is_anomaly": True,
        "criticality": "medium",
        "features": {"x": 1.0},
        "metadata": {
            "event": {"id": "e"},
            "window": "added",
            "group": "g",
            "asset_criticality": "low",
        },
    }
    kafka = detection_row(result, topic_id=UUID(int=1), partition=0, offset=5)
    assert (kafka["event_id"], kafka["window_mark"], kafka["group_name"]) == ("e", "added", "g")
    assert (kafka["sensor_id"], kafka["asset_criticality"]) == (None, "low")
    assert kafka["id"] == detection_id(UUID(int=1), 0, 5)
    rest = detection_row({**result, "metadata": {"event": None}}, row_id=UUID(int=2))
    assert (rest["id"], rest["event_id"], rest["window_mark"]) == (UUID(int=2), None, None)


class Failure(psycopg2.OperationalError):
    """As libpq's, which has no SQLSTATE when it could not connect."""


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("connection refused", "storage_unavailable"),
        ("server closed the connection unexpectedly", "storage_unavailable"),
        ("SSL connection has been closed unexpectedly", "storage_unavailable"),
        ("SSL error: certificate verify failed", "storage_refused"),
        ("server does not support SSL, but SSL was required", "storage_refused"),
        ('FATAL:  password authentication failed for user "u"', "storage_refused"),
        ('FATAL:  database "d" does not exist', "storage_refused"),
        ("FATAL:  no pg_hba.conf entry for host", "storage_refused"),
        ("FATAL:  the database system is starting up", "storage_unavailable"),
    ],
)
def test_every_failure_to_connect_is_retriable_and_says_what_to_look_at(
    said: str, code: str
) -> None:
    error = translate(OperationalError("SELECT 1", None, Failure(said)), "the store")
    assert isinstance(error, StorageUnavailable)
    assert (error.code, said.split()[0] in error.message) == (code, True)
    assert "the store" in error.message


def test_a_full_pool_is_unavailable() -> None:
    assert isinstance(translate(PoolTimeout("QueuePool limit"), "s"), StorageUnavailable)


def test_connections_are_told_time_outs_and_only_the_tls_that_is_set() -> None:
    url = make_url("postgresql+psycopg2://u:secret@h:1/d?options=-c%20search_path%3Dplant")
    plain = connect_args(Settings(database_statement_timeout_s=2.5), url)
    assert plain["options"].startswith("-c statement_timeout=2500 -c idle_in_transaction")
    assert plain["options"].endswith("-c timezone=UTC -c search_path=plant")
    assert not [name for name in plain if name.startswith("ssl")]
    tls = connect_args(Settings(database_sslmode="verify-ca", database_sslkey="k.pem"), url)
    assert {name: tls[name] for name in tls if name.startswith("ssl")} == {
        "sslmode": "verify-ca",
        "sslkey": "k.pem",
    }
    assert describe(url) == "PostgreSQL database 'd' at h:1"


@pytest.mark.parametrize(
    ("host", "asked", "port"),
    [("db.plant", None, 6543), ("::1", None, 6543), ("/run/pg sql", "/run/pg sql", None)],
)
def test_parts_of_the_address_reach_the_driver_as_they_are(
    host: str, asked: str | None, port: int | None
) -> None:
    settings = Settings(
        database_url=None,
        database_host=host,
        database_port=6543,
        database_user="u@x",
        database_password=SecretStr("p/:@%"),
        database_name="a/b ä",
    )
    url = make_url(settings.external_database_url() or "")
    assert (url.username, url.password, url.database) == ("u@x", "p/:@%", "a/b ä")
    assert (url.host, url.port) == ((host, port) if asked is None else (None, None))
    assert url.query.get("host") == asked


def test_retried_gives_up_with_the_last_error(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("db.retry.time.sleep", waits.append)
    tries = iter(range(10))

    def fail() -> None:
        raise StorageUnavailable(f"try {next(tries)}")

    with pytest.raises(StorageUnavailable, match="try 3"):
        retried(fail, tries=4)
    assert len(waits) == 3
    assert 0.05 <= waits[0] <= 0.15
    assert 0.2 <= waits[2] <= 0.6
    assert retried(lambda: 7) == 7
