"""One of several holds the lock, which is free when its holder is gone; the migration with rows."""

from __future__ import annotations

from sqlalchemy import Engine, text

from db.leadership import Leadership
from db.migrate import migrate
from db.queries.notifications import due_changes, register
from db.session import make_engine, transaction

KEY = 0x616E6F6D_7777


def test_one_leads_until_it_lets_go(engine: Engine) -> None:
    first, second = Leadership(engine, KEY), Leadership(engine, KEY)
    assert first.try_acquire()
    assert not second.try_acquire()
    assert first.confirm()
    assert not second.confirm()
    first.release()
    assert not first.confirm()
    assert second.try_acquire()
    second.release()


def test_the_lock_is_free_once_the_holders_session_is_gone(engine: Engine) -> None:
    first, second = Leadership(engine, KEY), Leadership(engine, KEY)
    assert first.try_acquire()
    with transaction(engine) as connection:
        connection.execute(
            text("SELECT pg_terminate_backend(pid) FROM pg_locks"
                 " WHERE locktype = 'advisory' AND pid <> pg_backend_pid()")
        )  # fmt: skip
    assert not first.confirm()
    assert second.try_acquire()
    second.release()


def test_incidents_of_before_are_not_told_what_happens_to_them_is(empty_database_url: str) -> None:
    engine = make_engine(empty_database_url)
    migrate(engine, "0009")
    with transaction(engine) as connection:
        connection.execute(text("""
            INSERT INTO incidents (id, version, revision, asset_id, kind, severity, opened_at,
                started_at, last_activity_at, readings, anomalies, peak, recent, event_id)
            VALUES ('00000000-0000-0000-0000-000000000001', 1, 1, 'A', 'anomaly', 'low', now(),
                now(), now(), 1, 1, '{}', '[]', gen_random_uuid())
        """))  # fmt: skip
        log = text("""
            INSERT INTO incident_log (incident_id, occurred_at, version, who, what, before, after)
            VALUES ('00000000-0000-0000-0000-000000000001', now(), 1, 'system', :what, '{}', '{}')
        """)
        connection.execute(log, {"what": "opened"})
    migrate(engine)
    with transaction(engine) as connection:
        register(connection, ["shift"])
        assert due_changes(connection, "shift", 10) == []
        connection.execute(log, {"what": "escalated"})
        (change,) = due_changes(connection, "shift", 10)
    assert (change.what, change.incident["asset_id"]) == ("escalated", "A")
    engine.dispose()
