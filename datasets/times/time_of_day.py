"""Find the column with the time of day beside a column of dates, and join the two.

A time of day is written as text (18:00, 18.00.00, 6 PM) or as a number: hours, minutes or seconds
of the day, or digits such as 1830 and 183000. What a number means is decided by the column's name,
by its leading zeros and by the range of all of its numbers.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from datasets.sampled_columns import plain_name
from datasets.times.calendar_columns import DATE_AND_PARTS, YEAR_AND_DAY, calendar_times
from datasets.times.time_formats import AT_MIDNIGHT, is_time_of_day
from datasets.types import Floats
from datasets.values.numbers import missing
from errors import DatasetError

#: What the last of several columns of times holds: words such as PM or CET, or milliseconds.
WORDS: Final = "words behind the time"
MILLISECONDS: Final = "milliseconds behind the time"
#: Names of columns of times, in lower case without punctuation.
TIME_NAMES: Final = frozenset(
    ("timestamp", "datetime", "dateandtime", "datetimeutc", "timestamputc", "time", "date", "ts",
     "zeit", "zeitstempel", "datum", "datumzeit", "datumuhrzeit", "uhrzeit", "horodatage", "fecha",
     "fechahora", "epoch", "unixtime")
)  # fmt: skip
_DAY_S: Final = 86_400
_ZONE: Final = "(local|utc|gmt)?"
#: Names, in lower case without punctuation, of columns that hold the time of day.
_TIME: Final = re.compile(
    f"{_ZONE}(clock)?(time|zeit|uhrzeit|uhr|clock|tijd|tid|czas|saat|tod|hhmm(ss)?)(of(the)?day)?"
    f"(hhmm(ss)?|hms?)?{_ZONE}"
)
_HOUR: Final = re.compile(
    f"{_ZONE}(hours?|hrs?|hh?|stunden?|std|heures?|horas?|or[ae]|uur)(of(the)?day|ending|h)?{_ZONE}"
)
_MINUTE: Final = re.compile("(minutes?|mins?)(of(the)?day)?")
_SECOND: Final = re.compile("(seconds?|secs?|sekunden?|secondes?)(of(the)?day)?")
_NUMBER: Final = re.compile(r"\d+([.,]\d+)?")
#: At most one reading in so many may share its time with another.
_SHARED: Final = 10
_FEW: Final = 3  # readings that may do so in any file, however small
#: Largest share of the numbers that may be no time of day, as mistyped ones are not.
_ODD: Final = 0.01


def _digits(x: Floats) -> Floats:
    """Return seconds of the day of 1830 and the like; NaN if hour or minute is too large."""
    hours, minutes = np.divmod(x, 100)
    fits = (x == np.round(x)) & ((hours < 24) | (x == 2400)) & (minutes < 60)
    return np.where(fits, hours * 3600 + minutes * 60, np.nan)


def _six_digits(x: Floats) -> Floats:
    rest, seconds = np.divmod(x, 100)
    return np.where(seconds < 60, _digits(rest) + seconds, np.nan)


def _pointed(x: Floats) -> Floats:
    """Return seconds of the day of 18.30, written as a number."""
    return _digits(np.round(x * 100, 6))


def _days(x: Floats) -> Floats:
    return np.where(x <= 1, np.round(x * _DAY_S), np.nan)


def _hours(x: Floats) -> Floats:
    return np.where(x <= 24, np.round(x * 3600), np.nan)


def _minutes(x: Floats) -> Floats:
    return np.where(x <= 1440, x * 60, np.nan)


def _seconds(x: Floats) -> Floats:
    return np.where(x <= _DAY_S, x, np.nan)


#: What a number may mean -> how it becomes seconds of the day.
KINDS: Final[dict[str, Callable[[Floats], Floats]]] = {
    "fractions of the day": _days, "hours": _hours, "HH.MM": _pointed, "HHMM": _digits,
    "HHMMSS": _six_digits, "minutes of the day": _minutes, "seconds of the day": _seconds,
}  # fmt: skip
_BY_NAME: Final = (
    (_HOUR, ("hours", "HHMM", "HHMMSS", "HH.MM")),
    (_TIME, tuple(KINDS)),
    (_MINUTE, ("minutes of the day",)),
    (_SECOND, ("seconds of the day",)),
)


def says_time(name: str) -> bool:
    """Return whether a column's name says that it holds the time of day, such as Uhrzeit."""
    return _TIME.fullmatch(plain_name(name)) is not None


