"""Find the columns that hold the times of a file's readings: one, or a date and a time of day."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from datasets.format import ROW, FileFormat
from datasets.sampled_columns import Columns, Roles, plain_name, rows_of
from datasets.times.calendar_columns import (
    DATE_AND_PARTS,
    DATE_PARTS,
    MOST,
    YEAR_AND_DAY,
    calendar_columns,
    clock_columns,
    is_day_of_year,
    year_and_day,
)
from datasets.times.chosen_unit import check_gps
from datasets.times.completed_times import kind_behind
from datasets.times.epochs import EPOCHS
from datasets.times.time_formats import (
    dates_only,
    epoch_unit,
    is_compact,
    is_date,
    is_month,
    is_time,
    lost_hours,
)
from datasets.times.time_of_day import (
    TIME_NAMES,
    kinds_of,
    many_share,
    may_be_time,
    says_time,
    written,
)
from datasets.times.unfound_times import (
    hours_lost,
    no_time_of_day,
    refuse_without_times,
    shared_days,
)
from datasets.values.numbers import is_number
from errors import DatasetError

#: Names of columns of months.
_MONTH_NAMES: Final = frozenset(
    ("month", "yearmonth", "monat", "jahrmonat", "mois", "mes", "mese", "period", "periode")
)


def find_times(columns: Columns, form: FileFormat, roles: Roles) -> None:
    """Find the columns of times.

    Parameters
    ----------
    columns, form
        The file's columns, and the caller's format options.
    roles
        The roles found so far; receives the columns of times.

    Raises
    ------
    DatasetError
        There is none, or it is ambiguous; the message names the option that helps.
    """
    given = form.role("timestamp")
    if given is not None:
        _take_named_times(columns, given, roles)
        return
    free = [p for p in range(len(columns.names)) if p not in (roles.asset, roles.sensor)]
    free = [p for p in free if p not in roles.excluded]
    if "timestamp" in columns.names and columns.names.index("timestamp") not in roles.excluded:
        roles.times = (columns.index("timestamp"),)
        _join_time_of_day(columns, roles, free)
        return
    timed = [p for p in free if p in columns.timed or holds_times(columns, p)]
    timed = timed or [p for p in free if counts_from_1970(columns, p)]
    named = [p for p in columns.like(TIME_NAMES) if p in free]
    dates = [p for p in free if p in {*timed, *named} and is_date(columns.filled(p))]
    hours = _written_hours(columns, [p for p in free if p not in dates])
    plain = [p for p in dates if p in named]
    if hours and len(plain) == 1:  # Date and Time; a Calibration date is that of something else
        timed = [p for p in timed if p not in dates or p in plain]
        dates = plain
    chosen = [p for p in named if p in timed and p not in dates]
    if len(dates) == 1 and len(hours) == 1 and set(timed) <= {*dates, *hours}:
        chosen = [dates[0], hours[0]]
    elif not chosen and form.time_unit is not None and form.time_unit != ROW:
        chosen = named or [p for p in free if counts_from_1970(columns, p)]
    elif not chosen:
        chosen = timed
    if len(timed) > 1 and form.time_unit is None:
        days = [p for p in timed if dates_only(columns.filled(p))]
        exact = [p for p in timed if p not in days]
        if len(exact) == 1 and all(_repeated(columns, roles, p) for p in days):
            chosen = exact  # the others are the days of its times
    if hours and len(dates) == 1 and chosen in ([], dates):
        raise no_time_of_day(columns, dates[0], hours)
    if len(dates) == 1 and chosen == [*dates, *hours] and len(hours) == 1:
        _read_as_one(columns, roles, *chosen)
    elif len(chosen) == 1 or (
        not chosen and len(dates) == 1 and _repeated(columns, roles, dates[0])
    ):
        roles.times = (*(chosen or dates),)
        if not _join_time_of_day(columns, roles, free):
            roles.notes.append(f"column {columns.names[roles.times[0]]!r} is read as timestamp")
    elif form.time_unit != ROW:
        whole: tuple[int, ...] = ()
        if not chosen and form.time_unit is None:
            whole = calendar_columns(columns, free)
            if not whole and (whole := year_and_day(columns, free)):
                roles.time_kinds = [YEAR_AND_DAY]
        if not whole:
            if "timestamp" in columns.names and not chosen:
                raise DatasetError(
                    "--exclude leaves out column 'timestamp', and no other holds times: --time-unit"
                    " row counts the readings instead",
                    field="exclude",
                )
            refuse_without_times(columns, chosen)
        _read_as_one(columns, roles, *whole)


def _take_named_times(columns: Columns, given: str, roles: Roles) -> None:
    """Take the columns that the caller names: one, or several joined by ``+``."""
    parts = [given] if given in columns.names else given.split("+")
    roles.times = tuple(columns.index(part.strip(), "columns timestamp") for part in parts)
    if len(roles.times) > MOST:
        raise DatasetError(
            "--columns timestamp: joins a date and a time of day, or Year+Month+Day+Hour+"
            "Minute+Second+Millisecond", field="columns",
        )  # fmt: skip
    if len(roles.times) > 1 and (kind := kind_behind(columns, roles.times)):
        roles.time_kinds = [kind]
    elif len(roles.times) > 1 and is_day_of_year(columns, roles.times[1]):
        roles.time_kinds = [YEAR_AND_DAY]
    elif len(roles.times) > 2 and dates_only(columns.filled(roles.times[0])):
        roles.time_kinds = [DATE_AND_PARTS]
    elif len(roles.times) == 2:
        day, time = roles.times
        roles.time_kinds = kinds_of(
            columns.names[time], columns.cells[time], _rows(columns, roles.keys()),
            columns.cells[day], known=True,
        )  # fmt: skip


def count_rows(columns: Columns, form: FileFormat, roles: Roles) -> None:
    """Leave out columns of times that hold no numbers, if the caller wants readings to be counted.

    Parameters
    ----------
    columns, form
        The file's columns, and the caller's format options.
    roles
        The roles found so far; may lose the columns of times.
    """
    texts = [
        p for p in roles.times
        if p not in columns.timed
        and 2 * sum(map(is_number, columns.filled(p))) < len(columns.filled(p))
    ]  # fmt: skip
    if not texts or form.time_unit != ROW:
        return
    roles.times, roles.time_kinds = (), []
    roles.excluded.update(texts)
    names = ", ".join(repr(columns.names[p]) for p in texts)
    roles.notes = [note for note in roles.notes if not note.endswith("read as timestamp")]
    roles.notes.append(f"{names}: left out, since the rows are counted instead")


def leave_out_times(
    columns: Columns, form: FileFormat, roles: Roles, wished: Sequence[int]
) -> None:
    """Leave out columns called as times whose numbers go on, if readings are to be counted.

    As a feature such a column would tell how long a run lasts. Those in ``wished`` are kept.

    Parameters
    ----------
    columns, form
        The file's columns, and the caller's format options.
    roles
        The roles found so far; the columns become excluded ones.
    wished
        The features that the caller names.
    """
    if form.time_unit != ROW or roles.times:
        return
    other = {*wished, *roles.excluded, *roles.keys()}
    for p, name in enumerate(columns.names):
        bare = plain_name(re.sub(r"[(\[].*", "", name))
        if p not in other and bare in TIME_NAMES and _goes_on(columns.filled(p)):
            roles.excluded.add(p)
            roles.notes.append(f"{name!r}: left out, since the rows are counted instead")


def _goes_on(cells: Sequence[str]) -> bool:
    """Return whether numbers rise, but for a few falls where they begin again.

    A duration that is measured, such as a cycle's time, falls as often as it rises.
    """
    try:
        numbers = [float(cell.replace(",", ".")) for cell in cells]
    except ValueError:
        return False
    falls = sum(b < a for a, b in pairwise(numbers))
    rises = sum(b > a for a, b in pairwise(numbers))
    return rises > 0 and 8 * falls <= rises


def holds_times(columns: Columns, index: int) -> bool:
    """Return whether a column holds times; digits such as 20260131 only if its name says so."""
    cells = columns.filled(index)[:40]
    name = plain_name(columns.names[index])
    dated = name in TIME_NAMES or any(word in name for word in ("date", "datum", "yyyymmdd"))
    if is_month(cells):  # or a code such as 2001-05
        return dated or name in _MONTH_NAMES
    return is_time(cells) or (dated and is_compact(cells))


def counts_from_1970(columns: Columns, index: int) -> bool:
    """Return whether a column counts from 1970, by its name and numbers."""
    name = plain_name(columns.names[index])
    named = name in TIME_NAMES or may_be_time(name) or name.startswith(("ts", "epoch", "unix"))
    return named and bool(epoch_unit(columns.filled(index)[:40]))


def _read_as_one(columns: Columns, roles: Roles, *parts: int) -> None:
    roles.times = parts
    *first, last = (repr(columns.names[p]) for p in parts)
    roles.notes.append(f"columns {', '.join(first)} and {last} are read as timestamp")


def _written_hours(columns: Columns, free: Sequence[int]) -> list[int]:
    """Return the columns that hold times of day as texts; those whose name says so, if any do."""
    found = [p for p in free if written(columns.names[p], columns.filled(p))]
    return [p for p in found if says_time(columns.names[p])] or found


def _join_time_of_day(columns: Columns, roles: Roles, free: Sequence[int]) -> bool:
    """Join the one column of times of day to a column of dates that many readings share."""
    day = roles.times[0]
    if not dates_only(columns.filled(day)) or not _repeated(columns, roles, day):
        return False
    free = [p for p in free if p != day]
    parts = clock_columns(columns, free)
    if len(parts) > 1:
        roles.time_kinds = [DATE_AND_PARTS]
        _read_as_one(columns, roles, day, *parts)
        return True
    hours = _written_hours(columns, free)
    if not hours:
        streams = _rows(columns, roles.keys())
        kinds = {
            p: kinds_of(
                columns.names[p], columns.cells[p], streams, columns.cells[day], known=False
            )
            for p in free
        }
        hours = [p for p in free if kinds[p]]
        if len(hours) == 1:
            roles.time_kinds = kinds[hours[0]]
    if len(hours) == 1:
        _read_as_one(columns, roles, day, hours[0])
    return len(hours) == 1


def _repeated(columns: Columns, roles: Roles, *times: int) -> bool:
    """Return whether many sampled readings of a stream have the same cells in some columns."""
    keys = _rows(columns, [*roles.keys(), *times])
    return many_share(zip(keys, zip(*columns.cells, strict=True), strict=True))


def _rows(columns: Columns, which: Sequence[int]) -> list[tuple[str, ...]]:
    """Return the sampled cells of some columns by row."""
    return rows_of(dict(enumerate(columns.cells)), which)


def check_dates(columns: Columns, form: FileFormat, roles: Roles) -> None:
    """Refuse dates without a time of day that many readings share, unless the caller chose them.

    Parameters
    ----------
    columns, form
        The file's columns, and the caller's format options.
    roles
        The roles found; receives ``dates_only`` and notes.
    """
    whole = len(roles.times) > 1 or form.time_unit in EPOCHS
    if whole and _repeated(columns, roles, *roles.times):
        days = DATE_PARTS.get(roles.time_kind)
        if len(roles.times) == days and form.role("timestamp") is None:
            raise shared_days(columns, roles)
        names = ", ".join(repr(columns.names[p]) for p in roles.times)
        roles.notes.append(f"columns {names} do not tell all readings of a stream apart: is a part"
                           " of the time of day in another column?")  # fmt: skip
    if len(roles.times) != 1 or form.time_unit is not None:
        return
    day = roles.times[0]
    check_gps(columns.names[day], columns.filled(day))
    if not dates_only(columns.filled(day)):
        return
    roles.dates_only = form.role("timestamp") is None
    if _repeated(columns, roles, day):
        if roles.dates_only:
            raise dates_shared(columns, roles)
        roles.notes.append(f"column {columns.names[day]!r} holds dates only: readings of a day"
                           " have the same time")  # fmt: skip


def dates_shared(columns: Columns, roles: Roles) -> DatasetError:
    """Return the error for a column of dates that many readings share."""
    day = roles.times[0]
    others = [p for p, name in enumerate(columns.names) if p != day and may_be_time(name)]
    for p in others:
        if lost_hours(columns.filled(p)):
            return hours_lost(columns, p)
    if len(others) > 1 and all(_repeated(columns, roles, day, p) for p in others):
        names = " and ".join(repr(columns.names[p]) for p in others[:4])
        return DatasetError(
            f"column {columns.names[day]!r} holds dates only, and the time of day is in {names}"
            f" together: --columns timestamp={'+'.join(columns.names[p] for p in (day, *others))}"
            " joins hour, minute and second, in this order",
            field="timestamp",
        )
    return no_time_of_day(columns, day, others)
