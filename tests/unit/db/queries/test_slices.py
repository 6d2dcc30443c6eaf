"""Slices of time overlap, narrow and end where they say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from db.queries.slices import Slice, after

DAY = timedelta(days=1)
T = datetime(2026, 1, 10, tzinfo=UTC)


def test_a_slice_includes_its_start_and_not_its_end() -> None:
    part = Slice(T, T + DAY)
    assert part.overlaps(T + DAY / 2, None)
    assert part.overlaps(None, T + DAY / 2)
    assert not part.overlaps(T + DAY, None)
    assert not part.overlaps(None, T)


def test_a_slice_without_bounds_holds_everything() -> None:
    assert Slice().overlaps(T, T + DAY)
    assert Slice().values() == {"slice_start": "-infinity", "slice_end": "infinity"}


def test_narrowing_keeps_the_tighter_bound_of_each_side() -> None:
    part = Slice(T, T + 3 * DAY)
    assert part.narrowed(T + DAY, T + 9 * DAY) == Slice(T + DAY, T + 3 * DAY)
    assert part.narrowed(None, T + DAY) == Slice(T, T + DAY)
    assert Slice().narrowed(None, None) == Slice()


def test_the_end_after_a_time_includes_it() -> None:
    end = after(T)
    assert end is not None
    assert T < end <= T + timedelta(microseconds=1)
    assert after(None) is None
    assert after(datetime.max.replace(tzinfo=UTC)) is None
