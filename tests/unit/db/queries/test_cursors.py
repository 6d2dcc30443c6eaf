"""A cursor names a position of one query; everything else is refused by one error."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import orjson
import pytest

from db.queries.cursors import decode_cursor, encode_cursor
from db.queries.history import HistoryFilter
from db.queries.incidents import IncidentFilter
from errors import InputError

AT = datetime(2026, 1, 1, 12, 30, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
ID = UUID(int=7)


@pytest.mark.parametrize("filters", [HistoryFilter(asset_id="A"), IncidentFilter(states=("open",))])
def test_a_cursor_comes_back_to_the_microsecond(filters: HistoryFilter | IncidentFilter) -> None:
    assert decode_cursor(encode_cursor(AT, ID, filters), filters) == (AT.astimezone(UTC), str(ID))


def test_a_cursor_of_other_filters_is_refused() -> None:
    cursor = encode_cursor(AT, ID, HistoryFilter(asset_id="A"))
    with pytest.raises(InputError, match="other filters") as caught:
        decode_cursor(cursor, HistoryFilter(asset_id="B"))
    assert caught.value.code == "bad_cursor"


def crafted(*parts: object) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(parts)).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    [
        "", "x", "\u00e4", "=" * 9, "bnVsbA", "WzEsMl0", crafted("2026-01-01", str(ID), ""),
        crafted("2026-01-01T00:00:00", str(ID), ""), crafted("2026-01-01T00:00:00Z", "7", ""),
        crafted("2026-01-01T00:00:00+23:59:59", str(ID), ""),
    ],
)  # fmt: skip
def test_what_is_no_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(InputError, match="not a next_cursor") as caught:
        decode_cursor(cursor, HistoryFilter())
    assert (caught.value.code, caught.value.field) == ("bad_cursor", "cursor")
