"""Join a column of AM and PM, or of the zone of each time (CET, CEST, +01:00), to the times."""

from __future__ import annotations

import re
from typing import Final

import pyarrow as pa

from datasets.format import FileFormat
from datasets.sampled_columns import Columns, Roles
from datasets.time_formats import dates_only, is_time
from datasets.time_of_day import WORDS, joined

_WORD: Final = re.compile(r"[AaPp]\.? ?[Mm]\.?|Z|[A-Z]{3,4}|(?:UTC|GMT)?[+-]\d{1,2}(?::?\d\d)?")


def complete_times(columns: Columns, form: FileFormat, roles: Roles) -> None:
    """Join the one column, if any, without which the times are not whole.

    Parameters
    ----------
    columns, form
        The file's columns, and the caller's format options.
    roles
        The roles found so far; its columns of times may become one more.
    """
    given = form.time_unit or form.time_format or form.role("timestamp")
    if given or not 0 < len(roles.times) <= 2 or roles.time_kinds:
        return
    taken = {*roles.keys(), *roles.times, *roles.excluded, *columns.timed}
    if columns.timed.intersection(roles.times):
        return
    found = [
        p for p in range(len(columns.names)) if p not in taken and _completes(columns, p, roles)
    ]
    if len(found) == 1:
        roles.times, roles.time_kinds = (*roles.times, found[0]), [WORDS]
        *first, last = (repr(columns.names[p]) for p in roles.times)
        roles.notes = [note for note in roles.notes if not note.endswith("read as timestamp")]
        roles.notes.append(f"columns {', '.join(first)} and {last} are read as timestamp")


def _completes(columns: Columns, index: int, roles: Roles) -> bool:
    words = columns.cells[index]
    if not words or not all(map(_WORD.fullmatch, words)):
        return False
    parts = [pa.array(columns.cells[p], pa.string()) for p in roles.times]
    before = joined(parts).to_pylist() if len(parts) > 1 else parts[0].to_pylist()
    times = [time for time in before if time]
    whole = joined([*parts, pa.array(words, pa.string())], WORDS).to_pylist()
    return not dates_only(times) and is_time([time for time in whole if time])
