"""Recognise the formats of dates and times of day, as people and programs write them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import Final

from datasets.format import TIME_UNITS
from datasets.times.time_texts import tidy
from errors import InputError
from schemas import parse_timestamp

_ORDERS: Final = (
    "%d %m %Y", "%Y %m %d", "%d %b %Y", "%d %b %y", "%d %m %y", "%b %d %Y", "%m %d %Y", "%m %d %y",
    "%y %m %d",
)  # fmt: skip
_DAYS: Final = (
    # wherever people separate by points, the day comes first
    *(order.replace(" ", ".") for order in _ORDERS[:-3]), "%y.%m.%d",  # or, in Korea, the year
    *(order.replace(" ", sign) for sign in "-/ " for order in _ORDERS),
    "%Y%m%d", "%Y-%j", "%d%b%Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y",
)  # fmt: skip
_HOURS: Final = (
    "%H:%M:%S", "%H:%M", "%H:%M:%S.%f", "%H:%M:%S,%f", "%H.%M.%S", "%H.%M", "%H%M%S", "%H%M", "%H",
    "%I:%M:%S %p", "%I:%M %p", "%I:%M:%S.%f %p", "%I:%M:%S%p", "%I:%M%p", "%H:%M:%S:%f",
    "%I.%M.%S %p", "%I.%M.%S.%f %p", "%I.%M %p", "%Hh%M", "%Hh%M:%S", "%Hh%Mm%Ss",
)  # fmt: skip
_BETWEEN: Final = (" ", "T", ", ", "_", "-", ":")
#: Months alone have no time of day.
_MONTHS: Final = ("%Y-%m", "%Y/%m", "%m/%Y", "%b %Y", "%B %Y", "%b-%Y")
_WHOLE: Final = ("%b %d %H:%M:%S %Y", *_MONTHS)
#: 14 or 12 digits, which no count of seconds or milliseconds since 1970 has in our days.
_COMPACT: Final = re.compile(r"(19|20)\d{10}(\d\d)?")
#: 8 or 10 digits, which may be a count of seconds or a number of anything.
_COMPACT_HOUR: Final = re.compile(r"(19|20)\d{8}")
_COMPACT_DAY: Final = re.compile(r"(19|20)\d{6}(\d\d)?")
#: A weekday before a date, and a zone after a time, as in RFC 2822 and C's ctime.
_WEEKDAY: Final = re.compile(r"([A-Za-z]{3,9})(,? +)(?=\S)")
ZONE: Final = re.compile(r"( ?)(UTC|GMT|Z|[+-]\d\d:?\d\d)$")
#: What follows a date in texts of dates at midnight.
AT_MIDNIGHT: Final = r"[ T]0?0:00(:00(\.0+)?)?(Z|[+-]00:?00)?$"
#: Minutes, seconds and tenths, alone or behind a date.
_MINUTES: Final = re.compile(r"(?:\S*\d[ T])?[0-5]?\d:[0-5]\d[.,]\d")
HOURS_LOST: Final = (
    "minutes and seconds, whose hours a spreadsheet lost (mm:ss.0): export the times again, or"
    " --time-unit row counts the readings instead"
)
_POINTED: Final = r"^(\d{1,2})\.(\d{1,2})\.(\d{2,4})(?=\D|$)"
_PLAIN: Final = re.compile(r"[+-]?\d*[.,]?\d*")
SAMPLE: Final = 40  # cells by which a format is chosen; all others are checked against it
_COUNT: Final = re.compile(r"\d{9,20}([.,]\d+)?")
#: Ten millionths of a second and smaller, which strptime does not read, but pandas does.
_BEYOND_MICROS: Final = re.compile(r"(?<=[.,:]\d{6})\d{1,3}(?!\d)")
#: The beginning of the year 2000, in seconds since 1970, and a year.
_FIRST_S: Final = 946_684_800
_YEAR_S: Final = 365 * 86_400
#: strptime's fields of digits.
_FIELDS: Final = "YymdHIMSfj"

#: A time since the start, as pandas and MATLAB write it.
_DURATION: Final = re.compile(
    r"-?(?:\d+ days?,? [+-]?\d+:\d\d(?::\d\d(?:\.\d+)?)?"
    r"|[\d.,]+ ?(?:ms|s|secs?|seconds?|mins?|minutes?|h|hrs?|hours?|d|days?))"
)


def formats_of(cells: Sequence[str]) -> list[str]:
    """Return the strptime formats that read at least nine tenths of the texts, the best first."""
    cells = [tidy(cell) for cell in cells]
    found = list(dict.fromkeys(form for cell in cells[:3] for form in _formats(cell)))
    read = {form: sum(reads_somehow(form, cell) for cell in cells) for form in found}
    found = [form for form in found if read[form] >= len(cells) - len(cells) // 10]
    if not found and (slashed := [re.sub(_POINTED, r"\1/\2/\3", cell) for cell in cells]) != cells:
        # nobody but some Americans puts the month first, so 01.02.2003 is a 1st of February
        return [form.replace("/", ".") for form in formats_of(slashed) if form[:6] == "%m/%d/"]
    found.sort(key=lambda form: -read[form])
    # a four-digit year rules out formats with a two-digit year in the same order
    return [f for f in found if not ("%y" in f and any(day_order(f) == day_order(g) for g in found
                                                       if "%Y" in g))]  # fmt: skip


def lesser(form: str) -> list[str]:
    """Return shorter formats, which programs write if the fraction or time of day is zero."""
    parts = (r"[.,]%f", r"[:.]%S", r"[ T,_:-]+%[HI].*")
    less = [re.sub(part, "", form) for part in parts]
    if "%f" not in form:  # which no format may have twice
        less.append(form.replace("%S", "%S.%f"))
    return [each for each in less if each != form]


def reads_somehow(form: str, text: str) -> bool:
    """Return whether a format, or a shorter one, reads a text."""
    return any(reads(each, text) for each in (form, *lesser(form)))


def _formats(text: str) -> list[str]:
    """Return the formats of one text: optional weekday, date and time, optional zone."""
    if not re.search(r"\d", text) or len(text) > 60:
        return []
    before = after = ""
    if (day := _WEEKDAY.match(text)) and (
        name := next((form for form in ("%a", "%A") if reads(form, day[1])), None)
    ):
        before, text = name + day[2], text[day.end() :]
    if (zone := ZONE.search(text)) and (found := _dates_and_times(text[: zone.start()])):
        after = zone[1] + ("%z" if zone[2][0] in "+-" else zone[2])
    else:
        found = _dates_and_times(text)
    return [f"{before}{form}{after}" for form in found]


def _dates_and_times(text: str) -> list[str]:
    if _COMPACT.fullmatch(text) or _COMPACT_HOUR.fullmatch(text):
        compact = {14: "%Y%m%d%H%M%S", 12: "%Y%m%d%H%M", 10: "%Y%m%d%H"}[len(text)]
        return [compact] if reads(compact, text) else []
    found = [form for form in (*_DAYS, *_WHOLE) if reads(form, text)]
    for gap in _BETWEEN:
        for at in (match.start() for match in re.finditer(re.escape(gap), text)):
            left, right = text[:at], text[at + len(gap) :].strip()
            days = [form for form in _DAYS if reads(form, left)]
            hours = [form for form in _HOURS if reads(form, right)] if days else []
            found += [f"{day}{gap}{hour}" for day in days for hour in hours]
            if gap == " " and not days:  # the time of day comes first
                hours = [form for form in _HOURS if ":" in form and reads(form, left)]
                days = [form for form in _DAYS if reads(form, right)] if hours else []
                found += [f"{hour}{gap}{day}" for day in days for hour in hours]
    return found


def _mostly(cells: Sequence[str], test: Callable[[str], bool]) -> bool:
    """Return whether at least nine tenths of the texts pass; bad ones are reported when read."""
    return sum(map(test, cells)) >= len(cells) - len(cells) // 10


def is_time(cells: Sequence[str]) -> bool:
    """Return whether texts are dates, with or without a time of day, but not plain numbers."""
    if not _mostly(
        cells, lambda cell: not _PLAIN.fullmatch(cell) or bool(_COMPACT.fullmatch(cell))
    ):
        return False
    return bool(cells) and (all_iso(cells) or bool(formats_of(cells)))


def is_compact(cells: Sequence[str]) -> bool:
    """Return whether texts may be dates, or hours of them, of digits only, such as 20260131."""
    compact = _mostly(cells, lambda cell: _COMPACT_DAY.fullmatch(cell) is not None)
    return bool(cells) and compact and bool(formats_of(cells))


def is_duration(cells: Sequence[str]) -> bool:
    """Return whether times count from a start with a unit: pandas' 0 days 00:01:00, 60 sec."""
    return bool(cells) and all(map(_DURATION.fullmatch, cells))


