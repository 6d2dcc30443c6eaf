"""Read InfluxDB's annotated CSV: tables on end, each below lines of annotations and of names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from errors import DatasetError

_ANNOTATIONS: Final = ("#datatype,", "#group,", "#default,")


def is_annotated(lines: Sequence[str]) -> bool:
    """Return whether a text begins with annotations."""
    return next((line for line in lines if line.strip()), "").startswith(_ANNOTATIONS)


class AnnotatedTables:
    """Join tables with the same columns, given the lines of a file in pieces."""

    def __init__(self) -> None:
        self._names = ""
        self._names_next = True

    def __call__(self, lines: Sequence[str]) -> list[str]:
        """Return the lines with values, and the first line of names.

        Raises
        ------
        DatasetError
            Two tables have different columns.
        """
        out = []
        for line in lines:
            text = line.strip()
            if text.startswith("#") or not text:
                self._names_next |= bool(text)
            elif self._names_next:
                if not self._names:
                    out.append(line)
                elif text != self._names:
                    raise DatasetError(
                        f"holds tables with different columns ({self._names[:80]} and {text[:80]}):"
                        " export one measurement at a time"
                    )
                self._names, self._names_next = text, False
            else:
                out.append(line)
        return out
