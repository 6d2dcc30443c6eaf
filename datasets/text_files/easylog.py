"""Read the files of Lascar's EasyLog loggers, whose first row alone has the serial number.

The first column counts the rows, under the name of the logger.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

_NAMES: Final = re.compile(
    r'[^,;\t]*(?P<sep>[,;\t])"?(?:Date/)?Time"?[,;\t].*(?P=sep)"?Serial Number"?\s*', re.IGNORECASE
)


def is_easylog(lines: Sequence[str]) -> bool:
    """Return whether a text begins with the names, and a first row that alone has all fields."""
    names = _NAMES.fullmatch(lines[0]) if len(lines) > 2 else None
    if names is None:
        return False
    whole, *others = ([cell.strip(' "\r\n') for cell in line.split(names["sep"])] for line in lines)
    first, *others = others
    short = (len(row) < len(whole) or not row[-1] for row in others if any(row))
    return len(first) == len(whole) and first[0] == "1" and bool(first[-1]) and all(short)


class WithoutSerial:
    """Return the lines of a text without the serial number, given some of them at a time."""

    def __init__(self) -> None:
        self._sep = ""
        self._fields = 0

    def __call__(self, lines: Sequence[str]) -> list[str]:
        """Return the lines without the last of as many fields as there are names."""
        if lines and not self._fields and (names := _NAMES.fullmatch(lines[0])):
            self._sep = names["sep"]
            self._fields = lines[0].count(self._sep)
        return [
            line.rpartition(self._sep)[0] + ("\n" if line.endswith("\n") else "")
            if line.count(self._sep) == self._fields else line
            for line in lines
        ]  # fmt: skip