def is_time_of_day(cells: Sequence[str]) -> bool:
    """Return whether texts are times without a date, such as 18.00.00."""
    form = re.compile(r"\d{1,2}[:.h]\d{2}([:.]\d{2}([.,]\d+)?)?( ?[AaPp][Mm])?")
    return bool(cells) and _mostly(cells, lambda cell: form.fullmatch(tidy(cell)) is not None)


def lost_hours(cells: Sequence[str]) -> bool:
    """Return whether texts are minutes and seconds such as 59:30.0, which spreadsheets save.

    They show times with a fraction of a second as mm:ss.0, and save what they show.
    """
    return bool(cells) and _mostly(cells, lambda cell: bool(_MINUTES.fullmatch(cell.strip())))


def is_date(cells: Sequence[str]) -> bool:
    """Return whether texts are dates without a time of day."""
    found = formats_of(cells[:SAMPLE])
    return bool(found) and not any(re.search("%[HI]", form) for form in found)


def is_month(cells: Sequence[str]) -> bool:
    """Return whether texts are months, such as 2024-03, and no exact times."""
    found = formats_of(cells[:SAMPLE])
    return bool(found) and all(form in _MONTHS for form in found)


def epoch_unit(cells: Sequence[str]) -> str:
    """Return the unit in which numbers count from 1970 to times since 2000, or ``""``.

    Seconds, milliseconds and so on of these years differ in their number of digits.
    """
    last = datetime.now(UTC).timestamp() + _YEAR_S

    def fits(cell: str, ticks: int) -> bool:
        return (
            bool(_COUNT.fullmatch(cell))
            and _FIRST_S <= float(cell.replace(",", ".")) / ticks <= last
        )

    units = (
        unit for unit, ticks in TIME_UNITS.items() if _mostly(cells, partial(fits, ticks=ticks))
    )
    return next(units, "") if cells else ""


