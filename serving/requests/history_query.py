"""Define the query of the history, ``GET /``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from db.queries.history import HistoryFilter
from errors import InputError
from schemas import Criticality
from serving.requests.wire import AssetId, Name, SpanQuery, present_fields, read_parameters


class HistoryQuery(SpanQuery, frozen=True):
    """Filters and page of the history; dates apply to ``timestamp``, inclusive."""

    asset_id: AssetId | None = None
    sensor_id: Name | None = None
    is_anomaly: bool | Literal["any"] = True
    criticality: Criticality | None = None
    limit: Annotated[int, Meta(ge=1, le=5000)] = 100
    # the limit fits PostgreSQL's bigint; for large offsets a cursor is much faster
    offset: Annotated[int, Meta(ge=0, le=2**53)] = 0
    cursor: Annotated[str, Meta(min_length=1, max_length=512)] | None = None

    @property
    def anomalous(self) -> bool | None:
        """Return the wanted value of ``is_anomaly``; None means both."""
        return None if self.is_anomaly == "any" else self.is_anomaly

    def filters(self) -> HistoryFilter:
        """Return the filters for the database query."""
        wanted = present_fields(self, "limit", "offset", "cursor")
        return HistoryFilter(**{**wanted, "is_anomaly": self.anomalous})

    def shown(self) -> dict[str, Any]:
        """Return the filters that the response repeats."""
        filters = self.filters()
        names = zip(self.__struct_fields__, self.__struct_encode_fields__, strict=True)
        return {name: getattr(filters, field) for field, name in names if hasattr(filters, field)}


def parse_query(parameters: dict[str, str]) -> HistoryQuery:
    """Parse the query's parameters.

    Raises
    ------
    InputError
        Names the parameter that is unknown or has an invalid value.
    """
    if "is_anomaly" in parameters:
        parameters = {**parameters, "is_anomaly": parameters["is_anomaly"].lower()}
    query = read_parameters(HistoryQuery, parameters)
    if query.cursor is not None and "offset" in parameters:
        raise InputError("offset: cannot be combined with cursor", field="offset")
    query.check()
    return query
