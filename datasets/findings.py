"""Collect what is found while a file is read, for notes at its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from datasets.format import quoted
from datasets.unreadable import Unreadable

#: (column, text) -> the rows in which the text says why nothing was measured.
States = dict[tuple[str, str], list[int]]


@dataclass(slots=True)
class Findings:
    """Observations made while reading a file, for notes at its end.

    ``doubt`` is a note on times without an offset, ``midnights`` are the rows of dates among times,
    ``on_off`` has the text columns of switches.
    """

    states: States = field(default_factory=dict)
    blank: int = 0
    names: int = 0
    local: int = 0
    universal: int = 0
    doubt: str | None = None
    midnights: list[int] = field(default_factory=list)
    bad: dict[str, int] = field(default_factory=dict)
    rounded: dict[str, None] = field(default_factory=dict)
    switches: dict[str, None] = field(default_factory=dict)
    on_off: dict[str, None] = field(default_factory=dict)
    rows: Unreadable = field(
        default_factory=lambda: Unreadable("rows left out, since they cannot be read")
    )
    values: Unreadable = field(
        default_factory=lambda: Unreadable("unreadable values, which are taken as not measured")
    )

    def notes(self, zone: str | None = None) -> list[str]:
        """Return the observations as notes; ``zone`` is that of times without an offset."""
        out = [
            f"{name}: {text!r} is read as not measured ({_where(rows)})"
            + (f": {label_hint(name)}" if name in self.on_off else "")
            for (name, text), rows in sorted(self.states.items())
        ]
        if self.local and self.universal:
            where = zone or "UTC (--time-zone names another)"
            out.append(f"{self.local:,} times have no offset, others have one: read in {where}")
        if self.local and self.doubt is not None:
            out.append(self.doubt)
        if self.midnights:
            out.append(
                "times without a time of day, as others have, are read as midnight"
                f" ({_where(self.midnights)})"
            )
        if self.names:
            out.append(f"{self.names:,} lines repeat the names and are left out")
        if self.blank:
            out.append(f"{self.blank:,} rows are empty and are left out")
        if self.rounded:
            names = ", ".join(self.rounded)
            out.append(f"{names}: whole numbers beyond 2^53 are rounded, as in any CSV reader")
        for name, count in self.bad.items():
            out.append(f"{name}: {count:,} values of bad quality are read as not measured")
        if self.switches:
            out.append(f"{', '.join(self.switches)}: read as 0 and 1")
        return [*out, *self.rows.notes(), *self.values.notes()]


def label_hint(name: str) -> str:
    """Say how a column of switches that also holds other texts is read as the label."""
    return f"if it means a fault, --label {quoted(name)} reads the column as the label"


def _where(rows: Sequence[int]) -> str:
    if len(rows) == 1:
        return f"row {rows[0]}"
    shown = ", ".join(map(str, rows[:3])) + (", ..." if len(rows) > 3 else "")
    return f"{len(rows):,} readings, rows {shown}"
