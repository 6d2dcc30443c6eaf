"""Find the channels of a table in which each has times of its own: Time, Temp, Time, Flow.

Trend exports write the channels side by side, so the cells of a row are of several times. Other
tables have several columns of times too: the start and the end of something, or the stages of a
process. So only names decide: the columns of times have one name, or each has a name in common with
the value after it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Final

from datasets.columns.long_tables import names_values
from datasets.columns.roles import names_assets
from datasets.format import ROW, FileFormat, names_in
from datasets.sampled_columns import Columns, plain_name
from datasets.times.time_columns import counts_from_1970, holds_times
from datasets.times.time_formats import dates_only, is_time, is_time_of_day
from datasets.times.time_of_day import written
from datasets.values.numbers import is_number, missing
from datasets.values.units import unit_of
from errors import DatasetError

_TIME: Final = (
    r"date[ _/-]?(?:and[ _])?time|time[ _-]?stamp|time|date|zeit[ _-]?stempel|"
    r"datum(?:[ _/-]?(?:uhr)?zeit)?|(?:uhr)?zeit|horodatage|fecha(?:[ _/]?hora)?|epoch|"
    r"value ?x|x[ _]?value|ts|t|x"
)
#: A word for a time before or behind the name of a channel, or alone.
_BEFORE: Final = re.compile(rf"(?:{_TIME})(?:(?=[\W_])(?P<rest>.*)|$)", re.IGNORECASE)
_BEHIND: Final = re.compile(
    rf"(?P<rest>.*)(?:(?<=[\W_])(?i:{_TIME})|(?<=[a-z\d])(?:Date)?Time(?:[Ss]tamp)?)", re.DOTALL
)
#: A zone or a unit behind a name.
_ASIDE: Final = re.compile(r"\s*[(\[](?:UTC|GMT|[A-Z]{3,4}|[A-Z]\w+/\w+|m?s|sec)[^)\]]*[)\]]$")
#: A number that tells columns of one name apart, as pandas (Time.1) and people (Time 2) write it.
_NUMBER: Final = re.compile(r"[\s._#(\[-]*\d+[)\]]?$")
_IN_BRACKETS: Final = re.compile(r"[(\[][^)\]]*[)\]]")
#: Names of values beside those of :func:`datasets.columns.long_tables.names_values`.
_VALUES: Final = frozenset(("valuey", "y"))
#: Words that say which of several times of one row is meant, and not whose time it is.
_WHICH: Final = frozenset(
    ("start", "started", "begin", "began", "end", "ended", "stop", "stopped", "finish", "finished",
     "open", "opened", "close", "closed", "first", "last", "next", "previous", "created",
     "creation", "updated", "update", "modified", "changed", "deleted", "inserted", "planned",
     "plan", "scheduled", "schedule", "target", "due", "expected", "estimated", "forecast",
     "actual", "real", "event", "alarm", "alert", "ack", "acknowledged", "cleared", "reading",
     "read", "measured", "measurement", "sample", "sampled", "record", "recorded", "log", "logged",
     "received", "sent", "send", "issued", "reported", "arrival", "departure", "source", "server",
     "device", "local", "system", "gateway", "plc", "ingest", "ingested", "processed",
     "processing", "min", "max", "minimum", "maximum", "peak", "from", "to", "in", "out", "on",
     "off", "at", "of", "the", "utc", "gmt", "before", "after", "old", "new", "von", "bis",
     "anfang", "beginn", "ende", "soll", "ist", "geplant", "erstellt", "geändert", "debut",
     "début", "fin", "inicio", "kommt", "geht",
     "gekommen", "gegangen", "coming", "going", "came", "gone", "raised", "set", "reset")
)  # fmt: skip


#: The columns of times and of values of each channel.
_Parts = list[tuple[tuple[int, ...], tuple[int, ...]]]


@dataclass(frozen=True, slots=True)
class Channel:
    """The columns of a channel.

    Parameters
    ----------
    name : what the names of its columns share; empty if nothing.
    times : the indices of its columns of times: one, or a date and a time of day.
    values : the indices of its other columns; none if the channel is empty.
    """

    name: str
    times: tuple[int, ...]
    values: tuple[int, ...]

    def feature(self, name: str) -> str:
        """Return a column's name without a word for values: Pump1.Temp for Pump1.Temp ValueY."""
        own = self.name and name.startswith(self.name) and names_a_value(name[len(self.name) :])
        return self.name if own else name


def names_a_value(name: str) -> bool:
    """Return whether a name says no more than that a column holds values; so does an empty one."""
    plain = plain_name(name)
    return not plain or plain in _VALUES or names_values(plain)


