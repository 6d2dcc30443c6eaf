"""The query of the history, ``GET /``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from errors import InputError
from schemas import Criticality
from serving.requests.wire import AssetId, Instant, Name, check_span, read_parameters


class HistoryQuery(Struct, frozen=True):
    """Filters and page of the history; a date is of ``timestamp``, inclusive."""

    asset_id: AssetId | None = None
    sensor_id: Name | None = None
    start_date: Instant | None = None
    end_date: Instant | None = None
    is_anomaly: bool | Literal["any"] = True
    criticality: Criticality | None = None
    limit: Annotated[int, Meta(ge=1, le=5000)] = 100
    # beyond so many rows only a cursor is quick; larger numbers do not fit PostgreSQL's bigint
    offset: Annotated[int, Meta(ge=0, le=2**53)] = 0
    cursor: Annotated[str, Meta(min_length=1, max_length=512)] | None = None

    @property
    def anomalous(self) -> bool | None:
        """Which detections; None means both."""
        return None if self.is_anomaly == "any" else self.is_anomaly

    def filters(self) -> dict[str, Any]:
        """Return the filters as the answer repeats them."""
        shown = {**msgspec.structs.asdict(self), "is_anomaly": self.anomalous}
        for name in ("limit", "offset", "cursor"):
            del shown[name]
        return shown


def parse_query(given: dict[str, str]) -> HistoryQuery:
    """Check the query's parameters.

    Raises
    ------
    InputError
        Names the parameter that is unknown, or whose value cannot be used.
    """
    if "is_anomaly" in given:
        given = {**given, "is_anomaly": given["is_anomaly"].lower()}
    query = read_parameters(HistoryQuery, given)
    if query.cursor is not None and "offset" in given:
        raise InputError("offset: not together with cursor", field="offset")
    check_span(query.start_date, query.end_date)
    return query
