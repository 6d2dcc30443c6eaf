"""Schema: every revision upgrades with rows in it, once, and equals the table classes."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, text
from sqlmodel import SQLModel

import db.incident_tables
import db.tables  # noqa: F401 (fills the metadata)
from db.alarm_kpis import alarm_kpis
from db.fault_codes import fault_codes
from db.migrate import current_revision, main, migrate, required_revision, scripts
from db.partitions import ensure_partitions
from db.queries.feedback import false_alarms
from db.session import make_engine, transaction
from errors import SettingsError
from tests.fixtures.settings import SETTINGS

ROOT = Path(__file__).resolve().parents[3]
HEAD = str(scripts().get_current_head())
REVISIONS = [script.revision for script in scripts().walk_revisions()][::-1]

#: Rows as the oldest revision can hold them; later ones must carry them over.
ROWS = (
    """
    INSERT INTO anomaly_detections (id, timestamp, asset_id, sensor_id, final_score, is_anomaly,
        criticality, scores, features, metadata, window_mark, topic_id, partition, source_offset)
    SELECT gen_random_uuid(), timestamptz '2026-01-01Z' + n * interval '1 day', 'A' || n % 3, 'S',
        n / 100.0, n % 10 = 0, 'low', '[]', '{"x": 1}', '{}', 'added', gen_random_uuid(), 0, n
    FROM generate_series(1, 50) n
    """,
    """
    INSERT INTO dead_letters (id, topic_id, partition, source_offset, reason, value)
    VALUES (gen_random_uuid(), gen_random_uuid(), 0, 1, 'bad_json', '\\x00ff')
    """,
    """
    INSERT INTO stream_states (topic_id, partition, asset_id, state)
    VALUES (gen_random_uuid(), 0, 'A', '{}')
    """,
    "INSERT INTO source_offsets (topic_id, partition, epoch) VALUES (gen_random_uuid(), 0, 1)",
    "INSERT INTO outbox (topic_id, partition, target_topic) VALUES (gen_random_uuid(), 0, 't')",
    "INSERT INTO assets VALUES ('A', 'high')",
    "INSERT INTO training_jobs (id, state, request) VALUES (gen_random_uuid(), 'queued', '{}')",
)
COUNTS = {
    "anomaly_detections": 50,
    "dead_letters": 1,
    "stream_states": 1,
    "source_offsets": 1,
    "outbox": 1,
    "assets": 1,
    "training_jobs": 1,
}

_PER_PARTITION = """
    SELECT c.relname, count(DISTINCT x.indexrelid), count(DISTINCT s.oid)
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    LEFT JOIN (pg_index x JOIN pg_class xc ON xc.oid = x.indexrelid AND xc.relispartition)
        ON x.indrelid = c.oid
    LEFT JOIN pg_statistic_ext s ON s.stxrelid = c.oid
    WHERE i.inhparent = 'anomaly_detections'::regclass GROUP BY 1
"""


@pytest.fixture
def empty(empty_database_url: str) -> Any:
    engine = make_engine(empty_database_url)
    yield engine
    engine.dispose()


def included(obj: Any, name: str | None, kind: str, reflected: bool, other: Any) -> bool:
    """Partitions, their indices and generated columns are not the table classes' matter."""
    table = obj if kind == "table" else getattr(obj, "table", None)
    return table is None or not table.name.startswith("anomaly_detections_")


def test_migrations_equal_the_table_classes(engine: Engine) -> None:
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"include_object": included, "compare_server_default": False}
        )
        differences = [
            item
            for item in compare_metadata(context, SQLModel.metadata)
            if item[0] != "remove_table"
            or item[1].name not in ("alembic_version", "schema_revision")
        ]
    assert differences == []


def test_every_partition_old_and_new_keeps_its_rows_whole(empty: Engine) -> None:
    migrate(empty, "0006")
    with transaction(empty) as connection:
        connection.execute(text(
            "CREATE TABLE old_month PARTITION OF anomaly_detections"
            " FOR VALUES FROM ('2020-01-01') TO ('2020-02-01')"
        ))  # fmt: skip
    migrate(empty)
    ensure_partitions(empty, datetime(2026, 1, 1, tzinfo=UTC), ahead=1)
    with empty.connect() as connection:
        found = connection.execute(text("""
            SELECT c.relname, c.reloptions FROM pg_partition_tree('anomaly_detections') t
            JOIN pg_class c ON c.oid = t.relid WHERE t.isleaf
        """)).all()  # fmt: skip
    assert len(found) == 4
    assert {str(options) for _, options in found} == {"['toast_tuple_target=8160']"}