def channels_of(columns: Columns, form: FileFormat) -> list[Channel]:
    """Return the channels of a table, in order; none if the cells of a row are of one time.

    Parameters
    ----------
    columns
        The table's columns.
    form
        Format options given by the caller. Times that count from another beginning than 1970 are
        recognised with ``time_unit`` only. ``columns`` may name the times of all channels.

    Raises
    ------
    DatasetError
        ``exclude`` names a column that is missing, or the times that ``columns`` names are not
        those of channels.
    """
    if not form.header or form.time_unit == ROW or form.role("sensor_id") is not None:
        return []
    excluded = names_in(form.exclude, columns.names, "exclude") if form.exclude else []
    kept = (name for name in columns.names if name not in excluded)
    if form.role("asset_id") is not None or any(map(_names_asset, kept)):
        return []
    left_out = {p for p, name in enumerate(columns.names) if name in excluded}
    given = form.role("timestamp")
    named = [] if given is None else [part.strip() for part in given.split("+")]
    if given is not None and (given in columns.names or not {*named} <= {*columns.names}):
        return []
    parts = _used(_parts(columns, form, named, left_out), left_out)
    if not _are_channels(columns, parts, named):
        if len(named) > 1 and all(_is_whole_time(columns, name) for name in named):
            raise DatasetError(
                f"--columns timestamp: each of {', '.join(map(repr, named))[:200]} holds whole"
                " times, and is read as that of the columns after it: each needs a column of"
                " numbers, and no other may stand before the first (--exclude leaves it out)",
                field="timestamp",
            )
        return []
    names = _names(columns, parts)
    if not names and not named:
        return []
    shared = names or [""] * len(parts)
    return [
        Channel(name, times, values if any(map(columns.filled, values)) else ())
        for name, (times, values) in zip(shared, parts, strict=True)
    ]


def _are_channels(columns: Columns, parts: _Parts, named: Sequence[str]) -> bool:
    """Return whether each part has one time, and columns of numbers or none with anything."""
    measured = [_measured(columns, values) for _, values in parts]
    return sum(measured) > 1 and all(
        _one_time(columns, times, named)
        and (numbers or not any(map(columns.filled, (*times, *values))))
        for numbers, (times, values) in zip(measured, parts, strict=True)
    )


def _is_whole_time(columns: Columns, name: str) -> bool:
    index = columns.names.index(name)
    cells = columns.filled(index)
    return index in columns.timed or (is_time(cells[:40]) and not dates_only(cells))


def _names_asset(name: str) -> bool:
    return names_assets(plain_name(name))


def _parts(columns: Columns, form: FileFormat, named: Sequence[str], left_out: Set[int]) -> _Parts:
    """Return the columns of times, and those after them up to the next; none if others are first.

    Parameters
    ----------
    columns, form
        The table's columns, and the caller's format options.
    named
        The names of all columns of times, if the caller gives them.
    left_out
        Columns that are left out.
    """
    out: list[tuple[list[int], list[int]]] = []
    for index, name in enumerate(columns.names):
        if not name and not columns.filled(index):
            continue
        timed = name in named if named else _may_be_time(columns, index, form)
        if timed and (not out or out[-1][1] or named):
            out.append(([index], []))
        elif timed:
            out[-1][0].append(index)
        elif out:
            out[-1][1].append(index)
        elif index not in left_out and not _numbers_rows(columns.cells[index]):
            return []
    return [(tuple(times), tuple(values)) for times, values in out]


def _used(parts: _Parts, left_out: Set[int]) -> _Parts:
    """Return the parts without columns that are left out; none if one loses just its times."""
    out = []
    for times, values in parts:
        kept = tuple(index for index in values if index not in left_out)
        if kept and left_out & {*times}:
            return []
        if kept or not values:
            out.append((times, kept))
    return out


def _may_be_time(columns: Columns, index: int, form: FileFormat) -> bool:
    cells = columns.filled(index)
    if index in columns.timed:
        return True
    if not cells:  # an empty channel
        return _channel(columns.names[index]) is not None
    if form.time_unit is not None:
        return _channel(columns.names[index]) is not None and _mostly_numbers(cells)
    return (
        holds_times(columns, index)
        or counts_from_1970(columns, index)
        or (written(columns.names[index], cells) and _channel(columns.names[index]) is not None)
    )


