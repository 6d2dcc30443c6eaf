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

    def record_failure(self, record_id: Any) -> int:
        """A record failed alone while others passed; how often so far."""
        self._failures[record_id] = self._failures.get(record_id, 0) + 1
        return self._failures[record_id]

    def decide(self, record_id: Any, message: str | None) -> None:
        self._verdicts[record_id] = Verdict(message)

    def verdict(self, record_id: Any) -> Verdict | None:
        return self._verdicts.get(record_id)

    def forget(self, suspects: Iterable[Any]) -> None:
        """These are accounted for."""
        if self._failures or self._verdicts:
            for record_id in suspects:
                self._failures.pop(record_id, None)
                self._verdicts.pop(record_id, None)

    def keep(self, wanted: Callable[[Any], bool]) -> None:
        """Forget the suspects that are no longer wanted, as those of a partition that was lost."""
        for known in (self._failures, self._verdicts):
            for record_id in [one for one in known if not wanted(one)]:
                del known[record_id]
