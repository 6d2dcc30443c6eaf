"""Overlapping exports that are not quite the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import datasets
from datasets import FileFormat


def test_overlapping_exports_of_other_columns_and_of_other_values(tmp_path: Path) -> None:
    def write(name: str, head: str, hours: range, row: str) -> None:
        lines = [row.format(h=h) for h in hours]
        (tmp_path / name).write_text("\n".join([f"asset_id,timestamp,{head}", *lines]) + "\n")

    write("a.csv", "temp", range(10), "P1,2026-01-01 {h:02d}:00,{h}.25")
    write("b.csv", "temp,flow", range(5, 20), "P1,2026-01-01 {h:02d}:00,{h}.25,7")
    data = datasets.load_files(datasets.files_of(str(tmp_path)))
    assert np.isnan(data.streams[0].values[:, 1]).tolist() == [True] * 5 + [False] * 15
    assert any(note.startswith("5 readings occur in more than one file") for note in data.notes)
    write("b.csv", "temp", range(5, 20), "P1,2026-01-01 {h:02d}:00,{h}.3")
    data = datasets.load_files(datasets.files_of(str(tmp_path)))
    assert len(data.streams[0].timestamps) == 25
    (note,) = [n for n in data.notes if "other values in another file (P1: 5): all count" in n]
    assert note.endswith("(no --asset-id, or --exclude the column of assets)")
    apart = FileFormat(exclude="asset_id")  # as the note says for files of other runs
    data = datasets.load_files(datasets.files_of(str(tmp_path)), form=apart)
    assert [stream.asset_id for stream in data.streams] == ["a", "b"]


def test_readings_of_one_time_in_one_file_and_of_other_columns_all_count(tmp_path: Path) -> None:
    head = "asset_id,timestamp,temp,flow\n"
    one, later = "P1,2026-01-01 00:0{}:00,20,{}\n", "P1,2026-01-02 00:0{}:00,{},{}\n"
    burst = "".join(one.format(minute, flow) for minute in range(9) for flow in ("", 3, 4))
    temps = "".join(later.format(minute, 20 + minute, "") for minute in range(9))
    (tmp_path / "a.csv").write_text(head + burst + temps)
    flows = "".join(later.format(minute, "", 5 + minute) for minute in range(9))
    (tmp_path / "b.csv").write_text(head + flows)
    data = datasets.load_files(datasets.files_of(str(tmp_path)))
    assert len(data.streams[0].timestamps) == 45
    assert not any("counted once" in note or "other values" in note for note in data.notes)


def test_readings_of_one_time_that_both_files_hold_have_no_other_values(tmp_path: Path) -> None:
    rows = [f"P1,2026-01-01 00:0{minute}:00,{temp}" for minute in range(9) for temp in (20, 21)]
    for name in "ab":
        (tmp_path / f"{name}.csv").write_text("\n".join(["asset_id,timestamp,temp", *rows]) + "\n")
    data = datasets.load_files(datasets.files_of(str(tmp_path)))
    assert len(data.streams[0].timestamps) == 18
    assert not any("other values" in note for note in data.notes)
