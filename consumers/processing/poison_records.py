"""Count the failures of records that fail on their own, and keep what was decided about them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from consumers.partition import AssignedPartition

#: Failures of a record, alone while others pass, before it becomes a dead letter.
FAILURES = 5
#: For so long after a success elsewhere, a failure is held against the record, not the service.
EVIDENCE_SECONDS = 60.0

#: A partition and an offset.
RecordId = tuple[AssignedPartition, int]


class PoisonRecords:
    """How often each record failed alone while others passed, and what was decided about it.

    The heads of several partitions may all be suspected at once, and take turns. A verdict is the
    message of the record's dead letter; None: the record is stored already.
    """

    def __init__(self) -> None:
        self._failures: dict[RecordId, int] = {}
        self.verdicts: dict[RecordId, str | None] = {}

    def record_failure(self, record_id: RecordId) -> int:
        """Count one more failure of a record, alone while others passed; return how many."""
        self._failures[record_id] = self._failures.get(record_id, 0) + 1
        return self._failures[record_id]

    def forget(self, record_ids: Iterable[RecordId]) -> None:
        """Drop records that are accounted for."""
        if self._failures or self.verdicts:
            for record_id in record_ids:
                self._failures.pop(record_id, None)
                self.verdicts.pop(record_id, None)

    def keep(self, wanted: Callable[[RecordId], bool]) -> None:
        """Drop the records that are not wanted, as those of a partition that was lost."""
        for known in (self._failures, self.verdicts):
            for record_id in [one for one in known if not wanted(one)]:
                del known[record_id]
