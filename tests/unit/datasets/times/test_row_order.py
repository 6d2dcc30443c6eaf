"""Files whose rows are not in order of time, to be sent to a service that reads one by one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import datasets
from datasets import reader
from datasets.times.row_order import SORTED, goes_back
from datasets.types import Reading

START = datetime(2026, 1, 1, tzinfo=UTC)
N = 300


def write(path: Path, minutes: np.ndarray) -> Path:
    rows = "".join(
        f"{asset},{(START + timedelta(minutes=int(m))).isoformat()},{m % 7}\n"
        for m in minutes for asset in "AB"
    )  # fmt: skip
    path.write_text(f"asset_id,timestamp,f\n{rows}", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "minutes", [np.arange(N)[::-1], np.random.default_rng(0).permutation(N)], ids=["newest", "any"]
)
def test_readings_are_sorted_on_request(tmp_path: Path, minutes: np.ndarray) -> None:
    path, notes = write(tmp_path / "plant.csv", minutes), list[str]()
    in_file = [one.timestamp for one in datasets.readings(path)]
    assert in_file[0] == START + timedelta(minutes=int(minutes[0]))
    found = list(datasets.readings(path, report=notes.append, by_time=True))
    assert len(found) == 2 * N
    assert all(a.timestamp <= b.timestamp for a, b in pairwise(found))
    assert notes[0] == SORTED


@pytest.mark.parametrize("many", [N, 3000])
def test_rows_in_order_are_read_once_and_notes_come_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, many: int
) -> None:
    path, notes, opened = tmp_path / "plant.csv", list[str](), list[str]()
    rows = [f"A,{START + timedelta(minutes=m)},1.5,on foot\n" for m in range(many)]
    path.write_text("".join(["asset_id,timestamp,f,how\n", *rows]), encoding="utf-8")
    readings = reader.readings

    def counted(*given: Any, **more: Any) -> Iterator[Reading]:
        opened.append("once")
        return readings(*given, **more)

    monkeypatch.setattr(reader, "readings", counted)
    found = list(datasets.readings(path, report=notes.append, by_time=True))
    assert (len(found), opened) == (many, ["once"])
    assert len([note for note in notes if "'how' holds no number" in note]) == 1


def test_latecomers_are_sent_as_the_file_has_them(tmp_path: Path) -> None:
    minutes = np.arange(N)
    minutes[50::50] -= 5
    path, notes = write(tmp_path / "plant.csv", minutes), list[str]()
    found = list(datasets.readings(path, report=notes.append, by_time=True))
    assert found == list(datasets.readings(path))
    assert notes == []


def test_streams_one_after_the_other_do_not_go_back() -> None:
    def stream(asset: str) -> list[Reading]:
        return [Reading(asset, None, START + timedelta(minutes=m), {"f": 1.0}) for m in range(9)]

    assert not goes_back([*stream("A"), *stream("B")])
    assert goes_back([*stream("A"), *stream("A")[::-1]])
    assert not goes_back([])