@pytest.mark.parametrize("revision", REVISIONS)
def test_upgrade_from_every_revision_keeps_the_rows(empty: Engine, revision: str) -> None:
    assert migrate(empty, revision) == revision
    with transaction(empty) as connection:
        for statement in ROWS:
            connection.execute(text(statement))
    ensure_partitions(empty, datetime(2026, 1, 15, tzinfo=UTC), ahead=0)
    assert migrate(empty) == HEAD
    assert migrate(empty) == HEAD
    with transaction(empty) as connection:
        found = {
            table: connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()
            for table in COUNTS
        }
        # What hangs on the table, hangs on every partition too.
        parts = connection.execute(text(_PER_PARTITION)).all()
    assert found == COUNTS
    assert len(parts) == 2
    assert len({(indices, statistics) for _, indices, statistics in parts}) == 1


def test_feedback_codes_and_log_of_before_are_carried_over(empty: Engine) -> None:
    migrate(empty, "0007")
    with transaction(empty) as connection:
        for statement in (
            """
            INSERT INTO incidents (id, version, revision, asset_id, kind, severity, opened_at,
                started_at, last_activity_at, readings, anomalies, peak, recent, event_id)
            VALUES (gen_random_uuid(), 1, 1, 'A', 'anomaly', 'high', now(), now(), now(), 1, 1,
                '{}', '[]', gen_random_uuid())
            """,
            """
            INSERT INTO incident_log (incident_id, occurred_at, version, who, what, before, after)
            SELECT id, now(), 1, 'system', 'opened', '{}', '{"severity": "high"}' FROM incidents
            """,
            """
            INSERT INTO feedback (id, asset_id, starts_at, ends_at, verdict, created_by)
            VALUES (gen_random_uuid(), 'A', now(), now(), 'false_alarm', 'ANNA')
            """,
            "INSERT INTO fault_codes (code, name) VALUES ('X', 'Y')",
        ):
            connection.execute(text(statement))
    assert migrate(empty) == HEAD
    with transaction(empty) as connection:
        assert false_alarms(connection, 30) == {"A": 1}
        assert fault_codes(connection) == ([{"code": "X", "name": "Y", "action": ""}], True)
        now = datetime.now(UTC)
        day = timedelta(days=1)
        kpis = alarm_kpis(connection, now - day, now + day, SETTINGS)
        assert kpis["alarms"] == 1


def test_several_starts_at_once_migrate_once(empty: Engine) -> None:
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: migrate(empty), range(4))) == [HEAD] * 4


def test_two_processes_at_once_migrate_once(empty_database_url: str) -> None:
    environment = {**os.environ, "DATABASE_URL": empty_database_url}
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "db.migrate"],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=60) for process in started]
    assert [process.returncode for process in started] == [0, 0], outputs
    assert sum(f"empty -> {HEAD}" in err for _, err in outputs) == 1
    assert all(out == f"schema is at revision {HEAD}\n" for out, _ in outputs)
    assert all("***" not in err and "password" not in err for _, err in outputs)


def test_a_failing_migration_leaves_nothing_behind(
    empty: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(config: Any, revision: str) -> None:
        config.attributes["connection"].execute(text("CREATE TABLE half_done (n int)"))
        raise RuntimeError("power failure")

    with monkeypatch.context() as patch:
        patch.setattr("alembic.command.upgrade", fail)
        with pytest.raises(RuntimeError):
            migrate(empty)
    with transaction(empty) as connection:
        assert current_revision(connection) is None
        assert connection.execute(text("SELECT to_regclass('half_done')")).scalar_one() is None
    assert migrate(empty) == HEAD


def test_a_newer_database_is_refused_only_if_it_breaks_this_program(engine: Engine) -> None:
    with transaction(engine) as connection:
        connection.execute(text("UPDATE schema_revision SET version_num = '9998'"))
    assert migrate(engine) == "9998"
    with transaction(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(SettingsError, match=r"revision 9999.*upgrade this program"):
        migrate(engine)


def test_revisions_that_only_add_ask_nothing_of_older_programs(empty: Engine) -> None:
    breaking = [s.revision for s in scripts().walk_revisions() if s.module.breaks_older_programs]
    migrate(empty)
    with transaction(empty) as connection:
        assert current_revision(connection) == HEAD
        assert required_revision(connection) == breaking[0]
    assert breaking[0] == "0003"  # a newer one ends the way back of every deployment


def test_command_reports_an_error_without_a_trace(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "mysql://u:hidden@h/d")
    assert main([]) == 1
    output = capsys.readouterr().err
    assert output.startswith("error: DATABASE_URL")
    assert "hidden" not in output
