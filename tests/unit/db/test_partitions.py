"""Spans of partitions and the gaps between them, without a server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from db.partitions import Partition, Unit, gaps, partition_name, spans


def at(month: int, day: int = 1, year: int = 2026) -> datetime:
    return datetime(year, month, day, tzinfo=UTC)


def taken(*spans: tuple[datetime, datetime]) -> list[Partition]:
    return [Partition("p", *span) for span in spans]


@pytest.mark.parametrize(
    ("unit", "now", "starts"),
    [
        ("month", at(12, 31), [at(12), at(1, year=2027), at(2, year=2027), at(3, year=2027)]),
        ("day", at(2, 28), [at(2, 28), at(3, 1), at(3, 2)]),
        # in another zone it is the day before already
        ("day", datetime(2026, 3, 1, 1, tzinfo=timezone(timedelta(hours=2))), [at(2, 28), at(3)]),
    ],
)
def test_spans_follow_each_other_in_utc(unit: Unit, now: datetime, starts: list[datetime]) -> None:
    found = list(spans(now, unit, len(starts) - 2))
    assert [start for start, _ in found] == starts[:-1]
    assert [end for _, end in found] == starts[1:]


@pytest.mark.parametrize(
    ("partitions", "left"),
    [
        ([], [(at(1), at(2))]),
        ([(at(1), at(2))], []),
        ([(at(1, 20), at(3)), (at(1, 5), at(1, 10))], [(at(1), at(1, 5)), (at(1, 10), at(1, 20))]),
        ([(at(1, 5), at(1, 6)), (at(3), at(4))], [(at(1), at(1, 5)), (at(1, 6), at(2))]),
        ([(at(12, year=2025), at(1, 10))], [(at(1, 10), at(2))]),
    ],
)
def test_gaps_are_what_no_partition_holds(
    partitions: list[tuple[datetime, datetime]], left: list[tuple[datetime, datetime]]
) -> None:
    assert list(gaps(at(1), at(2), taken(*partitions))) == left


def test_a_partition_is_named_by_its_span() -> None:
    assert partition_name(at(1), at(2)) == "anomaly_detections_20260101_20260201"
