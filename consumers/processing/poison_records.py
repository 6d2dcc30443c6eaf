"""Count the failures of records that fail alone, and store the decisions about them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from consumers.partition import AssignedPartition

#: A record that fails alone this often, while others succeed, becomes a dead letter.
FAILURES = 5
#: Number of waiting records on which the service is tried, over all partitions.
NEIGHBOURS = 20
#: If there are none: for this long after another record's success, the record is blamed.
EVIDENCE_SECONDS = 60.0

#: A partition and an offset.
RecordId = tuple[AssignedPartition, int]


class PoisonRecords:
    """Count how often each record failed alone while others succeeded, and store the verdicts.

    The first records of several partitions can be suspected at the same time. A verdict is the
    message of the record's dead letter, or None if the record is stored already.
    """

    def __init__(self) -> None:
        self._failures: dict[RecordId, int] = {}
        self.verdicts: dict[RecordId, str | None] = {}

    def record_failure(self, record_id: RecordId) -> int:
        """Count a failure of a record alone while others succeeded; return its count."""
        self._failures[record_id] = self._failures.get(record_id, 0) + 1
        return self._failures[record_id]

    def forget(self, record_ids: Iterable[RecordId]) -> None:
        """Drop records that are stored."""
        if self._failures or self.verdicts:
            for record_id in record_ids:
                self._failures.pop(record_id, None)
                self.verdicts.pop(record_id, None)

    def keep(self, wanted: Callable[[RecordId], bool]) -> None:
        """Keep only the wanted records; drop for example those of a lost partition."""
        for known in (self._failures, self.verdicts):
            for record_id in [one for one in known if not wanted(one)]:
                del known[record_id]
