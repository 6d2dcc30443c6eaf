"""The history query: right against plain Python, by index on 200,000 rows, deep pages too."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection, Engine, event, text

from benchmarks.database import START, fill_history, vacuum
from db.queries import history as module
from db.queries.copy import insert_detections
from db.queries.cursors import encode_cursor
from db.queries.history import HistoryFilter, get_detection, history, page_query
from db.queries.readings import recent_readings
from db.session import make_engine, transaction
from errors import InputError
from tests.fixtures.postgres import database_on, run_admin

ROWS = 200_000
FILTERS = [
    HistoryFilter(),
    HistoryFilter(is_anomaly=None),
    HistoryFilter(is_anomaly=False),
    HistoryFilter(asset_id="ASSET_7"),
    HistoryFilter(asset_id="ASSET_7", is_anomaly=None),
    HistoryFilter(asset_id="ASSET_7", sensor_id="S1"),
    HistoryFilter(asset_id="ASSET_7", sensor_id="S1", is_anomaly=None),
    HistoryFilter(asset_id="nobody", is_anomaly=None),
    HistoryFilter(sensor_id="S1"),
    HistoryFilter(sensor_id="S1", is_anomaly=False),
    HistoryFilter(sensor_id="nothing", is_anomaly=None),
    HistoryFilter(criticality="critical"),
    HistoryFilter(criticality="high", is_anomaly=None),
    HistoryFilter(criticality="low", is_anomaly=None),
    HistoryFilter(criticality="low"),
    HistoryFilter(criticality="critical", asset_id="ASSET_7"),
    HistoryFilter(start=START + timedelta(days=10), end=START + timedelta(days=11)),
    HistoryFilter(start=START + timedelta(days=20), is_anomaly=None),
    HistoryFilter(end=START + timedelta(days=20), is_anomaly=False),
    HistoryFilter(
        asset_id="ASSET_7",
        sensor_id="S1",
        start=START + timedelta(days=10),
        end=START + timedelta(days=40),
        is_anomaly=None,
        criticality="low",
    ),
]


def name(filters: HistoryFilter) -> str:
    parts = [f"{field}={getattr(filters, field)}" for field in filters.__slots__]
    return ",".join(part for part in parts if "None" not in part)


# -- right ------------------------------------------------------------------------------------


def some_rows(count: int) -> list[dict[str, Any]]:
    """Rows with many equal times."""
    draw = random.Random(5)
    return [
        {
            "id": UUID(int=draw.getrandbits(128)),
            "timestamp": datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=draw.randrange(40)),
            "asset_id": f"ASSET_{draw.randrange(6, 8)}",
            "sensor_id": draw.choice(["S1", "S2", None]),
            "final_score": 0.1,
            "is_anomaly": draw.random() < 0.5,
            "criticality": draw.choice(["critical", "high", "medium", "low"]),
            "scores": [],
            "features": {"x": 1.0},
            "metadata": {},
        }
        for _ in range(count)
    ]


def expected(rows: list[dict[str, Any]], filters: HistoryFilter) -> list[UUID]:
    def wanted(row: dict[str, Any]) -> bool:
        return (
            all(
                getattr(filters, key) in (None, row[key])
                for key in ("asset_id", "sensor_id", "is_anomaly", "criticality")
            )
            and (filters.start is None or row["timestamp"] >= filters.start)
            and (filters.end is None or row["timestamp"] <= filters.end)
        )

    chosen = sorted(
        (row for row in rows if wanted(row)), key=lambda r: (r["timestamp"], r["id"]), reverse=True
    )
    return [row["id"] for row in chosen]


def test_every_filter_pages_through_exactly_its_rows(engine: Engine) -> None:
    rows = some_rows(400)
    with transaction(engine) as connection:
        insert_detections(connection, rows)
        for filters in FILTERS:
            ids = expected(rows, filters)
            first = history(connection, filters, limit=7)
            assert (first.total, first.total_is_exact) == (len(ids), True)
            assert [row["id"] for row in first.rows] == ids[:7], name(filters)
            shifted = history(connection, filters, limit=7, offset=5)
            assert [row["id"] for row in shifted.rows] == ids[5:12], name(filters)
            walked, cursor = [row["id"] for row in first.rows], first.next_cursor
            while cursor is not None:
                page = history(connection, filters, limit=7, cursor=cursor)
                walked += [row["id"] for row in page.rows]
                cursor = page.next_cursor
            assert walked == ids, name(filters)


def test_a_row_comes_back_as_it_was_stored(engine: Engine) -> None:
    (row,) = some_rows(1)
    with transaction(engine) as connection:
        insert_detections(connection, [row])
        found = get_detection(connection, row["id"])
        assert found is not None
        assert {key: found[key] for key in row} == row
        assert found["timestamp"].utcoffset() == timedelta(0)
        assert get_detection(connection, uuid4()) is None


def test_rows_that_arrive_meanwhile_do_not_disturb_the_walk(engine: Engine) -> None:
    rows = some_rows(30)
    filters = HistoryFilter(is_anomaly=None)
    with transaction(engine) as connection:
        insert_detections(connection, rows)
        page = history(connection, filters, limit=10)
        newer = {**rows[0], "id": uuid4(), "timestamp": datetime(2027, 1, 1, tzinfo=UTC)}
        insert_detections(connection, [newer])
        rest = history(connection, filters, limit=50, cursor=page.next_cursor)
        walked = [row["id"] for row in page.rows + rest.rows]
        assert walked == expected(rows, filters)


def test_a_cursor_is_checked(engine: Engine) -> None:
    cursor = encode_cursor(START, uuid4(), HistoryFilter())
    wrong = ["", "x", "ä", "=" * 9, "WzEsMl0", "bnVsbA", cursor[:-3], cursor + "A", "\x00"]
    with transaction(engine) as connection:
        for bad in wrong:
            with pytest.raises(InputError) as caught:
                history(connection, HistoryFilter(), cursor=bad)
            assert (caught.value.code, caught.value.field) == ("bad_cursor", "cursor")
        with pytest.raises(InputError, match="other filters"):
            history(connection, HistoryFilter(asset_id="A"), cursor=cursor)
        with pytest.raises(InputError, match="cannot be combined"):
            history(connection, HistoryFilter(), cursor=cursor, offset=1)
        assert history(connection, HistoryFilter(), cursor=cursor).rows == []


# -- fast -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def large(postgres_server: str, migrated_template: str) -> Iterator[Connection]:
    """200,000 readings in two partitions."""
    run_admin(postgres_server, f"CREATE DATABASE large TEMPLATE {migrated_template}")
    engine = make_engine(database_on(postgres_server, "large"))
    with transaction(engine) as connection:
        fill_history(connection, ROWS, months=2)
    vacuum(engine)
    with transaction(engine) as connection:
        yield connection
    engine.dispose()
    run_admin(postgres_server, "DROP DATABASE large WITH (FORCE)")


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def explain(connection: Connection, filters: HistoryFilter, **page: Any) -> dict[str, Any]:
    query, values = page_query(filters, **page)
    plan = connection.execute(text(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {query}"), values)
    found: dict[str, Any] = plan.scalar_one()[0]["Plan"]
    return found


@pytest.mark.parametrize("filters", FILTERS, ids=name)
def test_every_filter_uses_an_index(large: Connection, filters: HistoryFilter) -> None:
    plan = explain(large, filters, limit=100)
    # The default partition is empty; how that is read says nothing.
    kinds = {
        node["Node Type"]
        for node in nodes(plan)
        if node.get("Relation Name", "anomaly_detections_default") != "anomaly_detections_default"
    }
    assert kinds <= {"Index Scan", "Bitmap Heap Scan", "Bitmap Index Scan"}
    assert kinds
    touched = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
    assert touched < 1500, f"a page of 100 rows read {touched} blocks"


@pytest.mark.parametrize(
    "filters", [HistoryFilter(), HistoryFilter(is_anomaly=None), HistoryFilter(is_anomaly=False)]
)
def test_a_deep_page_by_cursor_reads_no_more_than_the_first(
    large: Connection, filters: HistoryFilter
) -> None:
    query, values = page_query(filters, limit=1, offset=1000 if filters.is_anomaly else 150_000)
    deep_row = large.execute(text(query), values).mappings().first()
    assert deep_row is not None
    first = explain(large, filters, limit=100)
    deep = explain(
        large,
        filters,
        limit=100,
        cursor=encode_cursor(deep_row["timestamp"], deep_row["id"], filters),
    )
    assert deep["Actual Rows"] == first["Actual Rows"] == 101
    assert deep["Shared Hit Blocks"] <= 1.5 * first["Shared Hit Blocks"] + 20


def test_total_is_exact_up_to_ten_thousand_then_an_estimate(large: Connection) -> None:
    few = history(large, HistoryFilter(), limit=1)
    assert (few.total_is_exact, 1500 < few.total < 2500) == (True, True)
    many = history(large, HistoryFilter(is_anomaly=None), limit=1)
    assert not many.total_is_exact
    assert many.total == pytest.approx(ROWS, rel=0.1)
    assert many.total > module.EXACT_TOTAL


def test_the_neighbours_count_uses_an_index(large: Connection) -> None:
    query = """
        EXPLAIN (FORMAT JSON) SELECT count(*) FROM anomaly_detections
        WHERE criticality IN ('high', 'critical') AND is_anomaly AND timestamp >= :since
    """
    plan = large.execute(text(query), {"since": START + timedelta(days=30)}).scalar_one()
    kinds = {node["Node Type"] for node in nodes(plan[0]["Plan"]) if "Index Name" in node}
    assert kinds <= {"Index Scan", "Index Only Scan", "Bitmap Index Scan"}
    assert kinds
    assert "Seq Scan" not in {
        node["Node Type"]
        for node in nodes(plan[0]["Plan"])
        if node.get("Relation Name") != "anomaly_detections_default"
    }


def test_the_newest_readings_of_a_group_are_found_by_its_index(large: Connection) -> None:
    """A small group, or one of which nothing came yet, would cost a look at every reading."""
    asked: list[tuple[str, Any]] = []

    def note(connection: Any, cursor: Any, statement: str, values: Any, *_: Any) -> None:
        asked.append((statement, values))

    event.listen(large, "before_cursor_execute", note)
    try:
        assert recent_readings(large, 1000, "nobody") == []
    finally:
        event.remove(large, "before_cursor_execute", note)
    statement, values = next(one for one in asked if "group_name" in one[0])
    plan = large.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", values)
    kinds = {
        (node["Node Type"], "group_name" in node.get("Index Name", ""))
        for node in nodes(plan.scalar_one()[0]["Plan"])
        if node.get("Relation Name", "anomaly_detections_default") != "anomaly_detections_default"
    }
    assert {kind for kind, _ in kinds} <= {"Index Scan", "Bitmap Heap Scan", "Bitmap Index Scan"}
    assert any(by_group for _, by_group in kinds)
