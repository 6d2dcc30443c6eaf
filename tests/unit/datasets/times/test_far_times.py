"""Times years from all others: left out and named while they are few, else refused or noted."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import datasets
from datasets import FileFormat
from errors import DatasetError

Write = Callable[[pd.DataFrame], Path]


def plant(n: int = 1000, start: str = "2024-03-15", asset: str = "A") -> pd.DataFrame:
    values = np.random.default_rng(0).normal(5, 1, n).round(3)
    at = pd.date_range(start, periods=n, freq="10min").strftime("%Y-%m-%d %H:%M:%S")
    return pd.DataFrame({"asset_id": asset, "timestamp": at, "vib": values})


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def act(frame: pd.DataFrame) -> Path:
        frame.to_csv(tmp_path / "plant.csv", index=False)
        return tmp_path / "plant.csv"

    return act


FAR = ["0001-01-01 00:00:00", "1900-01-01 00:00:00", "1970-01-01 00:00:00", "2567-03-15 00:00:00",
       "9999-12-31 23:59:59", "2042-03-15 00:00:00"]  # fmt: skip


@pytest.mark.parametrize("time", FAR)
@pytest.mark.parametrize("zone", [None, "Europe/Berlin", "America/New_York"])
def test_a_far_time_is_left_out_with_its_row_and_value(
    write: Write, time: str, zone: str | None
) -> None:
    frame = plant()
    frame.loc[[6, 700], "timestamp"] = time
    form, path = FileFormat(time_zone=zone), write(frame)
    data = datasets.load(path, form=form)
    assert len(data.streams[0].timestamps) == 998
    expected = f"rows left out.*2.*row 7: timestamp {time} lies .* the other readings .also row 701"
    assert any(re.search(expected, note) for note in data.notes)
    rows = list(datasets.readings(path, form=form))
    assert len(rows) == 998


def test_far_times_among_epochs_are_left_out(write: Write) -> None:
    frame = plant()
    at = pd.to_datetime(frame.timestamp).dt.as_unit("ms").astype("int64")
    frame["timestamp"] = at.where(frame.index != 3, 0)
    data = datasets.load(write(frame), form=FileFormat(time_unit="ms"))
    assert any("row 4: timestamp 1970-01-01 00:00:00 lies 54 years before" in note
               for note in data.notes)  # fmt: skip


@pytest.mark.parametrize("n", [20, 1000])
def test_many_implausible_times_are_refused_until_they_are_to_be_dropped(
    write: Write, n: int
) -> None:
    frame = plant(n)
    frame.loc[frame.index % 20 == 4, "timestamp"] = FAR[2]
    path = write(frame)
    says = (
        r"^plant.csv: row 5: timestamp 1970-01-01 00:00:00 lies 54 years before the other readings,"
        rf" as one of {n // 20} of {n:,} rows: .* --drop-far-times leaves them out"
    )
    with pytest.raises(DatasetError, match=says):
        datasets.load(path)
    with pytest.raises(DatasetError, match=says):
        list(datasets.readings(path))
    form = FileFormat(drop_far_times=True)
    data = datasets.load(path, form=form)
    assert len(data.streams[0].timestamps) == n - n // 20
    note = rf"rows left out by --drop-far-times \({n // 20}\): row 5: timestamp 1970-01-01 00:00:00"
    assert [bool(re.match(note, text)) for text in data.notes] == [True]
    assert len(list(datasets.readings(path, form=form))) == n - n // 20
    frame.loc[frame.index % 3 > 0, "timestamp"] = FAR[2]
    assert len(datasets.load(write(frame), form=form).streams[0].timestamps) <= n // 3 + 1


def test_many_plausible_times_apart_and_streams_of_their_own_stay(write: Write) -> None:
    parts = pd.concat([plant(), plant(300, "2010-01-01")])
    data = datasets.load(write(parts))
    assert len(data.streams[0].timestamps) == 1300
    assert any("300 readings are years from the others: row 1001" in note for note in data.notes)
    kept = datasets.load(write(parts), form=FileFormat(drop_far_times=True))
    assert len(kept.streams[0].timestamps) == 1000
    old = pd.concat([plant(5000), plant(30, "2010-01-01", "B")])
    assert [len(stream.timestamps) for stream in datasets.load(write(old)).streams] == [5000, 30]


def clock(data: datasets.Dataset) -> str:
    """The only note on clocks that were never set."""
    (note,) = (note for note in data.notes if "by a clock that was never set" in note)
    return note


def test_an_asset_whose_clock_was_never_set_is_named_and_can_be_dropped(write: Write) -> None:
    parts = pd.concat([plant(300), plant(900, "1970-01-01 00:10:00", "PUMP_2")])
    path = write(parts)
    data = datasets.load(path)
    assert [len(stream.timestamps) for stream in data.streams] == [300, 900]
    assert clock(data).startswith("PUMP_2: all 900 readings are from before 1971 (1970-01-01T00:10")
    assert "--drop-far-times leaves them out" in clock(data)
    assert not any("are before 1971 or more than" in note for note in data.notes)
    form = FileFormat(drop_far_times=True)
    kept = datasets.load(path, form=form)
    assert [(s.asset_id, len(s.timestamps)) for s in kept.streams] == [("A", 300)]
    assert clock(kept).endswith(": left out by --drop-far-times")
    assert {reading.asset_id for reading in datasets.readings(path, form=form)} == {"A"}


def test_a_clock_never_set_is_seen_across_files(tmp_path: Path) -> None:
    plant(300).to_csv(tmp_path / "a.csv", index=False)
    plant(900, "1970-01-01", "PUMP_2").to_csv(tmp_path / "b.csv", index=False)
    files = [tmp_path / "a.csv", tmp_path / "b.csv"]
    data = datasets.load_files(files)
    assert len(data.streams) == 2
    assert clock(data).startswith("PUMP_2: all 900 readings are from before 1971")
    kept = datasets.load_files(files, None, FileFormat(drop_far_times=True))
    assert [stream.asset_id for stream in kept.streams] == ["A"]
    alone = datasets.load_files(files[1:], None, FileFormat(drop_far_times=True))
    assert len(alone.streams[0].timestamps) == 900  # nothing else shows that the clock is wrong


def test_a_file_that_is_implausible_as_a_whole_is_noted(write: Write) -> None:
    for start in ("1970-01-01", "2200-01-01"):
        data = datasets.load(write(plant(100, start)))
        assert any("100 times are before 1971 or more than a year ahead" in n for n in data.notes)
    assert not datasets.load(write(plant(100))).notes


def test_times_at_the_ends_of_the_calendar_in_parquet_are_left_out(tmp_path: Path) -> None:
    frame = plant()
    at = pd.to_datetime(frame.timestamp).to_numpy().astype("datetime64[ms]")
    at[[2, 5]] = np.array(["0001-01-01", "30000-01-01"], "datetime64[ms]")
    frame["timestamp"] = at
    frame.to_parquet(tmp_path / "x.parquet")
    data = datasets.load(tmp_path / "x.parquet")
    assert len(data.streams[0].timestamps) == 998
    assert len(list(datasets.readings(tmp_path / "x.parquet"))) == 998


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_infinite_epochs_are_left_out(tmp_path: Path, suffix: str) -> None:
    frame = plant()
    at = pd.to_datetime(frame.timestamp).dt.as_unit("ms").astype("int64").astype(float)
    at[[2, 5]] = np.inf, 1e30
    frame["timestamp"] = at
    path = tmp_path / f"x.{suffix}"
    frame.to_csv(path) if suffix == "csv" else frame.to_parquet(path)
    data = datasets.load(path, form=FileFormat(time_unit="ms"))
    assert len(data.streams[0].timestamps) == 998
    assert any("row 3: timestamp inf is no plausible time in ms" in note for note in data.notes)
