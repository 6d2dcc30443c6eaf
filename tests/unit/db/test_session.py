"""Connections: the driver's options, the address, failures by their kind."""

from __future__ import annotations

import psycopg2
import pytest
from pydantic import SecretStr
from sqlalchemy import make_url
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from config import Settings
from db.session import connect_args, database_url, describe, translate
from errors import StorageUnavailable


class Failure(psycopg2.OperationalError):
    """As libpq's, which has no SQLSTATE when it could not connect."""


@pytest.mark.parametrize(
    ("text", "code"),
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
    text: str, code: str
) -> None:
    error = translate(OperationalError("SELECT 1", None, Failure(text)), "the store")
    assert isinstance(error, StorageUnavailable)
    assert (error.code, text.split()[0] in error.message) == (code, True)
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
    url = database_url(settings)
    assert (url.username, url.password, url.database) == ("u@x", "p/:@%", "a/b ä")
    assert (url.host, url.port) == ((host, port) if asked is None else (None, None))
    assert url.query.get("host") == asked


def test_the_parts_of_the_address_are_escaped_in_its_text() -> None:
    settings = Settings(
        database_url=None, database_host="db.plant", database_user="an@na",
        database_password=SecretStr("p:/w"),
    )  # fmt: skip
    assert database_url(settings).render_as_string(hide_password=False) == (
        "postgresql+psycopg2://an%40na:p%3A%2Fw@db.plant:5432/predictive_maintenance"
    )


def test_the_store_is_logged_once_however_often_it_is_opened(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "db.session")
    settings = Settings(database_url=SecretStr("postgresql://u:p@once/d"))
    for _ in range(3):
        database_url(settings)
    assert caplog.text.count("store: PostgreSQL database 'd' at once:5432") == 1


@pytest.mark.parametrize(
    "scheme", ["postgres", "postgresql", "postgresql+psycopg2", "POSTGRESQL", "Postgres"]
)
def test_database_url_wins_and_gets_the_driver(scheme: str) -> None:
    settings = Settings(
        database_url=SecretStr(f"{scheme}://u:p@h/d"), database_host="other", database_user="u"
    )
    url = database_url(settings).render_as_string(hide_password=False)
    assert url == "postgresql+psycopg2://u:p@h/d"
