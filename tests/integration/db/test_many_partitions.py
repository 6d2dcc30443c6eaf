"""A year of daily partitions and ten bridges, under PostgreSQL's default lock table."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection, Engine, text

from db.partitions import ensure_partitions
from db.queries import copy, offsets, reporting, stored_windows, stream_states
from db.queries import history as history_queries
from db.queries import readings as stored
from db.queries.history import HistoryFilter
from db.queries.slices import PARTITIONS, Slice, slices
from db.session import make_engine, transaction
from schemas import stream_key
from tests.fixtures.postgres import database_on, run_admin
from tests.integration.readings import TOPIC, row

DAYS = 400
FIRST = datetime(2025, 1, 1, tzinfo=UTC)
TODAY = FIRST + timedelta(days=DAYS - 1)
KEY = stream_key("A", "S")
BRIDGES = 10
#: A query may touch so many tables and indices: 16 partitions, the default one, the parent.
FEW = (PARTITIONS + 2) * 14


def reading(number: int, at: datetime) -> dict[str, Any]:
    found: dict[str, Any] = row(number, timestamp=at.isoformat(), is_anomaly=number % 5 == 0)
    return found


@pytest.fixture(scope="module")
def crowded(postgres_server: str, migrated_template: str) -> Iterator[Engine]:
    """400 daily partitions with five readings each of one stream."""
    run_admin(postgres_server, f"CREATE DATABASE crowded TEMPLATE {migrated_template}")
    engine = make_engine(database_on(postgres_server, "crowded"), pool_size=BRIDGES)
    ensure_partitions(engine, FIRST, unit="day", ahead=DAYS - 1)
    with transaction(engine) as connection:
        assert connection.execute(text("SHOW max_locks_per_transaction")).scalar_one() == "64"
    for day in range(DAYS):
        with transaction(engine) as connection:
            times = [FIRST + timedelta(days=day, hours=4 * hour) for hour in range(5)]
            copy.insert_detections(connection, [reading(5 * day + n, at)
                                                for n, at in enumerate(times)])  # fmt: skip
    yield engine
    engine.dispose()
    run_admin(postgres_server, "DROP DATABASE crowded WITH (FORCE)")


def state(last: datetime, start: datetime | None) -> stream_states.StoredState:
    return stream_states.StoredState(KEY, TOPIC, 0, {"n": 1}, last, 30, "v", start)


def locks(connection: Connection) -> int:
    """Tables and indices that this transaction has locked."""
    query = "SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'relation'"
    return int(connection.execute(text(query)).scalar_one())


def test_a_query_without_a_span_locks_them_all(crowded: Engine) -> None:
    with transaction(crowded) as connection:
        plain = "SELECT 1 FROM anomaly_detections WHERE id = :id"
        connection.execute(text(plain), {"id": uuid4()})
        assert locks(connection) > DAYS  # why every query of ours has one


@pytest.mark.parametrize(
    "ask",
    [
        lambda c: stored_windows.stored_windows(c, {KEY: state(TODAY, TODAY - timedelta(days=9))}),
        lambda c: stored_windows.stored_windows(c, {KEY: state(TODAY, None)}),
        lambda c: stored_windows.stored_windows(
            c,
            {KEY: state(TODAY, None), ("none", "", ""): state(FIRST, None),
             ("old", "", ""): state(FIRST + timedelta(days=50), FIRST)},
        ),
        lambda c: stored_windows.find_duplicates(c, [(KEY, TODAY)]),
        lambda c: stored_windows.find_duplicates(
            c, [(KEY, FIRST + timedelta(days=n)) for n in range(0, DAYS, 10)]
        ),
        lambda c: stored_windows.event_criticalities(c, KEY, "e1", FIRST),
        lambda c: history_queries.get_detection(c, copy.detection_id(TOPIC, 0, 0)),
        lambda c: history_queries.get_detection(c, uuid4()),
        lambda c: history_queries.history(c, HistoryFilter(is_anomaly=None), limit=50, offset=900),
        lambda c: history_queries.history(c, HistoryFilter(asset_id="nobody")),
        lambda c: stored.recent_readings(c, 1000, "default"),
        lambda c: stored.recent_readings(c, 10, "nobody"),
        lambda c: reporting.recent_alarms(c),
        lambda c: reporting.count_rows(c, TOPIC),
        lambda c: reporting.anomalies_between(c, TOPIC, 0, 0, 10_000),
        lambda c: list(stored.export_readings(c, stored.ReadingFilter(group="default"))),
        lambda c: stored.start_of_newest(c, stored.ReadingFilter(), 1500),
    ],
)  # fmt: skip
def test_no_query_locks_more_than_a_few(
    crowded: Engine, ask: Callable[[Connection], object]
) -> None:
    with transaction(crowded) as connection:
        assert ask(connection) is not object()
        assert locks(connection) <= FEW


def test_what_lies_in_many_slices_is_found_as_in_one(crowded: Engine) -> None:
    with transaction(crowded) as connection:
        assert len(slices(connection)) == DAYS // PARTITIONS
        whole = {KEY: state(TODAY + timedelta(days=1), None)}
        window = stored_windows.stored_windows(connection, whole)[KEY]
        assert len(window) == 30
        assert window == sorted(window, key=lambda one: one[0])
        assert window[-1][0] == TODAY + timedelta(hours=16)
        times = [FIRST + timedelta(days=n) for n in (0, 200, 399)]
        assert set(stored_windows.find_duplicates(connection, [(KEY, at) for at in times])) == {
            0,
            1,
            2,
        }
        first = copy.detection_id(TOPIC, 0, 0)
        found = history_queries.get_detection(connection, first)
        assert found is not None
        assert found["timestamp"] == FIRST
        everything = HistoryFilter(is_anomaly=None)
        ids = [
            one["id"] for one in history_queries.history(connection, everything, limit=5000).rows
        ]
        assert len(ids) == 5 * DAYS
        paged = [
            one["id"]
            for offset in range(0, 5 * DAYS, 700)
            for one in history_queries.history(
                connection, everything, limit=700, offset=offset
            ).rows
        ]
        assert paged == ids
        exported = list(stored.export_readings(connection, stored.ReadingFilter()))
        assert [one.timestamp for one in exported] == sorted(one.timestamp for one in exported)
        assert len(exported) == 5 * DAYS
        since = stored.start_of_newest(connection, stored.ReadingFilter(), 1500)
        assert since is not None
        newest = list(stored.export_readings(connection, stored.ReadingFilter(start=since)))
        assert len(newest) == 1500
        assert stored.start_of_newest(connection, stored.ReadingFilter(), 5 * DAYS) is None


def test_slices_cover_the_span_without_a_gap(crowded: Engine) -> None:
    start, end = FIRST + timedelta(days=3), TODAY - timedelta(days=5)
    with transaction(crowded) as connection:
        found = slices(connection, start, end)
        assert (found[0].end, found[-1].start) == (end, start)
        assert all(newer.start == older.end for newer, older in pairwise(found))
        assert slices(connection, end, end + timedelta(days=1)) == [
            Slice(end, end + timedelta(days=1))
        ]


def test_ten_bridges_at_once_have_room_in_the_lock_table(crowded: Engine) -> None:
    together = threading.Barrier(BRIDGES, timeout=60)

    def bridge(number: int) -> int:
        """A batch of its own partition; COMMIT waits until all ten hold their locks."""
        topic = UUID(int=number + 100)
        with transaction(crowded) as connection:
            offsets.claim(connection, topic, number)
        with transaction(crowded) as connection:
            stream_states.load_states(connection, topic, number, [KEY])
            stored_windows.stored_windows(connection, {KEY: state(TODAY, None)})
            stored_windows.find_duplicates(
                connection, [(KEY, TODAY - timedelta(days=n)) for n in range(0, 300, 25)]
            )
            stored_windows.event_criticalities(connection, KEY, "e1", FIRST)
            history_queries.history(connection, HistoryFilter(asset_id="nobody"))
            history_queries.get_detection(connection, uuid4())
            batch = [row(n, timestamp=(TODAY + timedelta(minutes=n)).isoformat(), topic_id=topic,
                         partition=number) for n in range(50)]  # fmt: skip
            copy.insert_detections(connection, batch)
            offsets.advance(connection, offsets.OffsetAdvance(topic, number, 1, None, 50))
            held = locks(connection)
            together.wait()
            return held

    with ThreadPoolExecutor(BRIDGES) as pool:
        held = list(pool.map(bridge, range(BRIDGES)))
    with transaction(crowded) as connection:  # others count what is there
        away = "DELETE FROM anomaly_detections WHERE topic_id <> :topic"
        connection.execute(text(away), {"topic": TOPIC})
    assert max(held) <= FEW
