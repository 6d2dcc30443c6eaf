"""Connections that fail, are refused or cut; TLS."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Connection, Engine, make_url, text

from config import Settings, load_settings
from db.queries import offsets, outbox
from db.session import in_transaction, make_engine, open_engine, transaction
from errors import SettingsError, StorageUnavailable
from tests.fixtures.postgres import run_admin
from tests.integration.tls import TlsFront, certificates

ROOT = Path(__file__).resolve().parents[3]


@contextmanager
def opened(**settings: Any) -> Iterator[Engine]:
    engine = open_engine(Settings(**settings))
    try:
        yield engine
    finally:
        engine.dispose()


def test_connections_always_in_use_stay_open_within_what_the_pool_allows() -> None:
    settings = Settings(_env_file=None, database_url="postgresql://nobody@localhost/none")
    for kept, (size, more) in {0: (5, 10), 8: (8, 7), 40: (15, 0)}.items():
        pool: Any = open_engine(settings, kept).pool
        assert (pool.size(), pool._max_overflow) == (size, more)


def refusal(engine: Engine) -> StorageUnavailable:
    with pytest.raises(StorageUnavailable) as caught, transaction(engine) as connection:
        connection.execute(text("SELECT 1"))
    return caught.value


@pytest.fixture
def guarded_login(postgres_server: str) -> Iterator[tuple[str, str]]:
    """A user whose password the server really asks for."""
    user = f"guarded_{uuid4().hex[:8]}"
    (hba,) = run_admin(postgres_server, "SHOW hba_file")[0]
    path = Path(str(hba))
    before = path.read_text()
    run_admin(postgres_server, f"CREATE USER {user} PASSWORD 'right-secret'")
    path.write_text(f"local all {user} scram-sha-256\n{before}")
    run_admin(postgres_server, "SELECT pg_reload_conf()")
    yield user, "right-secret"
    path.write_text(before)
    run_admin(postgres_server, "SELECT pg_reload_conf()", f"DROP USER {user}")


def test_a_wrong_password_is_said_and_never_shown(
    database_url: str, guarded_login: tuple[str, str]
) -> None:
    user, right = guarded_login
    url = make_url(database_url)
    wrong = url.set(username=user, password="wrong-secret").render_as_string(False)
    with opened(database_url=wrong) as engine:
        error = refusal(engine)
    assert error.code == "storage_refused"
    assert "DATABASE_PASSWORD" in error.message
    assert "wrong-secret" not in error.message
    good = url.set(username=user, password=right).render_as_string(False)
    with opened(database_url=good) as engine, transaction(engine) as connection:
        assert connection.execute(text("SELECT 1")).scalar_one() == 1


def test_an_unknown_database_is_said(database_url: str) -> None:
    url = make_url(database_url).set(database="nobody_made_it").render_as_string(False)
    with opened(database_url=url) as engine:
        error = refusal(engine)
    assert (error.code, "DATABASE_NAME" in error.message) == ("storage_refused", True)


def test_nobody_listening_is_unavailable(tmp_path: Path) -> None:
    with opened(database_url=f"postgresql://u:hidden@/db?host={tmp_path}") as engine:
        error = refusal(engine)
    assert error.code == "storage_unavailable"
    assert error.retriable
    assert "hidden" not in error.message


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("postgresql://u:hidden@[::1/db", "cannot be parsed as postgresql://"),
        ("mysql+pymysql://u:hidden@h/db", "must be an address like .*, but names 'mysql'$"),
        ("postgresqlhidden", "must be an address like .*, but has no kind$"),
        ("", "must be an address like .*, but is empty$"),
    ],
)
def test_a_url_that_cannot_be_used_names_the_setting(url: str, problem: str) -> None:
    with pytest.raises(SettingsError, match=f"^DATABASE_URL: {problem}") as caught:
        open_engine(load_settings(database_url=url))
    assert caught.value.__context__ is None  # whose text would hold the password
    assert "hidden" not in caught.value.message


def over_tcp(database_url: str, port: int) -> str:
    url = make_url(database_url).set(host="127.0.0.1", port=port, query={})
    return url.render_as_string(False)


def test_tls_refuses_a_wrong_certificate(
    database_url: str, postgres_server: str, tmp_path: Path
) -> None:
    right, other = certificates(tmp_path / "right"), certificates(tmp_path / "other")
    socket = f"{make_url(postgres_server).query['host']}/.s.PGSQL.5432"
    with TlsFront(socket, right) as port:
        settings = {
            "database_url": over_tcp(database_url, port),
            "database_sslmode": "verify-full",
        }
        with (
            opened(**settings, database_sslrootcert=right.authority) as engine,
            transaction(engine) as connection,
        ):
            assert connection.execute(text("SELECT 1")).scalar_one() == 1
        with opened(**settings, database_sslrootcert=other.authority) as engine:
            error = refusal(engine)
    assert error.code == "storage_refused"
    assert "DATABASE_SSLROOTCERT" in error.message
    assert "certificate verify failed" in error.message


def test_tls_required_of_a_server_without_it_is_refused(database_url: str) -> None:
    with TlsFront("", None) as port:
        url = over_tcp(database_url, port)
        with opened(database_url=url, database_sslmode="require") as engine:
            error = refusal(engine)
    assert error.code == "storage_refused"
    assert "DATABASE_SSLMODE" in error.message


def test_a_cut_connection_is_unavailable_and_the_pool_recovers(database_url: str) -> None:
    def cut() -> None:
        with transaction(engine) as connection:
            pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
            with transaction(other) as killer:
                killer.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
            connection.execute(text("SELECT 1"))

    with opened(database_url=database_url) as engine, opened(database_url=database_url) as other:
        with pytest.raises(StorageUnavailable):
            cut()
        with transaction(engine) as connection:
            assert connection.execute(text("SELECT 1")).scalar_one() == 1


def test_a_slow_statement_is_unavailable(database_url: str) -> None:
    with (
        opened(database_url=database_url, database_statement_timeout_s=0.05) as engine,
        pytest.raises(StorageUnavailable, match="statement timeout"),
        transaction(engine) as connection,
    ):
        connection.execute(text("SELECT pg_sleep(30)"))


def test_a_frozen_owner_does_not_hold_the_partition(database_url: str, engine: Engine) -> None:
    """It stopped between its compare-and-set and its COMMIT; the claim waits a moment only."""
    topic = uuid4()
    with transaction(engine) as connection:
        offsets.claim(connection, topic, 0)

    def freeze_with_the_row_locked() -> None:
        with transaction(frozen) as connection:
            assert offsets.advance(connection, offsets.OffsetAdvance(topic, 0, 1, None, 10))
            with transaction(engine) as successor:
                assert offsets.claim(successor, topic, 0) == offsets.Claim(2, None)

    with (
        opened(database_url=database_url, database_idle_timeout_s=0.1) as frozen,
        pytest.raises(StorageUnavailable),
    ):
        freeze_with_the_row_locked()
    with transaction(engine) as connection:
        assert offsets.read_claim(connection, topic, 0) == offsets.Claim(2, None)


def test_a_deadlock_is_unavailable_for_one_of_the_two(engine: Engine) -> None:
    run = "UPDATE assets SET criticality = 'high' WHERE asset_id = :name"
    with transaction(engine) as connection:
        connection.execute(text("INSERT INTO assets VALUES ('A', 'low'), ('B', 'low')"))
    both_hold_one = threading.Barrier(2, timeout=20)
    outcomes: list[str] = []

    def cross(first: str, second: str) -> None:
        try:
            with transaction(engine) as connection:
                connection.execute(text(run), {"name": first})
                both_hold_one.wait()
                connection.execute(text(run), {"name": second})
            outcomes.append("done")
        except StorageUnavailable as error:
            outcomes.append("deadlock" if "deadlock" in error.message else error.message)

    threads = [threading.Thread(target=cross, args=pair) for pair in ("AB", "BA")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(outcomes) == ["deadlock", "done"]


def test_a_database_without_schema_names_the_command(empty_database_url: str) -> None:
    engine = make_engine(empty_database_url)
    with pytest.raises(StorageUnavailable) as caught, transaction(engine) as connection:
        outbox.outbox_size(connection)
    engine.dispose()
    assert caught.value.code == "storage_schema"
    assert "python -m db.migrate" in caught.value.message


def test_a_connection_to_a_standby_is_left_so_that_the_next_finds_the_primary(
    database_url: str,
) -> None:
    engine = make_engine(database_url, pool_size=1, max_overflow=0)
    try:
        with transaction(engine) as connection:
            connection.execute(text("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"))
        with pytest.raises(StorageUnavailable, match="is read-only") as caught:
            in_transaction(engine, change)
        assert caught.value.code == "storage_read_only"
        in_transaction(engine, change)
    finally:
        engine.dispose()


def change(connection: Connection) -> None:
    connection.execute(text("CREATE TABLE changed (id int)"))
