"""A backfill leaves the default partition, while everyone reads and writes."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, text

from config import Settings
from db import backlog
from db.maintain import Maintenance, keep_partitions
from db.partitions import ensure_partitions, list_partitions
from db.retention import drop_expired
from db.session import transaction
from tests.fixtures.settings import keeping
from tests.integration.db.test_maintain import counts, names, store

MANY = 200
OLD = datetime(2019, 5, 3, tzinfo=UTC)
SETTINGS = Settings(_env_file=None, database_partition="day")


@pytest.fixture(autouse=True)
def few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "MANY", MANY)
    monkeypatch.setattr(backlog, "CHUNK", 70)


def old(count: int, *, day: int = 0) -> list[datetime]:
    return [OLD + timedelta(days=day, minutes=n) for n in range(count)]


def test_months_with_many_rows_get_partitions_and_a_few_stay(engine: Engine) -> None:
    ensure_partitions(engine, OLD + timedelta(days=40), unit="day", ahead=2)
    store(engine, *old(500))
    store(engine, *old(300, day=35), first=1000)  # June, which has three daily partitions
    store(engine, *old(MANY - 1, day=-60), datetime(1, 1, 1, tzinfo=UTC), first=2000)
    made = [name.removeprefix("anomaly_detections_") for name in backlog.work_off(engine)]
    assert made == ["20190501_20190601", "20190601_20190612", "20190615_20190701"]
    assert counts(engine) == {
        "20190501_20190601": 500, "20190601_20190612": 300, "default": MANY,
    }  # fmt: skip
    assert backlog.work_off(engine) == []
    with transaction(engine) as connection:
        kinds = connection.execute(
            text("""
                SELECT count(*), count(DISTINCT indices), bool_and(checks = 0) FROM (
                    SELECT c.oid, (SELECT count(*) FROM pg_index x JOIN pg_class i
                                   ON i.oid = x.indexrelid AND i.relispartition
                                   WHERE x.indrelid = c.oid) AS indices,
                        (SELECT count(*) FROM pg_constraint k
                         WHERE k.conrelid = c.oid AND k.contype = 'c') AS checks
                    FROM pg_inherits h JOIN pg_class c ON c.oid = h.inhrelid
                    WHERE h.inhparent = 'anomaly_detections'::regclass) parts
            """)
        ).one()
    assert tuple(kinds) == (7, 1, True)  # every partition alike, as if it had been made empty


def test_a_coming_partition_is_attached_without_the_backfill_in_the_way(engine: Engine) -> None:
    """The default partition that ATTACH scans is as small as if nothing old had come."""
    store(engine, *old(5000))
    size = text("SELECT pg_relation_size('anomaly_detections_default')")
    with transaction(engine) as connection:
        before = connection.execute(size).scalar_one()
    keep_partitions(engine, SETTINGS)
    with transaction(engine) as connection:
        assert connection.execute(size).scalar_one() == 0 < before
        assert len(list_partitions(connection)) == 1 + 1 + SETTINGS.database_partitions_ahead


def test_what_another_bridge_has_just_moved_is_not_moved_again(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(engine, *old(400))
    alone = backlog._alone

    def late(engine: Engine) -> AbstractContextManager[bool]:
        monkeypatch.setattr(backlog, "_alone", alone)
        assert len(backlog.work_off(engine)) == 1  # the other one, after this one has looked
        return alone(engine)

    monkeypatch.setattr(backlog, "_alone", late)
    assert backlog.work_off(engine) == []
    assert counts(engine) == {"20190501_20190601": 400}


def test_rows_that_come_during_the_copying_are_moved_too(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(engine, *old(400))
    copy, late = backlog._copy_aside, iter(range(3))

    def copy_and_store(*arguments: object) -> None:
        copy(*arguments)  # type: ignore[arg-type]
        number = next(late)
        store(engine, *old(5), *old(3, day=-90), first=1000 + 10 * number)

    monkeypatch.setattr(backlog, "_copy_aside", copy_and_store)
    assert len(backlog.work_off(engine)) == 1
    assert counts(engine) == {"20190501_20190601": 405, "default": 3}


def test_a_copy_that_was_interrupted_is_begun_anew(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(engine, *old(400))
    with monkeypatch.context() as patch:
        patch.setattr(backlog, "_swap", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            backlog.work_off(engine)
    assert counts(engine) == {"default": 400}
    assert (
        drop_expired(engine, keeping(retention_days=30)).partitions == []
    )  # a draft is no leftover
    assert backlog.work_off(engine) == ["anomaly_detections_20190501_20190601"]
    assert counts(engine) == {"20190501_20190601": 400}


def test_no_reader_misses_a_row_and_no_row_is_lost_or_doubled(engine: Engine) -> None:
    store(engine, *old(2000))
    stop, seen = threading.Event(), []

    def read() -> None:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            while not stop.is_set():
                count = text("SELECT count(*) FROM anomaly_detections WHERE asset_id = 'A'")
                seen.append(connection.execute(count).scalar_one())

    with ThreadPoolExecutor(3) as pool:
        reader = pool.submit(read)
        moves = [pool.submit(backlog.work_off, engine) for _ in range(2)]  # two bridges
        made = [name for move in moves for name in move.result(60)]
        stop.set()
        reader.result(30)
    assert made == ["anomaly_detections_20190501_20190601"]
    assert set(seen) == {2000}
    assert counts(engine) == {"20190501_20190601": 2000}


def test_a_bridge_drops_what_is_past_once_a_day(engine: Engine) -> None:
    long_ago = datetime(2019, 5, 3, tzinfo=UTC)
    clock = [0.0]
    settings = Settings(_env_file=None, retention_days=30)
    maintenance = Maintenance(engine, settings, lambda: clock[0])
    assert len(maintenance.run()) == 1 + settings.database_partitions_ahead
    store(engine, long_ago, created=long_ago)
    assert maintenance.run() == []
    assert counts(engine) == {"default": 1}
    clock[0] += 86_400
    maintenance.run()
    assert counts(engine) == {}
    assert len(names(engine)) == 1 + settings.database_partitions_ahead
