"""Records that fail alone: counted each for itself, until each has its verdict."""

from __future__ import annotations

from consumers.processing.poison_records import PoisonRecords
from tests.fixtures.partitions import ready


def test_poison_records_take_turns_and_each_reaches_its_verdict():
    poison_records, one = PoisonRecords(), ready()
    a, b, c = ((one, offset) for offset in range(3))
    turns = [(poison_records.record_failure(a), poison_records.record_failure(b)) for _ in range(5)]
    assert turns[-1] == (5, 5)
    poison_records.verdicts |= {a: "refused", b: None, c: "refused"}
    poison_records.forget([a])
    poison_records.keep(lambda record_id: record_id != b)
    assert poison_records.verdicts == {c: "refused"}
    assert poison_records.record_failure(a) == poison_records.record_failure(b) == 1
