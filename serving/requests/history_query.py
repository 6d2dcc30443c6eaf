"""Check the query of the history, ``GET /``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from errors import InputError
from schemas import CRITICALITIES, check_name
from serving.requests.query import choice, flag, number, refuse_unknown, time

MOST_ROWS = 5000
#: Beyond this many rows only a cursor is quick; larger numbers do not fit PostgreSQL's bigint.
MOST_OFFSET = 2**53


@dataclass(frozen=True, slots=True)
class Query:
    """Filters and page of the history; ``is_anomaly`` None means both."""

    asset_id: str | None = None
    sensor_id: str | None = None
    start_date: datetime | None = None
    end_date: datetime | None = None
    is_anomaly: bool | None = True
    criticality: str | None = None
    limit: int = 100
    offset: int = 0
    cursor: str | None = None

    def filters(self) -> dict[str, Any]:
        """Return the filters as the answer repeats them."""
        shown = asdict(self)
        for name in ("limit", "offset", "cursor"):
            del shown[name]
        return shown


def parse_query(given: dict[str, str]) -> Query:
    """Check the query's parameters.

    Raises
    ------
    InputError
        An unknown parameter, or a value out of range; names it. A misspelt filter would
        otherwise answer with everything.
    """
    refuse_unknown(given, _PARSERS)
    query = Query(**{name: _PARSERS[name](value, name) for name, value in given.items()})
    if query.cursor is not None and "offset" in given:
        raise InputError("offset: not together with cursor", field="offset")
    if query.start_date and query.end_date and query.start_date > query.end_date:
        raise InputError("start_date: lies after end_date", field="start_date")
    return query


def _flag(value: str, field: str) -> bool | None:
    if value.lower() == "any":
        return None
    try:
        return flag(value, field)
    except InputError:
        raise InputError(
            f"{field}: {value!r:.40} is none of true, false, any", field=field
        ) from None


def _cursor(value: str, field: str) -> str:
    if not value or len(value) > 512:
        raise InputError(f"{field}: is not a cursor of this service", field=field)
    return value


_PARSERS: dict[str, Callable[[str, str], Any]] = {
    "asset_id": check_name,
    "sensor_id": check_name,
    "start_date": time,
    "end_date": time,
    "is_anomaly": _flag,
    "criticality": choice(CRITICALITIES),
    "limit": number(1, MOST_ROWS),
    "offset": number(0, MOST_OFFSET),
    "cursor": _cursor,
}
