"""Check maintenance windows and machine-off conditions that come in over REST."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from errors import InputError
from models.scoring.suppression import MaintenanceWindow, OffCondition
from schemas import check_name, parse_timestamp

T = TypeVar("T")

#: Of one request or table; more are a sign that each machine got its own instead of a pattern.
MOST_WINDOWS: Final = 1000
MOST_CONDITIONS: Final = 1000
_PATTERNS: Final = ("asset_id", "sensor_id", "group")
_WINDOW: Final = frozenset({"id", "start", "end", "rrule", "time_zone", "reason", "alarms",
                            "training", *_PATTERNS})  # fmt: skip
_CONDITION: Final = frozenset({"feature", "operator", "value", "hold_s", "run_up_s", "group"})


def parse_windows(content: object) -> tuple[MaintenanceWindow, ...]:
    """Check the list ``maintenance_windows``; None is an empty one.

    Raises
    ------
    InputError
        Names the field at fault and its value.
    """
    return _each(content, "maintenance_windows", MOST_WINDOWS, parse_window)


def parse_off_conditions(content: object) -> tuple[OffCondition, ...]:
    """Check the list ``off_conditions``; None is an empty one.

    Raises
    ------
    InputError
        Names the field at fault and its value.
    """
    return _each(content, "off_conditions", MOST_CONDITIONS, parse_off_condition)


def parse_window(content: object) -> MaintenanceWindow:
    """Check one window; ``start``, ``end`` are ISO 8601, UTC without an offset."""
    given = _object(content, _WINDOW)
    return MaintenanceWindow(
        id=_text(given, "id", 255) or "",
        start=parse_timestamp(given.get("start"), "start"),
        end=parse_timestamp(given.get("end"), "end"),
        rrule=_text(given, "rrule", 500),
        time_zone=_text(given, "time_zone", 100) or "UTC",
        asset_id=_text(given, "asset_id", 255),
        sensor_id=_text(given, "sensor_id", 255),
        group=_text(given, "group", 255),
        reason=_text(given, "reason", 500),
        alarms=_flag(given, "alarms"),
        training=_flag(given, "training"),
    )


def parse_off_condition(content: object) -> OffCondition:
    """Check one condition; seconds are 0 where not given."""
    given = _object(content, _CONDITION)
    return OffCondition(
        feature=check_name(given.get("feature"), "feature"),
        operator=str(given.get("operator")),
        value=_number(given, "value", None),
        hold_s=_number(given, "hold_s", 0.0),
        run_up_s=_number(given, "run_up_s", 0.0),
        group=_text(given, "group", 255),
    )


def _each(content: object, name: str, most: int, parse: Callable[[object], T]) -> tuple[T, ...]:
    if content is None:
        return ()
    if not isinstance(content, list) or len(content) > most:
        raise InputError(f"{name}: must be a list of at most {most}", field=name)
    found = []
    for place, one in enumerate(content):
        try:
            found.append(parse(one))
        except InputError as error:
            where = f"{name}[{place}]"
            field = f"{where}.{error.field}" if error.field else where
            raise InputError(f"{where}.{error.message}", code=error.code, field=field) from None
    return tuple(found)


def _object(content: object, known: frozenset[str]) -> Mapping[str, Any]:
    if not isinstance(content, dict):
        raise InputError("must be an object")
    unknown = sorted(map(str, content.keys() - known))
    if unknown:
        raise InputError(
            f"{unknown[0]:.80}: not known; known are {', '.join(sorted(known))}", field=unknown[0]
        )
    return content


def _text(given: Mapping[str, Any], name: str, most: int) -> str | None:
    value = given.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not value or len(value) > most or "\x00" in value:
        raise InputError(
            f"{name}: {value!r:.80} is not text of 1 to {most} characters without NUL", field=name
        )
    return check_name(value, name) if most <= 255 else value


def _number(given: Mapping[str, Any], name: str, usual: float | None) -> float:
    value = given.get(name, usual)
    if type(value) not in (int, float):
        raise InputError(f"{name}: {value!r:.80} is not a number", field=name)
    try:
        return float(value)
    except OverflowError:
        raise InputError(f"{name}: not a finite number", field=name) from None


def _flag(given: Mapping[str, Any], name: str) -> bool:
    value = given.get(name, True)
    if not isinstance(value, bool):
        raise InputError(f"{name}: {value!r:.40} is neither true nor false", field=name)
    return value
