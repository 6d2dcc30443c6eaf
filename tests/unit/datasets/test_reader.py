"""Streams and readings of a file: in order, each once, at the time that it was measured."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from datasets.format import FileFormat
from datasets.reader import load, readings, without_repetitions
from datasets.types import Stream
from errors import DatasetError

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def act(text: str) -> Path:
        path = tmp_path / "plant.csv"
        path.write_text(text)
        return path

    return act


def times(*minutes: int) -> np.ndarray:
    return np.datetime64("2026-01-01T00:00", "us") + np.array(minutes, "timedelta64[m]")


def test_a_reading_counts_once_whatever_its_zeros_and_gaps_are_written_as() -> None:
    values = np.array([[0.0, np.nan], [-0.0, -np.nan], [1.0, 2.0], [1.0, 3.0]])
    stream = Stream("A", None, times(0, 0, 1, 1), values, rows=np.array([1, 2, 3, 4]))
    kept = without_repetitions(stream)
    assert kept.rows is not None
    assert kept.rows.tolist() == [1, 3, 4]  # of one time, but other values: both stay
    assert without_repetitions(kept) is kept


def test_readings_that_occur_twice_are_counted_over_all_streams(write: Write) -> None:
    row = "{0},2026-01-01T00:00,1\n{0},2026-01-01T00:00,1\n"
    data = load(write("asset_id,timestamp,rms\n" + row.format("A") + row.format("B")))
    assert [len(stream.timestamps) for stream in data.streams] == [1, 1]
    assert any("2 readings occur twice" in note for note in data.notes)


def test_rows_out_of_order_are_sorted_and_know_their_number(write: Write) -> None:
    path = write(
        "asset_id,timestamp,rms\nA,2026-01-01T00:02,3\nB,2026-01-01T00:00,9\nA,2026-01-01T00:01,2\n"
    )
    first, second = load(path).streams
    assert (first.asset_id, second.asset_id) == ("A", "B")
    assert first.values[:, 0].tolist() == [2.0, 3.0]
    assert first.rows is not None
    assert first.rows.tolist() == [3, 1]
    assert [reading.features["rms"] for reading in readings(path)] == [3.0, 9.0, 2.0]


@pytest.mark.parametrize("zone", ["", "Z"])
def test_rows_of_one_time_are_in_order_where_the_newest_come_first(write: Write, zone: str) -> None:
    rows = [f"A,2026-01-01T00:{i // 4:02}:00{zone},{i}\n" for i in range(40)]
    (stream,) = load(write("asset_id,timestamp,f\n" + "".join(rows[::-1]))).streams
    assert stream.values[:, 0].tolist() == [*range(40)]
    (same,) = load(write("asset_id,timestamp,f\n" + "".join(rows))).streams
    assert same.values.tolist() == stream.values.tolist()


def test_the_whole_file_and_row_after_row_agree(write: Write) -> None:
    path = write(
        "asset_id,timestamp,rms,label\n"
        "A,2026-01-01T00:00,1,ok\nA,2026-01-01T00:01,,fault\nA,2026-01-01T00:02,3,\n"
    )
    notes: list[str] = []
    rows = list(readings(path, report=notes.append))
    data = load(path)
    (stream,) = data.streams
    assert data.notes == notes
    assert stream.labels is not None
    assert stream.labels.tolist() == [0, 1, -1]
    assert [row.label for row in rows] == [0, 1, None]
    assert [row.features for row in rows] == [{"rms": 1.0}, {}, {"rms": 3.0}]
    assert [np.datetime64(row.timestamp.replace(tzinfo=None)) for row in rows] == list(
        stream.timestamps
    )
    assert any("no label" in note for note in notes)


def test_counted_rows_are_a_minute_apart_in_each_stream(write: Write) -> None:
    path = write("asset_id,rms\nA,1\nB,2\nA,3\n")
    form = FileFormat(time_unit="row")
    minutes = {s.asset_id: np.diff(s.timestamps) for s in load(path, form=form).streams}
    assert minutes["A"].tolist() == np.array([1], "timedelta64[m]").astype("O").tolist()
    assert len(minutes["B"]) == 0
    begin = [row.timestamp.minute for row in readings(path, form=form)]
    assert begin == [0, 0, 1]
    long = write("asset_id,rms\n" + f"A,{1:0160}\n" * 30_000)  # read in several pieces
    last = [row.timestamp for row in readings(long, form=form)]
    assert last[-1] - last[0] == timedelta(minutes=29_999)


def test_a_clock_set_back_at_night_is_noticed_with_its_row(write: Write) -> None:
    local = [f"2026-10-25T02:{minute:02}" for minute in range(0, 60, 10)]
    rows = "".join(f"A,{at},{i}\n" for i, at in enumerate([*local, *local]))
    data = load(write(f"asset_id,timestamp,rms\n{rows}"))
    (stream,) = data.streams
    steps = np.diff(stream.timestamps)
    assert (steps == np.timedelta64(10, "m")).all()
    assert any("goes back by an hour at row 7" in note for note in data.notes)


@pytest.mark.parametrize("order", [1, -1])
def test_hourly_local_times_of_the_night_of_the_change_keep_their_hour(
    write: Write, order: int
) -> None:
    hours = [f"2024-10-27T{hour:02}:00" for hour in (0, 1, 2, 2, 3, 4)]
    rows = [f"A,{at},{i}\n" for i, at in enumerate(hours)][::order]
    path = write("asset_id,timestamp,rms\n" + "".join(rows))
    plain, zoned = load(path), load(path, form=FileFormat(time_zone="Europe/Berlin"))
    for data in (plain, zoned):
        (stream,) = data.streams
        assert (np.diff(stream.timestamps) == np.timedelta64(1, "h")).all()
        assert stream.values[:, 0].tolist() == [0, 1, 2, 3, 4, 5]
    assert str(zoned.streams[0].timestamps[0]).startswith("2024-10-26T22:00")
    assert any("goes back by an hour" in note for note in plain.notes)
    by_row = readings(path, form=FileFormat(time_zone="Europe/Berlin"))
    assert len({reading.timestamp for reading in by_row}) == 6


def test_local_times_of_two_autumns_are_noted(write: Write) -> None:
    nights = [f"20{year}-10-27T02:{minute:02}" for year in (24, 25) for _ in "ab"
              for minute in range(0, 60, 10)]  # fmt: skip
    rows = "".join(f"A,{at},{i}\n" for i, at in enumerate(nights))
    data = load(write("asset_id,timestamp,rms\n" + rows))
    assert any("at row 7 and 1 times more: --time-zone NAME" in note for note in data.notes)


def test_times_without_an_offset_are_local_among_others(write: Write) -> None:
    rows = "A,2024-07-01T12:00:00+02:00,1\nA,2024-07-01T12:10:00,2\nA,2024-07-01T10:20Z,3\n"
    path = write("asset_id,timestamp,rms\n" + rows)
    data = load(path, form=FileFormat(time_zone="Europe/Berlin"))
    minutes = ["2024-07-01T10:00", "2024-07-01T10:10", "2024-07-01T10:20"]
    assert [str(at)[:16] for at in data.streams[0].timestamps] == minutes
    assert any("1 times have no offset, others have one: read in Europe/Berlin" in note
               for note in data.notes)  # fmt: skip
    by_row = readings(path, form=FileFormat(time_zone="Europe/Berlin"))
    assert [f"{row.timestamp:%H:%M}" for row in by_row] == ["10:00", "10:10", "10:20"]
    assert any("read in UTC (--time-zone" in note for note in load(path).notes)


def test_a_group_is_one_for_all_of_a_stream(write: Write) -> None:
    head = "asset_id,timestamp,rms,hall\nA,2026-01-01T00:00,1,north\nB,2026-01-01T00:00,1,south\n"
    data = load(write(head), group="hall")
    assert data.groups == {("A", None): "north", ("B", None): "south"}
    assert data.feature_names == ["rms"]
    with pytest.raises(DatasetError, match="'hall' changes within the stream A"):
        load(write(head + "A,2026-01-01T00:01,1,south\n"), group="hall")


def test_a_file_of_names_alone_is_refused(write: Write) -> None:
    with pytest.raises(DatasetError, match=r"plant\.csv: holds no rows"):
        load(write("asset_id,timestamp,rms\n"), ["rms"])


def test_a_clock_of_twelve_hours_is_refused_with_the_row(write: Write) -> None:
    hours = [f"2024-03-{15 + day}T{(hour - 1) % 12 + 1:02}:00" for day in range(3)
             for hour in range(24)]  # fmt: skip
    path = write(
        "asset_id,timestamp,rms\n" + "".join(f"A,{at},{i}\n" for i, at in enumerate(hours))
    )
    with pytest.raises(DatasetError, match=r"plant.csv: row 2: .* 12-hour clock .*--time-format"):
        load(path)
    with pytest.raises(DatasetError, match="12-hour clock"):
        list(readings(path))


def test_a_long_tail_of_empty_rows_is_left_out(tmp_path):
    rows = "".join(f"P{i % 2},2026-01-01T00:{i:02d}:00Z,{i}\n" for i in range(60))
    path = tmp_path / "tail.csv"
    path.write_text("asset_id,timestamp,a\n" + rows + ",,\n" * 45_000)
    assert [len(stream.timestamps) for stream in load(path).streams] == [30, 30]


@pytest.mark.parametrize("head", ["timestamp,f", "Date/Time,f", "f"])
def test_a_file_of_names_alone_is_said_to_hold_no_rows(tmp_path: Path, head: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"{head}\n")
    with pytest.raises(DatasetError, match=r"a\.csv: holds no rows"):
        load(path, asset="A")
    with pytest.raises(DatasetError, match=r"a\.csv: holds no rows"):
        next(readings(path, form=FileFormat(asset_id="A")))


def test_streamed_readings_say_what_a_whole_file_says_of_its_times(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    form = FileFormat(asset_id="A", time_unit="s")
    path.write_text("timestamp,f\n" + "".join(f"{i},{i % 7}\n" for i in range(200)))
    notes: list[str] = []
    list(readings(path, form=form, report=notes.append))
    assert any("200 times are before 1971" in note for note in notes)
    assert any("200 times are before 1971" in note for note in load(path, form=form).notes)
    minutes = [*range(0, 180, 5), *range(120, 300, 5)]  # three o'clock is two o'clock again
    rows = [f"2024-10-27 {m // 60:02d}:{m % 60:02d},{i % 7}\n" for i, m in enumerate(minutes)]
    for each in (rows, rows[::-1]):
        path.write_text("timestamp,f\n" + "".join(each))
        notes = []
        list(readings(path, form=FileFormat(asset_id="A"), report=notes.append))
        assert any("the clock goes back by an hour at row 3" in note for note in notes)
    notes = []
    form = FileFormat(asset_id="A", time_zone="Europe/Berlin")
    list(readings(path, form=form, report=notes.append))
    assert not any("goes back" in note for note in notes)
