"""Is it this record, or everything? Evidence about a record that fails on its own."""

from __future__ import annotations

from typing import Any

FAILURES = 5
EVIDENCE_SECONDS = 60.0


class Culprits:
    """One suspect at a time: how often it failed alone while others passed."""

    def __init__(self) -> None:
        self._suspect: Any = None
        self._failures = 0

    def failed(self, suspect: Any) -> int:
        """A record failed alone while others passed; how often so far."""
        if suspect != self._suspect:
            self._suspect, self._failures = suspect, 0
        self._failures += 1
        return self._failures
