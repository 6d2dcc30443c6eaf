"""Files of which each continues the one before."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

import datasets
from datasets import FileFormat


@pytest.mark.parametrize(
    ("starts", "head", "told"),
    [
        ((0, 3, 6), "timestamp,temp", True), ((0, 1, 6), "timestamp,temp", False),
        ((0, 3, 6), "asset_id,timestamp,temp", False), ((0,), "timestamp,temp", False),
    ],
)  # fmt: skip
def test_files_that_follow_one_another_are_told(
    tmp_path: Path, starts: tuple[int, ...], head: str, told: bool
) -> None:
    asset = "P1," if "asset_id" in head else ""
    for start in starts:
        rows = "".join(f"{asset}2026-01-01 0{start + i}:00,{i}\n" for i in range(3))
        (tmp_path / f"log_{start}.csv").write_text(f"{head}\n{rows}")
    found = datasets.files_of(str(tmp_path))
    if len(found) > 1:
        data = datasets.load_files(found)
        assert any("--asset-id NAME joins them" in note for note in data.notes) == told
    data = datasets.load_files(found, form=FileFormat(asset_id=None if asset else "P1"))
    assert [stream.asset_id for stream in data.streams] == ["P1"]
    assert not any("joins them" in note for note in data.notes)


@pytest.mark.parametrize(
    ("shift", "told"), [(0, True), (1, False)], ids=["same readings", "other readings"]
)
def test_overlapping_exports_are_told_by_the_same_readings(
    tmp_path: Path, shift: int, told: bool
) -> None:
    for number, start in enumerate((0, 20, 40)):
        values = {i: i * 7 % 11 + shift * number for i in range(start, min(start + 25, 60))}
        rows = "".join(f"2026-01-01 00:{i:02d}:00,{value}\n" for i, value in values.items())
        (tmp_path / f"export_{number}.csv").write_text(f"timestamp,temp\n{rows}")
    data = datasets.load_files(datasets.files_of(str(tmp_path)))
    note = "with the same readings where they overlap: if they are pieces"
    assert any(note in each for each in data.notes) == told
    data = datasets.load_files(datasets.files_of(str(tmp_path)), form=FileFormat(asset_id="P1"))
    assert len(data.streams[0].timestamps) == (60 if told else 70)


@pytest.mark.parametrize(
    "times",
    [[range(60), range(10, 20), range(30, 40)], [[*range(10), *range(50, 60)], range(20, 40)]],
    ids=["only the second is a copy", "no time in common"],
)
def test_files_that_hold_other_readings_within_the_first_are_no_pieces(
    tmp_path: Path, times: list[Iterable[int]]
) -> None:
    for number, minutes in enumerate(times):
        rows = "".join(f"2026-01-01 00:{i:02d}:00,{i + number // 2}\n" for i in minutes)
        (tmp_path / f"export_{number}.csv").write_text(f"timestamp,temp\n{rows}")
    notes = datasets.load_files(datasets.files_of(str(tmp_path))).notes
    assert not any("follow one another in time" in note for note in notes)