def may_be_time(name: str) -> bool:
    """Return whether a column's name has to do with the time of day."""
    word = plain_name(name)
    return any(known.fullmatch(word) for known, _ in _BY_NAME) or any(
        part in word for part in ("time", "hour", "minute", "uhrzeit")
    )


def many_share(pairs: Iterable[tuple[Hashable, Hashable]]) -> bool:
    """Return whether many different rows have the same key, such as asset and date.

    Parameters
    ----------
    pairs : key and row of each reading. Only hashes are kept, so a whole file may be streamed.
    """
    keys: set[int] = set()
    distinct: set[int] = set()
    for key, row in pairs:
        keys.add(hash(key))
        distinct.add(hash((key, row)))
    return len(distinct) - len(keys) > max(_FEW, len(distinct) / _SHARED)


def written(name: str, cells: Sequence[str]) -> bool:
    """Return whether texts are times of day: a number such as 7.39 only where the name says so."""
    if not is_time_of_day(cells):
        return False
    if not any(_NUMBER.fullmatch(cell) for cell in cells):
        return True
    values = _numbers(cells)
    return says_time(name) and values is not None and not np.isnan(_pointed(values)).any()


def kinds_of(
    name: str, cells: Sequence[str], streams: Sequence[Any], dates: Sequence[str], known: bool
) -> list[str]:
    """Return what the numbers of a column may mean as times of day, the most likely first.

    Parameters
    ----------
    name : the column's name.
    cells : (n,) its first cells.
    streams : (n,) the stream of each.
    dates : (n,) the date of each, as text.
    known : whether the caller says that this is the time of day; else its name must say so, and
        the readings of a day must have different times in order.

    Returns
    -------
    list of str
        Keys of KINDS; empty if the column holds no such numbers.
    """
    word = plain_name(name)
    kinds = next((kinds for names, kinds in _BY_NAME if names.fullmatch(word)), ())
    filled = [i for i, cell in enumerate(cells) if not missing(cell)]
    values = _numbers([cells[i] for i in filled])
    if values is None or not (kinds or known):
        return []
    if not known and not _runs_on([(streams[i], dates[i]) for i in filled], values):
        return []
    found = [kind for kind in kinds or KINDS if _fits(kind, values)]
    widths = {len(cells[i]) for i in filled}
    if widths in ({4}, {6}) and any(cells[i][0] == "0" for i in filled):  # padded by zeros
        found = [kind for kind in found if len(kind) in widths and kind[0] == "H"] or found
    return found[:1] if _HOUR.fullmatch(word) else found


def _fits(kind: str, values: Floats) -> bool:
    fractions = np.round(values % 1, 6)
    if kind == "hours" and (0 < fractions.max() < 0.6 or (fractions.any() and values.max() <= 1)):
        return False  # 5.30 may be half past five, and 0.25 a quarter of the day
    if kind == "fractions of the day" and not fractions.any():
        return False
    return bool(np.isnan(KINDS[kind](values)).mean() <= _ODD)


def _runs_on(days: Sequence[Any], values: Floats) -> bool:
    """Return whether the numbers of each day (n,) are different, and rise or fall in order."""
    rows: dict[Any, list[float]] = {}
    for day, value in zip(days, values.tolist(), strict=True):
        rows.setdefault(day, []).append(value)
    steps = np.concatenate([np.diff(found) for found in rows.values()])
    shared = len(values) - len(set(zip(days, values.tolist(), strict=True)))
    wrong = min((steps < 0).sum(), (steps > 0).sum())
    return bool(shared <= len(values) / _SHARED and wrong <= len(values) / 50)


