"""Join the column without which times are not whole: AM and PM, the zone, or milliseconds."""

from __future__ import annotations

import re
from typing import Final

import pyarrow as pa

from datasets.format import FileFormat
from datasets.sampled_columns import Columns, Roles, plain_name
from datasets.times.calendar_columns import are_milliseconds
from datasets.times.time_formats import dates_only, is_time, reads_somehow
from datasets.times.time_of_day import MILLISECONDS, WORDS, joined
from datasets.values.numbers import missing

#: AM and PM, and the zone of a time: CET, CEST, +01:00.
_WORD: Final = re.compile(r"[AaPp]\.? ?[Mm]\.?|Z|[A-Z]{3,4}|(?:UTC|GMT)?[+-]\d{1,2}(?::?\d\d)?")

#: Milliseconds that are no feature, even with a reading per second or less: those of FactoryTalk.
_OF_A_TIME: Final = "millitm"


def complete_times(columns: Columns, form: FileFormat, roles: Roles) -> None:
    """Join the one column, if any, without which the times are not whole.

    Parameters
    ----------
    columns, form
        The file's columns, and the caller's format options.
    roles
        The roles found so far; its columns of times may become one more.
    """
    given = form.time_unit or form.role("timestamp")
    if given or not 0 < len(roles.times) <= 2 or roles.time_kinds:
        return
    if columns.timed.intersection(roles.times):
        return
    taken = {*roles.keys(), *roles.times, *roles.excluded, *columns.timed}
    kinds = {
        p: kind for p in range(len(columns.names))
        if p not in taken and (kind := _completes(columns, p, roles, form.time_format))
    }  # fmt: skip
    if len(kinds) == 1:
        ((index, kind),) = kinds.items()
        roles.times, roles.time_kinds = (*roles.times, index), [kind]
        *first, last = (repr(columns.names[p]) for p in roles.times)
        roles.notes = [note for note in roles.notes if not note.endswith("read as timestamp")]
        roles.notes.append(f"columns {', '.join(first)} and {last} are read as timestamp")


def kind_behind(columns: Columns, times: tuple[int, ...]) -> str | None:
    """Return what the last of several named columns adds to the time that the others tell."""
    *before, last = times
    if not re.search(r"\d", "".join(columns.cells[last])):
        return WORDS
    clock = any(":" in cell for p in before for cell in columns.cells[p])
    return MILLISECONDS if clock and are_milliseconds(columns, last) else None


def _completes(columns: Columns, index: int, roles: Roles, form: str | None) -> str | None:
    """Return what a column adds to the times; None if they are whole without it."""
    words = columns.cells[index]
    named = plain_name(columns.names[index]) == _OF_A_TIME
    if are_milliseconds(columns, index) and (named or _rise_within(columns, index, roles)):
        kind = MILLISECONDS
    elif words and all(map(_WORD.fullmatch, words)):
        kind = WORDS
    else:
        return None
    parts = [pa.array(columns.cells[p], pa.string()) for p in roles.times]
    before = joined(parts) if len(parts) > 1 else parts[0]
    times = [time for time in before.to_pylist() if time]
    whole = joined([*parts, pa.array(words, pa.string())], kind).to_pylist()
    filled = [time for time in whole if time]
    if not times or dates_only(times):
        return None
    reads = is_time(filled) if form is None else all(reads_somehow(form, t) for t in filled)
    return kind if reads else None


def _rise_within(columns: Columns, index: int, roles: Roles) -> bool:
    """Return whether numbers rise, or fall, among readings of one time: else they are a feature."""
    keys = [columns.cells[p] for p in (*roles.keys(), *roles.times)]
    latest: dict[tuple[str, ...], float] = {}
    steps = []
    for key, cell in zip(zip(*keys, strict=True), columns.cells[index], strict=True):
        if not missing(cell):
            steps.append(float(cell) - latest.get(key, float(cell)))
            latest[key] = float(cell)
    up, down = sum(step > 0 for step in steps), sum(step < 0 for step in steps)
    return 10 * min(up, down) < max(up, down)
