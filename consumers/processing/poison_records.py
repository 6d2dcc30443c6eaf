"""Is it this record, or everything? Evidence about records that fail on their own, and verdicts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

FAILURES = 5
EVIDENCE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was decided about one record: its dead letter's message; None: it is stored already."""

    message: str | None


class PoisonRecords:
    """How often each suspect failed alone while others passed, and what was decided about it.

    The heads of several partitions may all be suspects at once, and take turns. A suspect is a
    pair of its place and its offset.
    """

    def __init__(self) -> None:
        self._failures: dict[Any, int] = {}
        self._verdicts: dict[Any, Verdict] = {}

    def failed(self, suspect: Any) -> int:
        """A record failed alone while others passed; how often so far."""
        self._failures[suspect] = self._failures.get(suspect, 0) + 1
        return self._failures[suspect]

    def decide(self, suspect: Any, message: str | None) -> None:
        self._verdicts[suspect] = Verdict(message)

    def verdict(self, suspect: Any) -> Verdict | None:
        return self._verdicts.get(suspect)

    def forget(self, suspects: Iterable[Any]) -> None:
        """These are accounted for."""
        if self._failures or self._verdicts:
            for suspect in suspects:
                self._failures.pop(suspect, None)
                self._verdicts.pop(suspect, None)

    def keep(self, wanted: Callable[[Any], bool]) -> None:
        """Forget the suspects that are no longer wanted, as those of a partition that was lost."""
        for known in (self._failures, self._verdicts):
            for suspect in [one for one in known if not wanted(one)]:
                del known[suspect]
