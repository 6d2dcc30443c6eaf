"""Say what to do where no column of a file, or no single one, holds the times of its readings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from datasets.format import quoted
from datasets.sampled_columns import Columns, Roles, plain_name
from datasets.times.epochs import EPOCHS, likely_epoch
from datasets.times.time_formats import (
    HOURS_LOST,
    epoch_unit,
    is_duration,
    is_midnight,
    is_time,
    is_time_of_day,
)
from datasets.times.time_of_day import TIME_NAMES, may_be_time
from datasets.values.numbers import is_number
from errors import DatasetError


def refuse_without_times(columns: Columns, chosen: Sequence[int]) -> NoReturn:
    """Refuse a file in which several columns, ``chosen``, may hold the times, or none does."""
    if chosen:
        names = ", ".join(repr(columns.names[p]) for p in chosen[:5])
        raise DatasetError(
            f"column 'timestamp' is missing, and each of {names} may be it: --columns"
            f" timestamp=COLUMN chooses one for all columns{_each(columns, chosen)}",
            field="timestamp",
        )
    has = ", ".join(filter(None, columns.names))[:300]
    if counts := _counts(columns):
        name, cell = columns.names[counts[0]], columns.filled(counts[0])[-1]
        if unit := likely_epoch(columns.filled(counts[0])):
            raise DatasetError(
                f"column 'timestamp' is missing; {name!r} holds numbers such as {cell},"
                f" {EPOCHS[unit].what}? --columns timestamp={quoted(name)} --time-unit {unit}"
                " reads them",
                field="timestamp",
            )
        each = ""
        if len(counts) > 1:
            each = " (--time-unit s alone, if each such column is the time of the columns after it)"
        raise DatasetError(
            f"column 'timestamp' is missing; it has {has}. {name!r} holds numbers such as"
            f" {cell}: --columns timestamp={quoted(name)} --time-unit s reads them as seconds (ms,"
            f" us, ns) since 1970 or since the start{each}, --time-unit row counts the readings"
            " instead",
            field="timestamp",
        )
    for p in columns.like(TIME_NAMES):
        cells = columns.filled(p)
        if is_time_of_day(cells):
            raise DatasetError(
                f"column {columns.names[p]!r} holds times of day such as {cells[0]!r}, and no"
                f" column holds their date: --columns timestamp=Date+{columns.names[p]} joins it"
                " from another column, --time-unit row counts the readings instead",
                field="timestamp",
            )
        if is_duration(cells):
            raise DatasetError(
                f"column {columns.names[p]!r} holds times since a start such as {cells[0]!r}:"
                " --time-unit s reads seconds, written as numbers, --time-unit row counts the"
                " readings instead",
                field="timestamp",
            )
        if cells and not any(map(is_number, cells)):
            raise DatasetError(
                f"column {columns.names[p]!r} holds {cells[0]!r:.60}, which is not read as a time:"
                f" --columns timestamp={quoted(columns.names[p])} --time-format FORMAT, such as"
                " %d/%m/%Y %H:%M, reads it",
                field="timestamp",
            )
    for p, name in enumerate(columns.names):
        cells = columns.filled(p)
        if (unit := epoch_unit(cells)) and len(set(cells)) > 1 and _never_falls(cells):
            raise DatasetError(
                f"column 'timestamp' is missing; {name!r} holds numbers such as {cells[0]}, which"
                f" may count from 1970 ({unit}): --columns timestamp={quoted(name)} reads them as"
                " times",
                field="timestamp",
            )
    if 2 * sum(is_time([name]) for name in columns.names) > len(columns.names):
        raise DatasetError(
            f"the names of the columns are times ({has[:60]} ...), and each row is a sensor:"
            " transpose the table, so that each row is a time and each column a sensor",
            field="timestamp",
        )
    raise DatasetError(
        f"column 'timestamp' is missing; it has {has}: --columns timestamp=COLUMN (or Date+Time)"
        " names it, --time-unit row counts the readings instead",
        field="timestamp",
    )


def _each(columns: Columns, times: Sequence[int]) -> str:
    """Say how each of several columns of times is read as that of the columns after it."""
    names = [columns.names[p] for p in times]
    if len(set(names)) < len(names):
        return (
            "; each is read as the time of the columns after it if no others stand before the first"
            " (--exclude leaves columns out) and all have numbers"
        )
    shown = quoted("+".join(names[:5]) + ("+..." if len(names) > 5 else ""))
    return f", --columns timestamp={shown} reads each as the time of the columns after it"


def _counts(columns: Columns) -> list[int]:
    """Return the columns of numbers that never fall and are named like times, the best first."""
    found = []
    for p, name in enumerate(columns.names):
        cells = columns.filled(p)
        named = may_be_time(name) or plain_name(name) in TIME_NAMES
        if not named or len(set(cells)) < 2:
            continue
        if _never_falls(cells):
            found.append(p)
    return sorted(found, key=lambda p: plain_name(columns.names[p]) not in TIME_NAMES)


def _never_falls(cells: Sequence[str]) -> bool:
    try:
        numbers = [_number(cell) for cell in cells]
    except ValueError:
        return False
    return numbers == sorted(numbers)


def _number(cell: str) -> float:
    """Return a number with a decimal point or comma."""
    return float(cell.replace(",", "."))


def no_time_of_day(columns: Columns, day: int, hours: Sequence[int]) -> DatasetError:
    """Return the error for a column of dates beside columns that may hold the time of day.

    Parameters
    ----------
    columns
        The file's columns.
    day
        The column of dates.
    hours
        The columns that may hold the time of day; none if nothing tells.
    """
    name = columns.names[day]
    near = [columns.names[p] for p in hours][:3]
    if not near and len(same := set(columns.filled(day))) == 1 and is_midnight(cell := same.pop()):
        return DatasetError(
            f"column {name!r} holds the same time, {cell}, in row after row, so it tells neither"
            " order nor intervals: --time-unit row counts the readings instead, --columns"
            f" timestamp={name}+COLUMN joins a time of day",
            field="timestamp",
        )
    where = "many readings of a stream share one"
    if near:
        where = f"the time of day may be in {' or '.join(map(repr, near))}"
    return DatasetError(
        f"column {name!r} holds dates only, and {where}: --columns"
        f" timestamp={name}+{near[0] if near else 'COLUMN'} joins the time of day, --columns"
        f" timestamp={name} takes the dates alone",
        field="timestamp",
    )


def shared_days(columns: Columns, roles: Roles) -> DatasetError:
    """Return the error for columns of year, month and day that many readings share."""
    day = "+".join(columns.names[p] for p in roles.times)
    return DatasetError(
        f"columns {day} hold dates only, and many readings of a stream share one: --columns"
        f" timestamp={day}+COLUMN joins the hour (then minute and second), --columns"
        f" timestamp={day} takes the dates alone",
        field="timestamp",
    )


def hours_lost(columns: Columns, index: int) -> DatasetError:
    """Return the error for a column of times of day without hours."""
    return DatasetError(
        f"column {columns.names[index]!r} holds {columns.filled(index)[0]!r}, {HOURS_LOST}",
        field="timestamp",
    )