def _one_time(columns: Columns, times: Sequence[int], named: Sequence[str]) -> bool:
    """Return whether columns hold one time: one column, or a date and a time of day."""
    first, *others = (columns.filled(index) for index in times)
    if not others:
        return not (named and dates_only(first)) and not is_time_of_day(first)
    return len(others) == 1 and dates_only(first) and is_time_of_day(others[0])


def _measured(columns: Columns, values: Sequence[int]) -> bool:
    """Return whether some column of a channel holds numbers."""
    return any(holds_numbers(columns, index) for index in values)


def holds_numbers(columns: Columns, index: int) -> bool:
    """Return whether most cells of a column are numbers, by its first cells."""
    cells = columns.filled(index)
    return bool(cells) and (_mostly_numbers(cells) or bool(unit_of(cells)))


def _mostly_numbers(cells: Sequence[str]) -> bool:
    return 2 * sum(is_number(cell) or is_number(cell, ",") for cell in cells) > len(cells)


def _numbers_rows(cells: Sequence[str]) -> bool:
    """Return whether cells count the rows, up to the end of what may be the shorter column."""
    filled = [cell for cell in cells if not missing(cell)]
    return bool(filled) and any(
        filled == [str(i) for i in range(start, start + len(filled))] for start in (0, 1)
    )


def _names(columns: Columns, parts: _Parts) -> list[str]:
    """Return the names of the channels, if those of their columns tell them; else nothing.

    The columns of times have one name, apart from numbers (the channels' names are empty then), or
    each shares a name with the columns of its channel. In spreadsheets only one of both has a name.
    """
    heads = [[columns.names[index] for index in times] for times, _ in parts]
    bases = {tuple(plain_name(_base(name)) for name in names) for names in heads}
    below = [[columns.names[index] for index in values] for _, values in parts]
    if len(bases) == 1 and all(map(all, below)):
        base = [_channel(_base(name)) for name in heads[0]]
        if all(name is not None and (not name or _tells(name)) for name in base):
            return [""] * len(parts)
        if not any(map(any, heads)):
            return [""] * len(parts)
    if all(len(names) == 1 and not any(names) for names in below):
        alone = [names[0] for names in heads]
        return alone if all(alone) and len(set(alone)) == len(alone) else []
    names = []
    for times, values in zip(heads, below, strict=True):
        found = {_channel(name) for name in times}
        name = next(iter(found)) if len(found) == 1 else None
        if not name or not _tells(name) or not _of_channel(name, times, values):
            return []
        names.append(name)
    return names if len(set(map(str.casefold, names))) == len(names) else []


def _base(name: str) -> str:
    """Return a name without a number that tells it from others; its zone and unit stay."""
    text = _ASIDE.sub("", name.strip())
    return _NUMBER.sub("", text) + name.strip()[len(text) :]


def _channel(name: str) -> str | None:
    """Return whose time a column holds by its name: Pump1.Temp of Pump1.Temp Time; None: no time.

    It is empty if the name is just Time, or if there is none.
    """
    text = _ASIDE.sub("", name.strip())
    if not text:
        return ""
    match = _BEFORE.fullmatch(text) or _BEHIND.fullmatch(text)
    if match is None:
        return None
    rest = (match["rest"] or "").strip()
    bracketed = re.fullmatch(r"[(\[](.*)[)\]]", rest)
    return re.sub(r"^[\s._/:|-]+|[\s._/:|-]+$", "", bracketed[1] if bracketed else rest)


def _tells(name: str) -> bool:
    """Return whether a name is not only a word such as Start, of one of several times of a row."""
    words = re.findall(r"[^\W\d_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name))
    return not words or not {word.casefold() for word in words} <= _WHICH


def _of_channel(name: str, times: Sequence[str], values: Sequence[str]) -> bool:
    """Return whether columns are those of a channel, by its name and theirs.

    All have its name, and one says no more than that it holds values. Others may tell stages of a
    process (Tap Time, Tap Temp), unless they have the form of a path, as in Group 1/Temp.

    Parameters
    ----------
    name : what the names of the columns of times share.
    times, values : the names of the columns of times, and of those after them.
    """
    if not all(_shares(name, value) for value in values):
        return False
    path = all(re.match(rf"{re.escape(name)}\s*[/\\]", each) for each in (*times, *values))
    plain = (_IN_BRACKETS.sub("", value.replace(name, "", 1)) for value in values)
    return path or not values or any(map(names_a_value, plain))


def _shares(name: str, value: str) -> bool:
    """Return whether the name of a column begins or ends with that of its channel."""
    word, text = re.escape(name), value.strip()
    return not text or bool(re.match(rf"(?i){word}(?:\b|[\W_]|$)|.*[\W_]{word}$", text))