def chosen_kind(name: str, kinds: Sequence[str], pairs: Iterable[tuple[Any, Any]]) -> str:
    """Choose what the numbers of a column mean, by all of its rows.

    Parameters
    ----------
    name : the column's name.
    kinds : what they may mean, the most likely first.
    pairs : date and time of day of all rows, array by array.

    Raises
    ------
    DatasetError
        All readings are of one day, and the numbers may mean two things.
    """
    counts: Counter[str] = Counter()
    days: set[Any] = set()
    for date, time in pairs:
        found = pc.value_counts(_texts(time))
        for text, n in zip(*(part.to_pylist() for part in found.flatten()), strict=True):
            counts[text or ""] += n
        days.update(pc.unique(date).to_pylist())
    texts = [text for text in counts if _NUMBER.fullmatch(text)]
    values = _numbers(texts)
    if values is None:
        return kinds[0]
    rows = np.array([counts[text] for text in texts])
    seconds = {kind: KINDS[kind](values) for kind in kinds}
    odd = {kind: rows[np.isnan(at)].sum() / rows.sum() for kind, at in seconds.items()}
    left = [kind for kind in kinds if odd[kind] <= max(_ODD, min(odd.values()))]
    other = [kind for kind in left if not np.array_equal(seconds[kind], seconds[left[0]])]
    if other and len(days) == 1:
        raise DatasetError(
            f"column {name!r} holds numbers such as {max(texts, key=len)!r}, which may be"
            f" {' or '.join([left[0], *other])}: write times of day as HH:MM",
            field="timestamp",
        )
    return left[0]


def joined(parts: Sequence[Any], kind: str = "") -> Any:
    """Join a column of dates and one of times of day, or the parts of a calendar, into texts.

    Parameters
    ----------
    parts : date and time of day, or year, month, day and so on, pyarrow arrays (n,)
    kind : what the numbers of the time of day mean, a key of KINDS, or of DATE_PARTS; WORDS or
        MILLISECONDS; empty for texts.
    """
    if kind in (WORDS, MILLISECONDS):
        *before, last = parts
        times = joined(before) if len(before) > 1 else _texts(before[0])
        last = _texts(last)
        if kind == MILLISECONDS:
            last = pc.utf8_lpad(pc.replace_substring_regex(last, r"\.0+$", ""), 3, "0")
        whole = pc.binary_join_element_wise(times, last, " " if kind == WORDS else ".")
        return pc.if_else(pc.equal(times, ""), "", pc.utf8_trim_whitespace(whole))
    if len(parts) > 2 or kind in (YEAR_AND_DAY, DATE_AND_PARTS):
        return calendar_times(parts, kind)
    date, time = (_texts(part) for part in parts)
    date = pc.replace_substring_regex(date, AT_MIDNIGHT, "")
    if kind:
        time = _clock_times(time, KINDS[kind])
    text = pc.binary_join_element_wise(date, time, " ")
    empty = pc.or_(pc.equal(date, ""), pc.equal(time, ""))
    return pc.if_else(pc.fill_null(empty, True), None, text)  # no time of day is not midnight


def _texts(column: Any) -> Any:
    return pc.utf8_trim_whitespace(column.cast(pa.string()))


def _clock_times(column: Any, seconds_of: Callable[[Floats], Floats]) -> Any:
    """Return numbers (n,) as texts such as 18:30:00; what is no time of day stays as it is."""
    encoded = column.dictionary_encode()
    texts = []
    for text in encoded.dictionary.to_pylist():
        values = _numbers([text])
        seconds = np.nan if values is None else float(seconds_of(values)[0])
        if np.isnan(seconds):
            texts.append(text)
            continue
        whole, micros = divmod(round(seconds * 10**6), 10**6)
        fraction = f".{micros:06d}" if micros else ""
        texts.append(f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}{fraction}")
    return pa.array(texts, pa.string()).take(encoded.indices)


def _numbers(cells: Sequence[str]) -> Floats | None:
    """Return texts as numbers (n,); None if there are none, or one is not a plain number."""
    if not cells or not all(_NUMBER.fullmatch(cell) for cell in cells):
        return None
    return np.array([float(cell.replace(",", ".")) for cell in cells])