def dates_only(cells: Sequence[str]) -> bool:
    """Return whether all texts are dates, or dates at midnight such as 2026-01-31 00:00:00."""
    days = [re.sub(AT_MIDNIGHT, "", cell) for cell in cells]
    return bool(days) and not any(":" in day for day in days) and is_date(days)


def is_midnight(cell: str) -> bool:
    """Return whether a text ends with a time of day, midnight."""
    return re.search(AT_MIDNIGHT, cell) is not None


@lru_cache(maxsize=4096)
def reads(form: str, text: str) -> bool:
    """Return whether a strptime format reads a text; 0010 is no %H%M%S."""
    if "%f" in form:
        text = _BEYOND_MICROS.sub("", text)
    digits = fixed_digits(form)
    if digits is not None and not re.fullmatch(digits, text):
        return False
    try:
        datetime.strptime(text, form)
        return True
    except ValueError:
        return False


@lru_cache(maxsize=256)
def fixed_digits(form: str) -> str | None:
    """Return a regular expression of the digits that a strptime format needs, such as %H%M four.

    strptime itself reads fields without a sign between them with one digit each, so 0010 as one
    minute past midnight. None if the format has no such fields.
    """
    if not re.search(rf"%[{_FIELDS}]%[{_FIELDS}]|%j", form):
        return None
    out = []
    for number, part in enumerate(re.split(rf"((?:%[{_FIELDS}]){{2,}})", form)):
        if number % 2:
            widths = {"Y": r"\d{4}", "j": r"\d{3}", "f": r"\d{1,6}"}
            out += [widths.get(field, r"\d\d") for field in part[1::2]]
        else:
            part = re.sub("(?:%[^j])+", ".*", re.escape(part))
            out.append(part.replace("%j", r"\d{3}"))
    return "(?s:" + "".join(out) + ")"


def all_iso(cells: Sequence[str]) -> bool:
    """Return whether at least nine tenths of the texts are ISO 8601."""
    return _mostly(cells, _is_iso)


def _is_iso(cell: str) -> bool:
    try:
        parse_timestamp(tidy(cell))
        return True
    except InputError:
        return False


def day_order(form: str) -> str:
    """Return a format's order of day, month and year, such as dmy."""
    return "".join(c for c in form.replace("%b", "%m").replace("%B", "%m") if c in "dmYy").lower()
