"""Read times: recognise the format of a column, and convert its values to UTC."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from datasets.format import ROW, TIME_UNITS, FileFormat
from datasets.times.chosen_unit import check_unit
from datasets.times.day_or_month import settled_formats
from datasets.times.epochs import EPOCHS, how_to_read
from datasets.times.rounded_times import refuse_rounded
from datasets.times.time_formats import (
    HOURS_LOST,
    SAMPLE,
    ZONE,
    all_iso,
    day_order,
    epoch_unit,
    fixed_digits,
    formats_of,
    is_time_of_day,
    lesser,
    lost_hours,
    reads_somehow,
)
from datasets.times.time_texts import MIDNIGHT, are_intervals, tidied, tidy
from datasets.types import Flags, Times
from errors import DatasetError, InputError, UnclearTimes
from schemas import AMBIGUOUS_DATE, parse_timestamp

#: Start and step of the artificial times of readings that are only counted.
MADE_UP_START: Final = np.datetime64("2000-01-01", "us")
MADE_UP_STEP: Final = np.timedelta64(60, "s")
#: Largest count of microseconds before or after 1970 that is taken for a time: 250 years.
_MAX_COUNTED_US: Final = 250 * 365 * 86400 * 10**6

#: Seconds and so on since 1970 with a decimal comma.
_COMMA_COUNT: Final = r"^(\d{9,20}),(\d+)$"
#: Numbers with a decimal comma, and those whose comma does not separate thousands.
_COMMA: Final = r"^([+-]?\d+),(\d+)$"
_SURELY_DECIMAL: Final = re.compile(r"[+-]?(\d+,(\d{1,2}|\d{4,})|0+,\d+|\d{4,},\d+)")
#: A time of day of digits only, behind a date.
_COMPACT_END: Final = re.compile(r"(?<=[ T,_])%H%M(%S)?$")
#: Day and month in each other's place.
_SWAPPED: Final = str.maketrans("dm", "md")
_ONE_WAY: Final = (
    "write all times in one way (a spreadsheet program rewrites only those that it understands)"
)
#: What ends an ISO 8601 time that is not local.
_OFFSET: Final = re.compile(r"(Z|z|[+-]\d\d(:?\d\d)?)\s*$")
_NUMBER: Final = re.compile(r"[+-]?\d+\.?\d*([eE][+-]?\d+)?")
#: The times that Python knows, less a day for time zones.
_FIRST: Final = np.datetime64("0001-01-01", "us")
_LAST: Final = np.datetime64("9999-12-31T23:59:59.999999", "us")


@dataclass(frozen=True, slots=True)
class Clock:
    """How to read the times of a file.

    Parameters
    ----------
    kind : "iso", "format", a unit of TIME_UNITS or EPOCHS, or "row".
    formats : strptime formats; the first is used.
    zone : IANA zone of times without an offset; None: UTC.
    commas : whether counted times have decimal commas.
    some_follow : whether some of the first times are read; one that is not is written otherwise.
    """

    kind: str
    formats: tuple[str, ...] = ()
    zone: str | None = None
    commas: bool = False
    some_follow: bool = False
    notes: list[str] = field(default_factory=list, compare=False)

    def parse(self, column: Any, first: int) -> tuple[Times, Flags]:
        """Return a column's times (n,), and which of them (n,) are local times without an offset.

        Raises
        ------
        DatasetError
            Names the row and the value.
        """
        if pa.types.is_date(column.type):
            column = column.cast(pa.timestamp("us"))
        if pa.types.is_timestamp(column.type):
            # a column with a zone is stored in UTC, so both kinds can be cast
            found = _in_micros(column, first)
            return _whole(found, first), np.full(len(column), column.type.tz is None)
        if self.kind in (ROW, *TIME_UNITS, *EPOCHS):
            in_zone = self.kind in EPOCHS and EPOCHS[self.kind].local
            return self._counted(column, first), np.full(len(column), in_zone)
        if not _is_text(column):
            raise DatasetError(
                f"column 'timestamp' holds {_plain(column)}: {how_to_read([_shown(column)])}",
                field="timestamp",
            )
        column = tidied(column)
        late = pc.fill_null(pc.match_substring_regex(column, MIDNIGHT), False)
        if pc.any(late).as_py():
            column = pc.replace_substring_regex(column, MIDNIGHT, r"\100\2")
        read = partial(_formatted, form=self.formats[0]) if self.kind == "format" else _iso
        times, local = read(column, first=first, some_follow=self.some_follow)
        return times + late.to_numpy(zero_copy_only=False) * np.timedelta64(1, "D"), local

    def _counted(self, column: Any, first: int) -> Times:
        try:
            numbers = column
            if _is_text(column):
                numbers = pc.utf8_trim_whitespace(column)
                refuse_rounded(numbers, first)
                comma = _COMMA if self.commas else _COMMA_COUNT
                numbers = pc.replace_substring_regex(numbers, comma, r"\1.\2")
            ticks = numbers.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        except pa.ArrowInvalid:
            shown = _shown(column)
            hint = " (a decimal comma? --decimal , reads it)" if re.fullmatch(_COMMA, shown) else ""
            raise DatasetError(
                f"row {first}: timestamp {shown!r} is not a number, as --time-unit needs{hint}",
                field="timestamp",
            ) from None
        whole = None
        try:
            if self.kind in (
                "ns",
                "us",
                "filetime",
                "ticks",
            ):  # a float is not exact for present-day ns
                whole = numbers.cast(pa.int64()).to_numpy(zero_copy_only=False)
        except pa.ArrowInvalid:
            pass  # written as a float, such as 1.7e18, so no more exact than a float
        _refuse_empty(np.isnan(ticks), first)
        row_us = float(MADE_UP_STEP.astype("timedelta64[us]").astype(int))
        epoch = EPOCHS.get(self.kind)
        per_tick = epoch.tick_us if epoch else row_us
        if self.kind in TIME_UNITS:
            per_tick = 10**6 / TIME_UNITS[self.kind]
        begin = epoch.begin_us if epoch else 0
        with np.errstate(over="ignore"):  # 1e308 is infinite then, and too late as well
            late = ~(np.abs(ticks * per_tick + begin) <= _MAX_COUNTED_US)
        if late.any():
            row = int(np.flatnonzero(late)[0])
            what = "count of readings" if self.kind == ROW else f"time in {self.kind}"
            shown = f"{column[row].as_py()!s:.40}"
            raise DatasetError(
                f"row {first + row}: timestamp {shown} is no plausible {what}: try another"
                f" --time-unit ({how_to_read([shown])})",
                field="timestamp",
            )
        if self.kind == ROW:
            steps = np.round(ticks * row_us)
            made_up: Times = MADE_UP_START + steps.astype("timedelta64[us]")
            return made_up
        if epoch:
            micros = epoch.micros(ticks if whole is None else whole)
        elif whole is not None:
            micros = whole // (TIME_UNITS[self.kind] // 10**6)
        else:
            micros = np.round(ticks * per_tick).astype(np.int64)
        times: Times = micros.view("datetime64[us]")
        return times


def clock_of(
    form: FileFormat, parts: Sequence[Sequence[str]], text: bool, everything: Iterable[Any]
) -> Clock:
    """Recognise from a sample how to read a file's times.

    Parameters
    ----------
    form : FileFormat
    parts : first cells of the one or two columns with the times
    text : whether the cells are texts
    everything : all times, array by array; used only if day and month are ambiguous

    Raises
    ------
    DatasetError
        The times are ambiguous.
    """
    if form.time_unit is not None:
        notes = []
        if form.time_unit == ROW:
            notes.append("times count readings: they are taken as a minute apart")
        else:
            notes += check_unit(form.time_unit, [c for c in chain(*parts) if c][:SAMPLE])
        commas = form.decimal == "," or any(_SURELY_DECIMAL.fullmatch(c) for c in chain(*parts))
        zone = form.time_zone if form.time_unit in EPOCHS else None
        return Clock(form.time_unit, (), zone, commas, notes=notes)
    if form.time_format is not None:
        follow = any(
            reads_somehow(form.time_format, tidy(cell)) for cell in _joined(parts)[:SAMPLE]
        )
        return Clock("format", (form.time_format,), form.time_zone, some_follow=follow)
    cells = _joined(parts) if text else []
    cells = [cell for cell in cells if cell][:: max(1, len(cells) // SAMPLE)]
    notes = []
    if are_intervals(cells):
        notes.append(f"of intervals such as {cells[0]!r} the start is taken")
    cells = [re.sub(MIDNIGHT, r"\g<1>00\2", tidy(cell)) for cell in cells]
    if len(parts) == 1 and (unit := epoch_unit(cells)):
        notes.append(f"times such as {cells[0]} are read as {unit} since 1970 (--time-unit)")
        return Clock(unit, (), None, notes=notes)
    some_iso = any(all_iso([cell]) for cell in cells)
    iso = Clock("iso", (), form.time_zone, some_follow=some_iso, notes=notes)
    if not cells or all_iso(cells):
        return iso
    formats = formats_of(cells)
    if not formats:
        return iso  # its errors name the unreadable row
    if len({day_order(f) for f in formats}) > 1:
        formats = settled_formats(formats, everything)
        if len({day_order(f) for f in formats}) > 1:
            raise UnclearTimes(
                f"times such as {cells[0]!r} may be read as {' or '.join(formats[:3])}:"
                " --time-format chooses one",
                formats=formats[:3],
            )
    zone = form.time_zone or "UTC (--time-zone names another)"
    shown = next(cell for cell in cells if reads_somehow(formats[0], cell))
    notes.append(f"times such as {shown!r} are read as {formats[0]} in {zone}")
    return Clock("format", tuple(formats[:1]), form.time_zone, some_follow=True, notes=notes)


def _joined(parts: Sequence[Sequence[str]]) -> list[str]:
    return [" ".join(cells).strip() for cells in zip(*parts, strict=True)]


def _is_text(column: Any) -> bool:
    return bool(pa.types.is_string(column.type) or pa.types.is_large_string(column.type))


def _plain(column: Any) -> str:
    return f"{column.type} such as {_shown(column):.40}"


def _shown(column: Any) -> str:
    return next((str(v) for v in column.to_pylist() if v is not None), "nothing")


def _iso(column: Any, first: int, some_follow: bool) -> tuple[Times, Flags]:
    for kind in (pa.timestamp("us"), pa.timestamp("us", "UTC")):
        try:
            return _whole(column.cast(kind), first), np.full(len(column), kind.tz is None)
        except pa.ArrowInvalid:
            continue
    # mixed or invalid formats: parse each cell by the rule for Kafka messages
    parsed, local = [], []
    for row, text in enumerate(column.to_pylist(), first):
        try:
            parsed.append(parse_timestamp(text.strip() if text is not None else text))
        except InputError as error:
            problem = _why_no_time(text, error, some_follow)
            raise DatasetError(f"row {row}: {problem}", field="timestamp") from None
        local.append(not _OFFSET.search(text))
    return _whole(pa.array(parsed, pa.timestamp("us", "UTC")), first), np.array(local, bool)


def _why_no_time(text: str | None, error: InputError, some_follow: bool) -> str:
    """Return why a cell is not read as a time, with the option that helps."""
    if text is None or not text.strip():
        return "timestamp is empty"
    figure = text.strip().replace(",", ".")
    if _NUMBER.fullmatch(figure):
        hint = f": {how_to_read([figure])}"
    elif lost_hours([text]):
        return f"timestamp {text.strip()!r} is {HOURS_LOST}"
    elif is_time_of_day([text]):
        hint = (
            "; it has no date: --columns timestamp=Date+Time joins it from another column,"
            " --time-unit row counts the readings instead"
        )
    elif some_follow and formats_of([text]):
        hint = f", as others are: {_ONE_WAY}"
    else:
        hint = "; --time-format gives its format, such as %d/%m/%Y %H:%M"
    return error.message.removesuffix(AMBIGUOUS_DATE) + hint


def _formatted(column: Any, form: str, first: int, some_follow: bool) -> tuple[Times, Flags]:
    import pandas as pd

    known = pc.fill_null(pc.utf8_trim_whitespace(column), "")
    text = pd.Series(known.to_numpy(zero_copy_only=False))
    found = pd.Series(np.full(len(text), "NaT", "datetime64[us]"))
    local = np.zeros(len(text), bool)
    if compact := _COMPACT_END.search(form):  # 930 is 0930, not 93:0
        width = 2 * compact[0].count("%")
        short = rf"(?<=[ T,_])\d{{1,{width - 1}}}$"
        text = text.str.replace(short, lambda digits: digits[0].zfill(width), regex=True)
    for each in (form, *lesser(form)):
        left = found.isna() & (text != "")
        if not left.any():
            break
        digits = fixed_digits(each)
        if digits is not None:
            left &= text.str.fullmatch(digits)
        more = pd.to_datetime(text[left], format=each, errors="coerce", utc=True)
        found[left] = more.dt.tz_localize(None).astype("datetime64[us]")
        local[left] = not ZONE.search(each.replace("%z", "Z"))
    if found.isna().any():
        row = int(np.flatnonzero(found.isna())[0])
        problem = "is empty"
        if text[row]:
            other = _other_way(text[row], form) if some_follow else ""
            problem = f"{text[row]!r:.60} does not follow {form} (--time-format){other}"
        raise DatasetError(f"row {first + row}: timestamp {problem}", field="timestamp")
    return found.to_numpy(), local


def _other_way(text: str, form: str) -> str:
    """Say how a text is written that does not follow a format, as other texts do."""
    swapped = form.translate(_SWAPPED)
    if swapped != form and reads_somehow(swapped, text):
        return f", but {swapped}: day and month change places within the file: {_ONE_WAY}"
    found = ["ISO 8601"] if all_iso([text]) else formats_of([text])
    return f", but {found[0]}: {_ONE_WAY}" if found else ""


def _refuse_empty(empty: Any, first: int) -> None:
    if empty.any():
        row = first + int(np.flatnonzero(empty)[0])
        raise DatasetError(f"row {row}: timestamp is empty", field="timestamp")


def _in_micros(column: Any, first: int) -> Any:
    """Cast a column of timestamps to microseconds; fractions of them are cut off."""
    kind = pa.timestamp("us", column.type.tz)
    try:
        return column.cast(kind, safe=column.type.unit != "ns")
    except pa.ArrowInvalid:
        raise DatasetError(
            f"row {first}: timestamp is no time of our era", field="timestamp"
        ) from None


def _whole(found: Any, first: int) -> Times:
    _refuse_empty(found.is_null().to_numpy(zero_copy_only=False), first)
    times: Times = found.cast(pa.int64()).to_numpy(zero_copy_only=False).view("datetime64[us]")
    beyond = ~((times >= _FIRST) & (times <= _LAST))  # so is NaT, the least of all integers
    if beyond.any():
        row = int(np.flatnonzero(beyond)[0])
        when = "" if np.isnat(times[row]) else f"{times[row]} "
        raise DatasetError(
            f"row {first + row}: timestamp {when}is not between the years 1 and 9999",
            field="timestamp",
        )
    return times
