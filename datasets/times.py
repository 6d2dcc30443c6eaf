"""Read times as people write them: which form a column has, and each of its values as UTC."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from datasets.format import ROW, TIME_UNITS, FileFormat
from datasets.types import Times
from errors import DatasetError, InputError
from schemas import parse_timestamp

#: Where times that only count readings begin, and how far apart they are.
MADE_UP_START: Final = np.datetime64("2000-01-01", "us")
MADE_UP_STEP: Final = np.timedelta64(60, "s")
_HOUR: Final = np.timedelta64(3600, "s")

_ORDERS: Final = (
    "%d %m %Y", "%Y %m %d", "%d %b %Y", "%d %b %y", "%d %m %y", "%b %d %Y", "%m %d %Y", "%m %d %y",
)  # fmt: skip
_DAYS: Final = (
    # between points the day comes first wherever people write it so
    *(order.replace(" ", ".") for order in _ORDERS[:-2]),
    *(order.replace(" ", sign) for sign in "-/ " for order in _ORDERS),
    "%Y%m%d", "%d%b%Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y",
)  # fmt: skip
_HOURS: Final = (
    "%H:%M:%S", "%H:%M", "%H:%M:%S.%f", "%H:%M:%S,%f", "%H.%M.%S", "%H.%M", "%H%M%S", "%H%M", "%H",
    "%I:%M:%S %p", "%I:%M %p", "%I:%M:%S.%f %p", "%I:%M:%S%p", "%I:%M%p", "%H:%M:%S:%f",
)  # fmt: skip
_BETWEEN: Final = (" ", "T", ", ", "_", "-", ":")
_SAMPLE: Final = 40


@dataclass(frozen=True, slots=True)
class Clock:
    """How the times of a file are read.

    Parameters
    ----------
    kind : "iso", "format", a unit of TIME_UNITS, or "row".
    formats : strptime formats, of which all but one may yet prove wrong.
    zone : IANA zone of times without an offset; None: they are UTC.
    """

    kind: str
    formats: tuple[str, ...] = ()
    zone: str | None = None
    notes: list[str] = field(default_factory=list, compare=False)

    def parse(self, column: Any, first: int) -> tuple[Times, bool]:
        """Return a column's times (n,), and whether they are local (without an offset, zone known).

        Raises
        ------
        DatasetError
            Names the row and the value.
        """
        if pa.types.is_date(column.type):
            column = column.cast(pa.timestamp("us"))
        if pa.types.is_timestamp(column.type):
            # to UTC: a naive column is UTC already, one with a zone is stored in UTC
            found = column.cast(pa.timestamp("us", column.type.tz), safe=False)
            return _whole(found, first), column.type.tz is None
        if self.kind in (ROW, *TIME_UNITS):
            return self._counted(column, first), False
        if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
            raise DatasetError(
                f"column 'timestamp' holds {_plain(column)}: --time-unit s, ms, us or ns reads"
                " numbers since 1970, --time-unit row a count of readings",
                field="timestamp",
            )
        if self.kind == "format":
            return _formatted(column, self.formats[0], first)
        return _iso(column, first)

    def _counted(self, column: Any, first: int) -> Times:
        try:
            numbers = pc.utf8_trim_whitespace(column) if _is_text(column) else column
            ticks = numbers.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
            whole = None
            if self.kind == "ns" or self.kind == "us":  # floats hold no ns of today
                whole = numbers.cast(pa.int64()).to_numpy(zero_copy_only=False)
        except pa.ArrowInvalid:
            raise DatasetError(
                f"rows from {first}: a timestamp is no number, but --time-unit says so",
                field="timestamp",
            ) from None
        if np.isnan(ticks).any():
            row = first + int(np.flatnonzero(np.isnan(ticks))[0])
            raise DatasetError(f"row {row}: timestamp is empty", field="timestamp")
        if self.kind == ROW:
            steps = np.round(ticks * MADE_UP_STEP.astype("timedelta64[us]").astype(int))
            made_up: Times = MADE_UP_START + steps.astype("timedelta64[us]")
            return made_up
        if whole is not None:
            micros = whole // (TIME_UNITS[self.kind] // 10**6)
        else:
            micros = np.round(ticks * (10**6 / TIME_UNITS[self.kind])).astype(np.int64)
        late = np.abs(micros) > 250 * 365 * 86400 * 10**6
        if late.any():
            row = int(np.flatnonzero(late)[0])
            raise DatasetError(
                f"row {first + row}: timestamp {ticks[row]:.0f} is no time of these centuries in"
                f" {self.kind}: another --time-unit?",
                field="timestamp",
            )
        times: Times = micros.view("datetime64[us]")
        return times


def clock_of(
    form: FileFormat, parts: Sequence[Sequence[str]], text: bool, everything: Iterable[Any]
) -> Clock:
    """Find out from a sample how a file's times are read.

    Parameters
    ----------
    form : FileFormat
    parts : the first cells of the one or two columns that hold the times
    text : whether they are texts
    everything : all times, array by array; looked at only where day and month are in doubt

    Raises
    ------
    DatasetError
        They can be read in two ways, or in none.
    """
    if form.time_unit is not None:
        notes = []
        if form.time_unit == ROW:
            notes.append("times count readings: they are taken as a minute apart")
        return Clock(form.time_unit, (), None, notes)
    if form.time_format is not None:
        return Clock("format", (form.time_format,), form.time_zone)
    cells = [" ".join(cells).strip() for cells in zip(*parts, strict=True)] if text else []
    cells = [cell for cell in cells if cell]
    cells = cells[:: max(1, len(cells) // _SAMPLE)]
    if not cells or _all_iso(cells):
        return Clock("iso", (), form.time_zone)
    formats = formats_of(cells)
    if not formats:
        return Clock("iso", (), form.time_zone)  # which names the row at fault
    notes = []
    if len({_order(f) for f in formats}) > 1:
        formats = _settle(formats, everything)
        if len({_order(f) for f in formats}) > 1:
            raise DatasetError(
                f"times such as {cells[0]!r} may be read as {' or '.join(formats[:3])}:"
                " --time-format says which",
                field="timestamp",
            )
    notes.append(f"times such as {cells[0]!r} are read as {formats[0]}")
    return Clock("format", tuple(formats[:1]), form.time_zone, notes)


def formats_of(cells: Sequence[str]) -> list[str]:
    """Return the strptime formats that read all of some texts; empty where there is none."""
    first = cells[0]
    if not re.search(r"\d", first) or len(first) > 40:
        return []
    found = [form for form in _DAYS if _reads(form, first)]
    for gap in _BETWEEN:
        for at in (match.start() for match in re.finditer(re.escape(gap), first)):
            days = [form for form in _DAYS if _reads(form, first[:at])]
            hours = [f for f in _HOURS if _reads(f, first[at + len(gap) :].strip())] if days else []
            found += [f"{day}{gap}{hour}" for day in days for hour in hours]
    found = list(dict.fromkeys(found))
    for cell in cells[1:]:
        found = [f for f in found if _reads(f, cell)]
    # "1.2.2024" fits %d.%m.%Y only; two digits of a year fit both ends
    return [f for f in found if not ("%y" in f and any(_order(f) == _order(g) for g in found
                                                       if "%Y" in g))]  # fmt: skip


def is_time(cells: Sequence[str]) -> bool:
    """Return whether texts are dates with or without a time of day, and no plain numbers."""
    if any(re.fullmatch(r"[+-]?[\d.,]+", c) and c.count(".") + c.count(",") < 2 for c in cells):
        return False
    return bool(cells) and (_all_iso(cells) or bool(formats_of(cells)))


def is_time_of_day(cells: Sequence[str]) -> bool:
    """Return whether texts are times without a date, as 18.00.00."""
    return bool(cells) and all(
        re.fullmatch(r"\d{1,2}[:.]\d{2}([:.]\d{2}([.,]\d+)?)?( ?[AaPp][Mm])?", c) for c in cells
    )


def is_date(cells: Sequence[str]) -> bool:
    """Return whether texts are dates without a time of day."""
    return bool(cells) and all(
        re.fullmatch(r"\d{1,4}[./ -](\d{1,2}|[A-Za-z]{3})[./ -]\d{1,4}", c) for c in cells
    )


class LocalTime:
    """Convert local times to UTC, stream by stream, in the order of the readings.

    The hour that comes twice when the clocks go back is distinguished by that order: after a step
    back it is the second one.
    """

    def __init__(self, zone: str) -> None:
        self._zone = zone
        self._last: dict[Any, np.datetime64] = {}
        self._second: dict[Any, np.datetime64] = {}

    def utc(self, key: Any, local: Times) -> Times:
        """Return the times (n,) of readings of one stream that follow those given before."""
        if not len(local):
            return local
        early, late = (self._assumed(local, which) for which in ("earliest", "latest"))
        twice = early != late
        if twice.any():
            before = self._last.get(key, local[0])
            back = np.diff(np.concatenate([[before], local])) < np.timedelta64(0, "us")
            turned = np.flatnonzero(back & twice)
            again = np.zeros(len(local), bool)
            if len(turned):
                again[turned[0] :] = True
            elif key in self._second:
                again = (local - self._second[key]) < 2 * _HOUR
            if again.any():
                self._second.setdefault(key, local[int(np.flatnonzero(again)[0])])
            early = np.where(twice & again, late, early)
        self._last[key] = local[-1]
        return early

    def _assumed(self, local: Times, which: str) -> Times:
        zoned = pc.assume_timezone(
            pa.array(local, pa.timestamp("us")), self._zone, ambiguous=which, nonexistent="latest"
        )
        found: Times = zoned.cast(pa.int64()).to_numpy().view("datetime64[us]")
        return found


def clocks_went_back(times: Times) -> int | None:
    """Return the reading at which a clock without offset was set back by an hour, or None.

    Parameters
    ----------
    times : (n,)
        Of one stream, in the order of the readings.

    Returns
    -------
    int or None
        None unless there is exactly one step back, of an hour less one usual interval, at night
        in a month in which clocks go back.
    """
    steps = np.diff(times)
    back = np.flatnonzero(steps < np.timedelta64(0, "us"))
    if len(back) != 1 or len(times) < 3:
        return None
    at = int(back[0]) + 1
    usual = np.median(steps.astype(np.int64)).astype("timedelta64[us]")
    night = (times[at - 1] - times[at - 1].astype("datetime64[D]")) <= 4 * _HOUR
    month = int(times[at].astype("datetime64[M]").astype(int)) % 12 + 1
    if abs(steps[at - 1] + _HOUR - usual) <= usual and night and month in (3, 4, 9, 10, 11):
        return at
    return None


def joined(date: Any, time: Any) -> Any:
    """Join two columns of text, a date and a time of day."""
    texts = [pc.utf8_trim_whitespace(part.cast(pa.string())) for part in (date, time)]
    return pc.utf8_trim_whitespace(pc.binary_join_element_wise(*texts, " "))


def _is_text(column: Any) -> bool:
    return bool(pa.types.is_string(column.type) or pa.types.is_large_string(column.type))


def _plain(column: Any) -> str:
    shown = next((str(v) for v in column.to_pylist() if v is not None), "nothing")
    return f"{column.type} such as {shown:.40}"


@lru_cache(maxsize=4096)
def _reads(form: str, text: str) -> bool:
    try:
        datetime.strptime(text, form)
        return True
    except ValueError:
        return False


def _all_iso(cells: Sequence[str]) -> bool:
    try:
        for cell in cells:
            parse_timestamp(cell)
    except InputError:
        return False
    return True


def _order(form: str) -> str:
    return "".join(c for c in form.replace("%b", "%m").replace("%B", "%m") if c in "dmYy").lower()


def _settle(formats: Sequence[str], columns: Iterable[Any]) -> list[str]:
    """Choose the reading of day and month that all times bear out without a jump."""
    left = list(formats)
    shown: list[str] = []
    for column in columns:
        cells = {c.strip() for c in pc.unique(column).to_pylist() if c is not None and c.strip()}
        days = {re.split(r"[ T,_]", c)[0]: c for c in cells}  # one of each day says it all
        for cell in days.values():
            left = [f for f in left if _reads(f, cell)] or left
        if len(shown) < 20_000:
            shown += [c for c in column.to_pylist() if c is not None and c.strip()]
        if len({_order(f) for f in left}) == 1:
            return left
    smooth = []
    read = [pd.to_datetime(pd.Series(shown).str.strip(), format=f, errors="coerce") for f in left]
    if all(times.equals(read[0]) for times in read):  # the first of January, however it is read
        return left[:1]
    for form, times in zip(left, read, strict=True):
        steps = times.dropna().diff().dropna().dt.total_seconds().to_numpy()
        usual = np.median(steps[steps > 0]) if (steps > 0).any() else 0.0
        if len(steps) and 0 < usual < 86400 and steps.min() >= 0 and steps.max() <= 10 * usual:
            smooth.append(form)
    return smooth if smooth else left


def _iso(column: Any, first: int) -> tuple[Times, bool]:
    for kind in (pa.timestamp("us"), pa.timestamp("us", "UTC")):
        try:
            return _whole(column.cast(kind), first), kind.tz is None
        except pa.ArrowInvalid:
            continue
    # mixed forms, or a bad one: each by the rule that also holds for messages
    parsed, local = [], True
    for row, text in enumerate(column.to_pylist()):
        try:
            parsed.append(parse_timestamp(text.strip() if text is not None else text))
        except InputError as error:
            if text is None or not text.strip():
                message = f"row {first + row}: timestamp is empty"
                raise DatasetError(message, field="timestamp") from None
            hint = "" if ";" in error.message else "; --time-format says how it is to be read"
            if text.strip().replace(".", "", 1).isdigit():
                hint = ": --time-unit s, ms, us or ns reads numbers since 1970"
            raise DatasetError(
                f"row {first + row}: {error.message}{hint}", field="timestamp"
            ) from None
        local = local and not re.search(r"(Z|z|[+-]\d\d:?\d\d)\s*$", text)
    return _whole(pa.array(parsed, pa.timestamp("us", "UTC")), first), local


def _formatted(column: Any, form: str, first: int) -> tuple[Times, bool]:
    text = pd.Series(pc.utf8_trim_whitespace(column).to_numpy(zero_copy_only=False))
    try:
        found = pd.to_datetime(text, format=form, utc="%z" in form)
    except ValueError:
        found = pd.to_datetime(text, format=form, errors="coerce", utc=True)
        row = int(np.flatnonzero(found.isna())[0])
        raise DatasetError(
            f"row {first + row}: timestamp {text[row]!r:.60} does not follow {form}"
            " (--time-format)",
            field="timestamp",
        ) from None
    if found.isna().any():
        row = int(np.flatnonzero(found.isna())[0])
        raise DatasetError(f"row {first + row}: timestamp is empty", field="timestamp")
    naive = found.dt.tz_localize(None) if found.dt.tz is not None else found
    return naive.to_numpy().astype("datetime64[us]"), "%z" not in form


def _whole(found: Any, first: int) -> Times:
    if found.null_count:
        row = found.is_null().index(True).as_py()
        raise DatasetError(f"row {first + row}: timestamp is empty", field="timestamp")
    times: Times = found.cast(pa.int64()).to_numpy(zero_copy_only=False).view("datetime64[us]")
    return times
