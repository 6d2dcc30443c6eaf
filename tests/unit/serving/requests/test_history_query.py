"""The query of the history: filters by the contract's names, and as the answer repeats them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from db.queries.history import HistoryFilter
from errors import InputError
from serving.requests.history_query import parse_query

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("given", "wanted"), [("true", True), ("False", False), ("ANY", None), (None, True)]
)
def test_one_parameter_says_which_detections(given: str | None, wanted: bool | None) -> None:
    query = parse_query({} if given is None else {"is_anomaly": given})
    assert query.filters() == HistoryFilter(is_anomaly=wanted)


def test_filters_are_repeated_under_the_contracts_names() -> None:
    query = parse_query({"asset_id": "A", "start_date": "2026-01-01T00:00:00Z", "limit": "3"})
    assert query.filters() == HistoryFilter(asset_id="A", start=START)
    assert query.shown() == {
        "asset_id": "A", "sensor_id": None, "start_date": START, "end_date": None,
        "is_anomaly": True, "criticality": None,
    }  # fmt: skip
    assert (query.limit, query.offset, query.cursor) == (3, 0, None)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"is_anomaly": "maybe"}, "is_anomaly"),
        ({"limit": "0"}, "limit"),
        ({"limit": "5001"}, "limit"),
        ({"offset": "-1"}, "offset"),
        ({"offset": str(2**64)}, "offset"),
        ({"cursor": "c", "offset": "0"}, "offset"),
        ({"cursor": ""}, "cursor"),
        ({"start": "2026-01-01"}, "start"),
        ({"start_date": "2026-01-02", "end_date": "2026-01-01"}, "start_date"),
        ({"criticality": "grave"}, "criticality"),
    ],
)
def test_a_wrong_parameter_is_named(given: dict[str, str], field: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_query(given)
    assert caught.value.field == field


def test_a_wrong_choice_names_all_choices() -> None:
    with pytest.raises(InputError, match=r"^is_anomaly: 'maybe' is none of true, false, any$"):
        parse_query({"is_anomaly": "maybe"})


def test_a_plus_that_a_query_lost_is_still_an_offset() -> None:
    query = parse_query({"start_date": "2026-01-01T02:00:00 02:00"})
    assert query.start == START
