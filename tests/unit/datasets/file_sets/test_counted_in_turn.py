"""Files of one asset without times follow one another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import datasets
from datasets import Dataset, FileFormat

NO_ORDER = "no times tell the order"


def load(folder: Path, **options: object) -> Dataset:
    form = FileFormat(**{"time_unit": "row", "asset_id": "P1", **options})  # type: ignore[arg-type]
    return datasets.load_files(datasets.files_of(str(folder)), form=form)


def write(path: Path, values: np.ndarray, head: str = "temp,flow") -> None:
    np.savetxt(path, values, fmt="%g", delimiter=",", header=head, comments="")


def test_files_without_times_follow_one_another_by_the_numbers_in_their_names(
    tmp_path: Path,
) -> None:
    values = np.arange(60.0).reshape(30, 2)
    for name, rows in (
        ("run_1", slice(0, 10)),
        ("run_2", slice(10, 15)),
        ("run_10", slice(15, 30)),
    ):
        write(tmp_path / f"{name}.csv", values[rows])
    data = load(tmp_path)
    (stream,) = data.streams
    assert np.array_equal(stream.values, values)
    assert (np.diff(stream.timestamps) == np.timedelta64(60, "s")).all()
    (note,) = [note for note in data.notes if NO_ORDER in note]
    assert note.endswith(
        "its 3 files, which follow one another as run_1.csv, run_2.csv, run_10.csv"
    )


def test_files_whose_counts_begin_anew_follow_one_another(tmp_path: Path) -> None:
    rows = np.column_stack([np.arange(1, 11), np.arange(10.0)])
    write(tmp_path / "a.csv", rows, "cycle,temp")
    write(tmp_path / "b.csv", rows + np.array([0, 10]), "cycle,temp")
    (stream,) = load(tmp_path, columns={"timestamp": "cycle"}).streams
    assert stream.values[:, 0].tolist() == [*range(20)]


@pytest.mark.parametrize(
    ("first", "second", "heads"),
    [
        (0, 10, ("cycle,temp", "cycle,temp")),  # its count goes on
        (0, 0, ("cycle,temp", "cycle,flow")),  # other sensors of the same readings
    ],
)
def test_counts_that_go_on_and_files_of_other_sensors_keep_their_times(
    tmp_path: Path, first: int, second: int, heads: tuple[str, str]
) -> None:
    values = np.arange(10.0)
    write(tmp_path / "a.csv", np.column_stack([values + second, values + 70]), heads[0])
    write(tmp_path / "b.csv", np.column_stack([values + first, values + 40]), heads[1])
    data = load(tmp_path, columns={"timestamp": "cycle"})
    assert not any(NO_ORDER in note for note in data.notes)
    (stream,) = data.streams
    assert len(np.unique(stream.timestamps)) == 10 + abs(first - second)


def test_a_copy_of_a_file_without_times_counts_once(tmp_path: Path) -> None:
    for name in ("run.csv", "run (2).csv"):
        write(tmp_path / name, np.arange(20.0).reshape(10, 2))
    (stream,) = load(tmp_path).streams
    assert len(stream.timestamps) == 10


def test_beside_a_copy_files_follow_one_another_and_it_counts_once(tmp_path: Path) -> None:
    values = np.arange(40.0).reshape(20, 2)
    for name, rows in (
        ("run_1", slice(0, 10)),
        ("run_1 (1)", slice(0, 8)),
        ("run_2", slice(10, 20)),
    ):
        write(tmp_path / f"{name}.csv", values[rows])
    data = load(tmp_path)
    assert np.array_equal(data.streams[0].values, values)
    (note,) = [note for note in data.notes if NO_ORDER in note]
    assert "its 2 files" in note


def test_names_come_before_the_numbers_in_them(tmp_path: Path) -> None:
    for shift, name in enumerate(("b_1", "a_10", "a_2")):
        write(tmp_path / f"{name}.csv", np.arange(18.0).reshape(9, 2) + 100 * shift)
    (note,) = [note for note in load(tmp_path).notes if NO_ORDER in note]
    assert note.endswith("as a_2.csv, a_10.csv, b_1.csv")


def test_files_with_times_keep_them(tmp_path: Path) -> None:
    for name, temp in (("a", 20), ("b", 30)):
        rows = [f"2026-01-01 00:0{minute}:00,{temp + minute}\n" for minute in range(9)]
        (tmp_path / f"{name}.csv").write_text("timestamp,temp\n" + "".join(rows))
    data = load(tmp_path, time_unit=None)
    assert not any(NO_ORDER in note for note in data.notes)
    assert len(np.unique(data.streams[0].timestamps)) == 9
