"""Define the bodies of maintenance windows, machine-off conditions and resets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Annotated, Any, Final, Literal, TypeVar

from msgspec import UNSET, Meta, Struct, UnsetType

from errors import InputError
from models.scoring.maintenance.maintenance_window import MaintenanceWindow
from models.scoring.maintenance.suppression import OPERATORS, OffCondition
from serving.requests.wire import (
    Instant,
    Name,
    Pattern,
    SignedBody,
    Who,
    check_unique,
    present_fields,
    with_position,
)

S = TypeVar("S")
T = TypeVar("T")

#: Maximum per request or table. A plant with more should use patterns, not one window per machine.
MAX_PLANS: Final = 1000
Operator = Literal["<", "<=", ">", ">=", "==", "!="]
Reason = Annotated[str, Meta(min_length=1, max_length=500, examples=["weekly cleaning"])]
Rule = Annotated[
    str, Meta(min_length=1, max_length=500, examples=["FREQ=WEEKLY;BYDAY=SA"],
              description="RFC 5545, at most HOURLY, COUNT at most 10,000")
]  # fmt: skip
Zone = Annotated[
    str, Meta(min_length=1, max_length=100, description="IANA name", examples=["Europe/Berlin"])
]
Seconds = Annotated[float, Meta(ge=0, le=366 * 86_400, examples=[60.0])]


class _Window(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    rrule: Rule | UnsetType | None = UNSET
    time_zone: Zone | UnsetType | None = UNSET
    asset_id: Pattern | UnsetType | None = UNSET
    sensor_id: Pattern | UnsetType | None = UNSET
    group: Pattern | UnsetType | None = UNSET
    reason: Reason | UnsetType | None = UNSET
    alarms: bool | UnsetType = UNSET
    training: bool | UnsetType = UNSET


class WindowChange(_Window, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """The fields of a window to change; the others stay."""

    start: Instant | UnsetType = UNSET
    end: Instant | UnsetType = UNSET
    who: Who | None = None


class NewWindow(_Window, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A time span, perhaps recurring, in which alarms of some streams are muted."""

    start: Instant
    end: Instant
    who: Who | None = None


class StreamWindow(_Window, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A window as the bridge sends it."""

    id: Annotated[str, Meta(max_length=255)] | None = None
    start: Instant
    end: Instant


class Condition(Struct, frozen=True, forbid_unknown_fields=True):
    """While ``feature operator value`` holds, the machine is off; times in seconds."""

    feature: Name
    operator: Operator
    value: float
    hold_s: Seconds = 0.0
    run_up_s: Seconds = 0.0
    group: Name | None = None


Windows = Annotated[list[StreamWindow], Meta(max_length=MAX_PLANS)]
Conditions = Annotated[list[Condition], Meta(max_length=MAX_PLANS)]


class OffConditions(SignedBody, frozen=True, kw_only=True):
    """All conditions; each needs a group."""

    off_conditions: Conditions


class StreamReset(SignedBody, frozen=True, kw_only=True):
    """A restart of an asset's streams."""

    sensor_id: Annotated[Name | None, Meta(description="absent: all of the asset")] = None
    reason: Name | None = None


class WindowsQuery(Struct, frozen=True):
    """Which windows to list."""

    ended: bool = False


def window(values: Mapping[str, Any]) -> MaintenanceWindow:
    """Make a window from its fields; null means the default."""
    return MaintenanceWindow(**{"id": "", **{k: v for k, v in values.items() if v is not None}})


def windows(bodies: Iterable[StreamWindow]) -> tuple[MaintenanceWindow, ...]:
    """Validate windows; an error names the window, the field and its value."""
    return _each("maintenance_windows", bodies, lambda body: window(present_fields(body)))


def off_conditions(bodies: Iterable[Condition]) -> tuple[OffCondition, ...]:
    """Validate conditions; an error names the condition, the field and its value."""
    return _each("off_conditions", bodies, lambda body: OffCondition(**present_fields(body)))


def off_condition_row(body: Condition) -> dict[str, Any]:
    """Return a condition as a row of its table.

    Raises
    ------
    InputError
        Names the invalid field and its value.
    """
    one = OffCondition(**present_fields(body))
    if one.group is None:
        raise InputError("group: is missing; name the group of machines", field="group")
    return asdict(one)


def off_condition_rows(bodies: Iterable[Condition]) -> list[dict[str, Any]]:
    """Return the rows of all conditions; an error names the condition, the field and its value."""
    rows = list(_each("off_conditions", bodies, off_condition_row))
    names = ("group", "feature", "operator", "value")
    check_unique([tuple(row[name] for name in names) for row in rows], "off_conditions")
    return rows


def _each(name: str, bodies: Iterable[S], make: Callable[[S], T]) -> tuple[T, ...]:
    found = []
    for index, body in enumerate(bodies):
        try:
            found.append(make(body))
        except InputError as error:
            raise with_position(error, f"{name}[{index}]") from None
    return tuple(found)


assert Operator.__args__ == tuple(OPERATORS)  # type: ignore[attr-defined] # noqa: S101
