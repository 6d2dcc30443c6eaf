"""Partitions made and dropped on a real PostgreSQL, while others read and write."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import chain
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

from db import maintain, partitions, retention
from db.partitions import Partition, ensure_partitions, gaps, list_partitions, spans
from db.queries.copy import insert_dead_letters, insert_detections
from db.queries.stream_states import StoredState, save_states
from db.queries.training_jobs import claim_job, enqueue_job, list_jobs
from db.retention import Gone, dead_letter_days, drop_expired
from db.retry import retried
from db.session import transaction
from errors import StorageUnavailable
from tests.fixtures.settings import given, keeping

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)
TOPIC = uuid4()


def day(text_: str) -> datetime:
    return datetime.fromisoformat(text_).replace(tzinfo=UTC)


def rows(*times: datetime, first: int = 0) -> list[dict[str, Any]]:
    return [
        {
            "id": uuid4(),
            "timestamp": at,
            "asset_id": "A",
            "final_score": 0.1,
            "is_anomaly": False,
            "criticality": "low",
            "scores": [],
            "features": {"x": 1},
            "metadata": {},
            "window_mark": "added",
            "topic_id": TOPIC,
            "partition": 0,
            "source_offset": offset,
        }
        for offset, at in enumerate(times, first)
    ]


def store(
    engine: Engine, *times: datetime, created: datetime | None = None, first: int = 0
) -> None:
    with transaction(engine) as connection:
        insert_detections(connection, rows(*times, first=first))
        if created is not None:
            connection.execute(
                text("UPDATE anomaly_detections SET created_at = :at WHERE source_offset >= :n"),
                {"at": created, "n": first},
            )


def counts(engine: Engine) -> dict[str, int]:
    """Rows by the partition that holds them."""
    query = text(
        "SELECT tableoid::regclass::text AS t, count(*) FROM anomaly_detections GROUP BY 1"
    )
    with transaction(engine) as connection:
        return {t.removeprefix("anomaly_detections_"): n for t, n in connection.execute(query)}


def names(engine: Engine) -> list[str]:
    with transaction(engine) as connection:
        return [p.name.removeprefix("anomaly_detections_") for p in list_partitions(connection)]


def test_spans_are_whole_months_or_days_in_utc() -> None:
    at = datetime.fromisoformat("2026-12-31T23:30:00-02:00")  # already January in UTC
    assert list(spans(at, "month", 1)) == [
        (day("2027-01-01"), day("2027-02-01")),
        (day("2027-02-01"), day("2027-03-01")),
    ]
    assert list(spans(at, "day", 0)) == [(day("2027-01-01"), day("2027-01-02"))]


def test_gaps_leave_out_what_is_taken() -> None:
    taken = [
        Partition("b", day("2026-03-10"), day("2026-03-11")),
        Partition("a", day("2026-02-01"), day("2026-03-02")),
    ]
    assert list(gaps(day("2026-03-01"), day("2026-04-01"), taken)) == [
        (day("2026-03-02"), day("2026-03-10")),
        (day("2026-03-11"), day("2026-04-01")),
    ]
    assert list(gaps(day("2026-02-05"), day("2026-02-06"), taken)) == []


def test_ensure_makes_the_coming_partitions_and_moves_their_rows(engine: Engine) -> None:
    store(engine, NOW, day("2026-05-31"), day("2026-06-01"), day("2020-01-01"))
    assert counts(engine) == {"default": 4}
    made = ensure_partitions(engine, NOW, unit="month", ahead=2)
    assert [name.removeprefix("anomaly_detections_") for name in made] == [
        "20260301_20260401", "20260401_20260501", "20260501_20260601",
    ]  # fmt: skip
    assert counts(engine) == {"20260301_20260401": 1, "20260501_20260601": 1, "default": 2}
    assert ensure_partitions(engine, NOW, unit="month", ahead=2) == []
    with transaction(engine) as connection:
        missing = connection.execute(
            text("SELECT count(*) FROM anomaly_detections WHERE stream_id IS NULL")
        ).scalar_one()
        unattached = connection.execute(
            text("""
                SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
                WHERE i.indrelid = CAST(:name AS regclass) AND NOT c.relispartition
            """),
            {"name": made[0]},
        ).scalar_one()
    assert (missing, unattached) == (0, 0)


def test_a_changed_unit_fills_only_the_gaps(engine: Engine) -> None:
    ensure_partitions(engine, day("2026-03-31"), unit="day", ahead=1)
    ensure_partitions(engine, NOW, unit="month", ahead=1)
    assert names(engine) == [
        "20260301_20260331", "20260331_20260401", "20260401_20260402", "20260402_20260501",
    ]  # fmt: skip


def test_several_processes_make_each_partition_once(engine: Engine) -> None:
    store(engine, *(NOW + timedelta(days=i) for i in range(50)))
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: ensure_partitions(engine, NOW, unit="day"), range(4)))
    every = list(chain.from_iterable(made))
    assert sorted(every) == sorted(set(every))
    assert len(names(engine)) == 4
    assert sum(counts(engine).values()) == 50


def test_nothing_is_lost_while_readings_keep_coming(engine: Engine) -> None:
    stop = threading.Event()
    stored = 0

    def keep_storing() -> None:
        nonlocal stored
        while not stop.is_set():
            times = [NOW + timedelta(days=(stored + i) % 90) for i in range(20)]
            # A COPY that was under way when its partition came is refused, and fits right after.
            retried(partial(store, engine, *times, first=stored))
            stored += 20
            with transaction(engine) as connection:
                connection.execute(text("SELECT count(*) FROM anomaly_detections")).scalar_one()

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(keep_storing)
        ensure_partitions(engine, NOW, unit="month", ahead=2)
        ensure_partitions(engine, NOW, unit="day", ahead=120)
        stop.set()
        writing.result(timeout=30)
    assert sum(counts(engine).values()) == stored
    assert counts(engine).get("default", 0) == 0


def test_a_lock_that_is_not_to_be_had_is_storage_unavailable(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitions, "LOCK_TIMEOUT_MS", 20)
    monkeypatch.setattr("db.retry.time.sleep", lambda seconds: None)
    store(engine, NOW)
    with transaction(engine) as connection:
        connection.execute(text("SELECT count(*) FROM anomaly_detections"))
        with pytest.raises(StorageUnavailable, match="lock timeout"):
            ensure_partitions(engine, NOW)
    assert counts(engine) == {"default": 1}
    assert len(ensure_partitions(engine, NOW)) == 4


#: Ages are measured by the server's clock.
LATELY = datetime.now(UTC)
MONTH_AGO = LATELY - timedelta(days=100)
MONTH = next(f"{start:%Y%m%d}_{end:%Y%m%d}" for start, end in spans(MONTH_AGO, "month", 0))
KEPT_30 = keeping(retention_days=30, dead_letter_retention_days=30)


def test_retention_drops_by_time_stamp_and_replays_by_age(engine: Engine) -> None:
    ensure_partitions(engine, MONTH_AGO, ahead=0)
    ensure_partitions(engine, LATELY, ahead=0)
    store(engine, MONTH_AGO, created=MONTH_AGO)
    store(engine, day("2019-01-01"), created=MONTH_AGO, first=10)
    store(engine, MONTH_AGO, day("2019-01-02"), LATELY, created=LATELY, first=20)
    gone = drop_expired(engine, KEPT_30)
    assert gone.partitions == [f"anomaly_detections_{MONTH}"]
    assert gone.rows["anomaly_detections_default"] == 1
    assert counts(engine) == {"default": 2, names(engine)[0]: 1}
    assert len(names(engine)) == 1
    assert drop_expired(engine, keeping()) == Gone()
    assert drop_expired(engine, KEPT_30).rows["anomaly_detections_default"] == 0


def test_old_data_that_came_lately_stays_and_only_what_is_stale_goes(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitions, "MANY", 10)
    monkeypatch.setattr(retention, "BLOCKS", 1)
    ensure_partitions(engine, MONTH_AGO, ahead=0)
    store(engine, *[MONTH_AGO] * 50, created=MONTH_AGO)
    store(engine, *[MONTH_AGO] * 20, created=LATELY, first=100)
    gone = drop_expired(engine, KEPT_30)
    assert gone.partitions == []
    assert gone.rows[f"anomaly_detections_{MONTH}"] == 50
    assert counts(engine) == {MONTH: 20}


def test_retention_takes_up_what_an_interrupted_run_left(engine: Engine) -> None:
    ensure_partitions(engine, MONTH_AGO, ahead=0)
    store(engine, MONTH_AGO, created=LATELY)
    with transaction(engine) as connection:
        connection.execute(
            text(f"ALTER TABLE anomaly_detections DETACH PARTITION anomaly_detections_{MONTH}")
        )
    assert counts(engine) == {}
    drop_expired(engine, KEPT_30)
    assert counts(engine) == {"default": 1}


def age(engine: Engine, table: str, column: str, days: int, where: str) -> None:
    with transaction(engine) as connection:
        connection.execute(
            text(f"UPDATE {table} SET {column} = now() - make_interval(days => :d) WHERE {where}"),
            {"d": days},
        )


def test_dead_letters_go_by_age_in_chunks(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "CHUNK", 2)
    letters = [
        {"id": uuid4(), "topic_id": TOPIC, "partition": 0, "source_offset": n, "reason": "bad_json"}
        for n in range(6)
    ]
    with transaction(engine) as connection:
        insert_dead_letters(connection, letters)
    age(engine, "dead_letters", "created_at", 40, "source_offset < 5")
    assert drop_expired(engine, KEPT_30).rows["dead_letters"] == 5


def test_the_hosts_clock_drops_nothing(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten years ahead, as after a dead battery: rows are as old as their server says."""

    class Ahead(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return LATELY + timedelta(days=3650)

    for module in (maintain, retention, partitions):
        monkeypatch.setattr(module, "datetime", Ahead, raising=False)
    ensure_partitions(engine, LATELY, ahead=0)
    store(engine, LATELY)
    assert drop_expired(engine, KEPT_30).partitions == []
    assert sum(counts(engine).values()) == 1


def test_states_of_silent_streams_go_and_live_ones_stay(engine: Engine) -> None:
    with transaction(engine) as connection:
        save_states(
            connection,
            [StoredState((f"A{n}", "", ""), TOPIC, 0, {}, None, 0, None) for n in range(9)],
        )
    age(engine, "stream_states", "updated_at", 400, "asset_id < 'A5'")
    assert drop_expired(engine, keeping(state_retention_days=365)).rows == {"stream_states": 5}
    with transaction(engine) as connection:
        left = connection.execute(text("SELECT count(*) FROM stream_states")).scalar_one()
    assert left == 4


def test_ended_jobs_go_with_their_data_and_a_running_one_stays(engine: Engine) -> None:
    with transaction(engine) as connection:
        running = enqueue_job(connection, {}, data=b"matrix")
        claim_job(connection, "owner")
        enqueue_job(connection, {}, data=b"never taken")
    age(engine, "training_jobs", "created_at", 100, "TRUE")
    assert drop_expired(engine, keeping(training_job_retention_days=90)).rows == {
        "training_jobs": 1
    }
    with transaction(engine) as connection:
        assert [job.id for job in list_jobs(connection)] == [running]
        left = connection.execute(text("SELECT job_id FROM training_data")).scalars().all()
    assert left == [running]


def test_dead_letters_are_kept_no_longer_than_detections() -> None:
    def kept(**settings: Any) -> int:
        return dead_letter_days(given(**settings))

    assert kept() == 365
    assert kept(retention_days=30) == 30
    assert kept(retention_days=400, dead_letter_retention_days=90) == 90
    assert kept(dead_letter_retention_days=0) == 0


def test_command_says_what_it_did(
    database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("RETENTION_DAYS", "30")
    monkeypatch.setattr(maintain, "database_now", lambda _: LATELY)  # no month begins in between
    assert maintain.main([]) == 0
    out = capsys.readouterr().out
    assert "partitions made: anomaly_detections_" in out
    assert "kept for 30 days" in out
    assert maintain.main(["--retention-days", "0"]) == 0
    for wrong in ("-3", "999999"):  # "kept for -3 days"; before the first year
        with pytest.raises(SystemExit):
            maintain.main(["--retention-days", wrong])
    assert "partitions made: none missing" in capsys.readouterr().out
