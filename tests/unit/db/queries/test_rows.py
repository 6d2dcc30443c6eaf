"""What queries have in common."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from db.queries.cursors import cut_page, decode_cursor
from db.queries.history import HistoryFilter, _where
from db.queries.incidents import IncidentFilter, incident_query
from db.queries.rows import conditions, id_list
from db.queries.slices import Slice

T = datetime(2026, 1, 1, tzinfo=UTC)


def test_only_given_filters_are_conditions() -> None:
    known = {"asset_id": "asset_id = :asset_id", "start": "timestamp >= :start"}
    assert conditions(HistoryFilter(start=T), known) == (["timestamp >= :start"], {"start": T})
    assert conditions(HistoryFilter(), known) == ([], {})


def test_asset_and_sensor_together_are_one_stream() -> None:
    where, values = _where(HistoryFilter("A", "S", start=T, is_anomaly=None), Slice())
    assert where == "stream_id = stream_key(:asset_id, :sensor_id, NULL) AND timestamp >= :start"
    assert values == {"asset_id": "A", "sensor_id": "S", "start": T}
    assert _where(HistoryFilter(is_anomaly=None), Slice()) == ("TRUE", {})


def test_one_state_is_an_equality_and_several_a_list() -> None:
    query, values = incident_query(IncidentFilter(states=("closed",)), limit=5)
    assert "WHERE state = :state ORDER" in query
    assert values == {"state": "closed", "limit": 6}
    _, values = incident_query(IncidentFilter(states=("closed", "shelved"), asset_id="A"), limit=5)
    assert values == {"states": ["closed", "shelved"], "asset_id": "A", "limit": 6}


def test_a_page_is_cut_and_its_cursor_names_its_last_row() -> None:
    rows = [{"id": UUID(int=n), "at": T} for n in range(3)]
    filters = HistoryFilter()
    page, cursor = cut_page(rows, 2, "at", filters)
    assert page == rows[:2]
    assert cursor is not None
    assert decode_cursor(cursor, filters) == (T, str(UUID(int=1)))
    assert cut_page(rows, 3, "at", filters) == (rows, None)
    assert cut_page([], 3, "at", filters) == ([], None)


def test_ids_are_text() -> None:
    assert id_list([UUID(int=1)]) == ["00000000-0000-0000-0000-000000000001"]
