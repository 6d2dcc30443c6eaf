"""Choose by all rows of a file whether its dates begin with the day or with the month."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from datasets.times.time_formats import day_order, lesser, reads_somehow
from datasets.times.time_texts import MIDNIGHT, tidied
from datasets.types import Times

#: Share of the rows that may be mistyped, and the rows that decide on the order of day and month.
_FEW_ODD: Final = 0.01
_SHOWN: Final = 200_000
#: The time of day behind or before a date.
_OF_DAY: Final = r"[ T,_:-]+\d{1,2}[:.h]\d\d.*$|^\d{1,2}:\d\d\S*( [AaPp][Mm])?\s+|[ T]\d{4}(\d\d)?$"


def settled_formats(formats: Sequence[str], columns: Iterable[Any]) -> list[str]:
    """Choose the formats by all rows: those that read nearly all, with times that run on.

    A format is out if it fails on more than a hundredth of the rows that another one reads: a few
    mistyped cells decide nothing. Of the others, one is chosen if it leads to clearly fewer leaps
    and steps back, or to much shorter ones.
    """
    shown, unread, rows = _unread(formats, columns)
    fewest = min(unread.values())
    few = max(_FEW_ODD * rows, 1 if rows >= 10 else 0)
    left = [form for form in formats if unread[form] - fewest <= few]
    if len({day_order(form) for form in left}) == 1:
        return left
    import pandas as pd  # imported late: it takes 40 MB, and most files do not need it

    text = pd.Series(shown)
    read = {}
    for form in left:
        times = pd.to_datetime(text, format=form, errors="coerce", utc=True)
        for each in lesser(form) if times.isna().any() else ():
            more = pd.to_datetime(text, format=each, errors="coerce", utc=True)
            times = times.fillna(more)
        read[form] = times.dt.tz_localize(None)
    soon = datetime.now(UTC).year + 1
    past = [form for form in left if (read[form].dt.year > soon).mean() <= _FEW_ODD]
    left = past or left  # formats with dates in the future misplace a two-digit year
    if all(read[form].equals(read[left[0]]) for form in left):  # they agree, as on 01/01
        return left[:1]
    orders = {day_order(form): form for form in reversed(left)}
    runs = {order: _Run.of(read[form].to_numpy()) for order, form in orders.items()}
    best = min(runs, key=lambda order: (runs[order].breaks, runs[order].path_s))
    clear = all(runs[best].beats(run) for order, run in runs.items() if order != best)
    return [form for form in left if day_order(form) == best] if clear else left


def _unread(
    formats: Sequence[str], columns: Iterable[Any]
) -> tuple[list[str], dict[str, int], int]:
    """Return the first texts, the number that each format does not read, and that of all rows."""
    shown: list[str] = []
    unread = dict.fromkeys(formats, 0)
    rows = 0
    for column in columns:
        text = pc.utf8_trim_whitespace(tidied(column.drop_null()))
        text = pc.replace_substring_regex(text, MIDNIGHT, r"\100\2")
        text = text.filter(pc.not_equal(text, ""))
        rows += len(text)
        shown += text.slice(0, _SHOWN - len(shown)).to_pylist()
        days = pc.replace_substring_regex(text, _OF_DAY, "").dictionary_encode().indices
        # one cell per day is enough
        _, first, counts = np.unique(days.to_numpy(), return_index=True, return_counts=True)
        for cell, n in zip(text.take(pa.array(first)).to_pylist(), counts.tolist(), strict=True):
            for form in formats:
                unread[form] += 0 if reads_somehow(form, cell) else n
        good = [form for form in formats if unread[form] - min(unread.values()) <= _FEW_ODD * rows]
        if rows >= _SHOWN and len({day_order(form) for form in good}) == 1:
            break
    return shown, unread, rows


@dataclass(frozen=True, slots=True)
class _Run:
    """How times run on: steps back, leaps and unread ones; usual step and sum of steps (s)."""

    breaks: int
    usual_s: float
    path_s: float

    @classmethod
    def of(cls, times: Times) -> _Run:
        known = times[~np.isnat(times)].astype("datetime64[us]")
        steps = np.diff(known).astype(np.int64) / 1e6
        if 2 * (steps < 0).sum() > len(steps):  # newest first
            steps = -steps
        usual = float(np.median(steps[steps > 0])) if (steps > 0).any() else 0.0
        breaks = int(((steps < 0) | (steps > 10 * usual)).sum()) + len(times) - len(known)
        return cls(breaks, usual, float(np.abs(steps).sum()))

    def beats(self, other: _Run) -> bool:
        """Return whether this run is clearly the better one."""
        if 0 < self.usual_s < 86400 and (
            other.breaks > 2 * self.breaks
            or (other.breaks >= self.breaks and other.path_s > 10 * self.path_s)
        ):
            return True
        # days in a row, or the same day in one year after another
        return 0 < 100 * self.usual_s <= other.usual_s and self.breaks <= other.breaks
