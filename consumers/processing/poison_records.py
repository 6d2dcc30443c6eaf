"""Count the failures of records that fail on their own, and keep what was decided about them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from consumers.partition import AssignedPartition

#: Failures of a record, alone while others pass, before it becomes a dead letter.
FAILURES = 5
#: For so long after a success elsewhere, a failure is held against the record, not the service.
EVIDENCE_SECONDS = 60.0

#: A partition and an offset.
RecordId = tuple[AssignedPartition, int]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was decided about one record: its dead letter's message; None: it is stored already."""

    message: str | None


class PoisonRecords:
    """How often each record failed alone while others passed, and what was decided about it.

    The heads of several partitions may all be suspected at once, and take turns.
    """

    def __init__(self) -> None:
        self._failures: dict[RecordId, int] = {}
        self._verdicts: dict[RecordId, Verdict] = {}

    def record_failure(self, record_id: RecordId) -> int:
        """Count one more failure of a record, alone while others passed; return how many."""
        self._failures[record_id] = self._failures.get(record_id, 0) + 1
        return self._failures[record_id]

    def decide(self, record_id: RecordId, message: str | None) -> None:
        """Store the verdict about a record."""
        self._verdicts[record_id] = Verdict(message)

    def verdict(self, record_id: RecordId) -> Verdict | None:
        """Return the verdict about a record, or None."""
        return self._verdicts.get(record_id)

    def forget(self, record_ids: Iterable[RecordId]) -> None:
        """Drop records that are accounted for."""
        if self._failures or self._verdicts:
            for record_id in record_ids:
                self._failures.pop(record_id, None)
                self._verdicts.pop(record_id, None)

    def keep(self, wanted: Callable[[RecordId], bool]) -> None:
        """Drop the records that are not wanted, as those of a partition that was lost."""
        for known in (self._failures, self._verdicts):
            for record_id in [one for one in known if not wanted(one)]:
                del known[record_id]
