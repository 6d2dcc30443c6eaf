"""Maintenance windows, machine-off conditions and resets, as they come in over REST."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Annotated, Any, Final, Literal, TypeVar

from msgspec import UNSET, Meta, Struct, UnsetType

from errors import InputError
from models.scoring.suppression import OPERATORS, MaintenanceWindow, OffCondition
from serving.requests.wire import Instant, Name, Pattern, SignedBody, Who, given, placed

S = TypeVar("S")
T = TypeVar("T")

#: Of one request or table; more are a sign that each machine got its own instead of a pattern.
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
    """What is to change about a window; all else stays."""

    start: Instant | UnsetType = UNSET
    end: Instant | UnsetType = UNSET
    who: Who | None = None


class NewWindow(_Window, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A span of time, perhaps recurring, in which alarms of some streams are none."""

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
    """The whole table of conditions; each needs a group."""

    off_conditions: Conditions


class StreamReset(SignedBody, frozen=True, kw_only=True):
    """An asset's streams start again."""

    sensor_id: Annotated[Name | None, Meta(description="absent: all of the asset")] = None
    reason: Name | None = None


class WindowsQuery(Struct, frozen=True):
    """Which windows are listed."""

    ended: bool = False


def window(values: Mapping[str, Any]) -> MaintenanceWindow:
    """Make a window of its fields; null means the usual."""
    return MaintenanceWindow(**{"id": "", **{k: v for k, v in values.items() if v is not None}})


def windows(bodies: Iterable[StreamWindow]) -> tuple[MaintenanceWindow, ...]:
    """Check windows; the error names the one at fault, its field and value."""
    return _each("maintenance_windows", bodies, lambda body: window(given(body)))


def off_conditions(bodies: Iterable[Condition]) -> tuple[OffCondition, ...]:
    """Check conditions; the error names the one at fault, its field and value."""
    return _each("off_conditions", bodies, lambda body: OffCondition(**given(body)))


def off_condition_row(body: Condition) -> dict[str, Any]:
    """Return a condition as a row of its table.

    Raises
    ------
    InputError
        Names the field at fault and its value.
    """
    one = OffCondition(**given(body))
    if one.group is None:
        raise InputError("group: is missing; whose machine is off?", field="group")
    return asdict(one)


def off_condition_rows(bodies: Iterable[Condition]) -> list[dict[str, Any]]:
    """Return the rows of the whole table; the error names the one at fault, its field and value."""
    rows = list(_each("off_conditions", bodies, off_condition_row))
    names = ("group", "feature", "operator", "value")
    if len({tuple(row[name] for name in names) for row in rows}) < len(rows):
        raise InputError("off_conditions: one occurs twice", field="off_conditions")
    return rows


def _each(name: str, bodies: Iterable[S], make: Callable[[S], T]) -> tuple[T, ...]:
    found = []
    for place, body in enumerate(bodies):
        try:
            found.append(make(body))
        except InputError as error:
            raise placed(error, f"{name}[{place}]") from None
    return tuple(found)


assert Operator.__args__ == tuple(OPERATORS)  # type: ignore[attr-defined] # noqa: S101
