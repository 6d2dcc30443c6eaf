"""Responses of maintenance windows, off conditions and resets."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct

from serving.requests.suppression_bodies import Operator, Reason, Rule, Zone
from serving.requests.wire import AssetId, Instant, Name, Pattern

Person = Annotated[str, Meta(examples=["ANNA"])]


class Window(Struct, kw_only=True):
    """A maintenance window."""

    id: UUID
    start: Instant
    end: Instant
    rrule: Rule | None = None
    time_zone: Zone
    asset_id: Pattern | None = None
    sensor_id: Pattern | None = None
    group: Pattern | None = None
    reason: Reason | None = None
    alarms: bool
    training: bool
    version: Annotated[int, Meta(examples=[1])]
    created_at: Instant
    created_by: Person
    changed_at: Instant | None
    changed_by: Person | None


class Windows(Struct):
    """The windows, newest first."""

    maintenance_windows: list[Window]


class Occurrence(Struct):
    """A time span in which a window applies."""

    start: Instant
    end: Instant


class Occurrences(Struct):
    """The next occurrences of a window, at most ten."""

    occurrences: list[Occurrence]


class Deleted(Struct):
    """The deleted object."""

    id: UUID
    deleted: bool


class StoredCondition(Struct):
    """While ``feature operator value`` holds, the machines of a group are off."""

    group: Annotated[str, Meta(examples=["default"])]
    feature: Annotated[str, Meta(examples=["current"])]
    operator: Operator
    value: float
    hold_s: float
    run_up_s: float


class ConditionTable(Struct):
    """All off conditions."""

    off_conditions: list[StoredCondition]


class Reset(Struct):
    """A requested reset."""

    id: Annotated[int, Meta(examples=[1])]
    asset_id: AssetId
    sensor_id: Name | None
    reason: Annotated[str | None, Meta(examples=["new bearing"])]
    requested_at: Instant
    requested_by: Person
