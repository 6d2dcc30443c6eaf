"""Bodies and queries of feedback, fault codes and KPIs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from db.queries.feedback import FeedbackFilter
from errors import InputError
from serving.requests.feedback_bodies import (
    DEFAULT_PERIOD,
    FaultCodes,
    IncidentFeedback,
    PeriodQuery,
    SpanFeedback,
    fault_code_rows,
    feedback_values,
    read_feedback_query,
    read_period,
)
from serving.requests.wire import decode

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def test_a_body_becomes_the_tables_columns() -> None:
    about = feedback_values(IncidentFeedback(verdict="confirmed", fault_code="BEARING"))
    assert (about["verdict"], about["fault_code"], about["starts_at"]) == (
        "confirmed", "BEARING", None,
    )  # fmt: skip
    assert "asset_id" not in about
    span = feedback_values(
        SpanFeedback(asset_id="A", start=NOW, end=NOW + DAY, verdict="expected", feature="rms")
    )
    assert (span["asset_id"], span["feature"], span["sensor_id"]) == ("A", "rms", None)
    assert (span["starts_at"], span["ends_at"]) == (NOW, NOW + DAY)


def test_a_fault_code_stands_once_in_a_list() -> None:
    codes = b'{"fault_codes":[{"code":"A","name":"a"},{"code":"%s","name":"b","action":"look"}]}'
    assert fault_code_rows(decode(FaultCodes, codes % b"B")) == [
        {"code": "A", "name": "a", "action": ""},
        {"code": "B", "name": "b", "action": "look"},
    ]
    with pytest.raises(InputError) as caught:
        fault_code_rows(decode(FaultCodes, codes % b"A"))
    assert caught.value.field == "fault_codes[1].code"


def test_filters_of_a_list() -> None:
    query = {"incident": str(UUID(int=1)), "withdrawn": "true", "limit": "5", "cursor": "c"}
    filters = FeedbackFilter(incident_id=UUID(int=1), withdrawn=True)
    assert read_feedback_query(query) == (filters, 5, "c")
    assert read_feedback_query({}) == (FeedbackFilter(), 100, None)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"incident": "7"}, "incident"),
        ({"incident_id": str(UUID(int=1))}, "incident_id"),  # the column's name is not the query's
        ({"verdict": "maybe"}, "verdict"),
        ({"limit": "1e2"}, "limit"),
        ({"start_date": "2026-01-02", "end_date": "2026-01-01"}, "start_date"),
    ],
)
def test_a_wrong_query_names_its_parameter(query: dict[str, str], field: str) -> None:
    with pytest.raises(InputError) as caught:
        read_feedback_query(query)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("query", "period"),
    [
        (PeriodQuery(), (NOW - DEFAULT_PERIOD, NOW)),
        (PeriodQuery(start=NOW - DAY), (NOW - DAY, NOW)),
        (PeriodQuery(start=NOW - DAY, end=NOW + DAY), (NOW - DAY, NOW)),  # the future is not known
        (PeriodQuery(end=NOW - DAY), (NOW - DAY - DEFAULT_PERIOD, NOW - DAY)),
    ],
)
def test_a_period_ends_now_at_the_latest(
    query: PeriodQuery, period: tuple[datetime, datetime]
) -> None:
    assert read_period(query, NOW) == period


@pytest.mark.parametrize(
    "query",
    [PeriodQuery(start=NOW), PeriodQuery(start=NOW + DAY), PeriodQuery(start=NOW, end=NOW - DAY)],
)
def test_an_empty_period_is_refused(query: PeriodQuery) -> None:
    with pytest.raises(InputError) as caught:
        read_period(query, NOW)
    assert caught.value.field == "start_date"


def test_the_first_days_of_the_calendar_are_no_period_but_no_defect_either() -> None:
    first = datetime.min.replace(tzinfo=UTC)
    with pytest.raises(InputError):
        read_period(PeriodQuery(end=first), NOW)
