"""Tables whose channels have times of their own, as trend exports have, are joined by time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import datasets
from datasets import FileFormat
from errors import DatasetError
from tests.unit.datasets.plant_files import Load
from tests.unit.datasets.workbooks.workbook_files import workbook

START = datetime(2026, 3, 2, 6)
ISO = "%Y-%m-%d %H:%M:%S"
POINTS = "%d.%m.%Y %H:%M:%S"
REPEATED = ["Time", "Temp", "Time", "Flow"]
Values = list[tuple[datetime, float]]


def channel(n: int, step_s: float, late_s: float = 0, mean: float = 50) -> Values:
    values = np.random.default_rng(n).normal(mean, 1, n).round(2).tolist()
    return [(START + timedelta(seconds=late_s + step_s * i), v) for i, v in enumerate(values)]


TEMP = channel(60, 10)
FLOW = channel(20, 30, 3, 5)


def trend(
    names: Sequence[str], *channels: Values, stamp: str | Sequence[str] = ISO, sep: str = ",",
    decimal: str = ".", above: str = "", below: str = "",
) -> str:  # fmt: skip
    """A trend export: the channels side by side, the cells of those that end earlier empty."""
    stamps = [stamp] * len(channels) if isinstance(stamp, str) else stamp
    lines = [sep.join(names)]
    for i in range(max(map(len, channels))):
        cells: list[str] = []
        for values, form in zip(channels, stamps, strict=True):
            moment, value = values[i] if i < len(values) else (None, "")
            cells += ["" if moment is None else f"{moment:{form}}"]
            cells += [str(value).replace(".", decimal)]
        lines.append(sep.join(cells))
    return above + "\r\n".join([lines[0], *below.splitlines(), *lines[1:]]) + "\r\n"


def check(data: datasets.Dataset, names: Sequence[str], *channels: Values) -> None:
    """The first channel gives the times; each value counts from half its interval before."""
    assert data.feature_names == list(names)
    (stream,) = data.streams
    assert stream.timestamps.tolist() == [moment for moment, _ in channels[0]]
    assert stream.rows is not None
    assert stream.rows.tolist() == list(range(1, len(channels[0]) + 1))
    assert stream.values[:, 0].tolist() == [value for _, value in channels[0]]
    for number, values in enumerate(channels[1:], start=1):
        assert stream.values[0, number] == values[0][1]
        here = stream.values[:, number]
        assert {v for v in here.tolist() if v == v} == {value for _, value in values}


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (REPEATED, ["Temp", "Flow"]),
        (["Time", "Temp", "Time.1", "Flow"], ["Temp", "Flow"]),
        (["Time 1", "Temp", "Time 2", "Flow"], ["Temp", "Flow"]),
        (["Zeit", "Temp", "Zeit", "Flow"], ["Temp", "Flow"]),
        (["timestamp", "temp", "timestamp", "flow"], ["temp", "flow"]),
        (["P1.Temp Time", "P1.Temp ValueY", "P1.Flow Time", "P1.Flow ValueY"],
         ["P1.Temp", "P1.Flow"]),
        (["Temp_Timestamp", "Temp_Value", "Flow_Timestamp", "Flow_Value"], ["Temp", "Flow"]),
        (["Timestamp (Temp)", "Temp", "Timestamp (Flow)", "Flow"], ["Temp", "Flow"]),
        (["Temp Time", "Temp (°C)", "Flow Time", "Flow [m3/h]"], ["Temp (°C)", "Flow [m3/h]"]),
        (["Time (UTC)", "Temp", "Time (UTC)", "Flow"], ["Temp", "Flow"]),
        (["TempTime", "Temp", "FlowTime", "Flow"], ["Temp", "Flow"]),
        (["G1/Time", "G1/Temp", "G2/Time", "G2/Flow"], ["G1/Temp", "G2/Flow"]),
        (["TI101.PV", "", "FI102.PV", ""], ["TI101.PV", "FI102.PV"]),
        (["", "TI101.PV", "", "FI102.PV"], ["TI101.PV", "FI102.PV"]),
    ],
)  # fmt: skip
def test_channels_are_told_by_their_names(
    load: Load, names: Sequence[str], found: Sequence[str]
) -> None:
    data = load(trend(names, TEMP, FLOW), asset_id="P1")
    check(data, found, TEMP, FLOW)
    assert any("read as the times of the columns after it" in note for note in data.notes)


def test_the_replay_reads_the_same(tmp_path: Path) -> None:
    path = tmp_path / "trend.csv"
    path.write_text(trend(REPEATED, TEMP, FLOW))
    notes: list[str] = []
    form = FileFormat(asset_id="P1")
    found = list(datasets.readings(path, None, form, report=notes.append))
    data = datasets.load_files([path], None, form)
    assert notes == data.notes
    assert [list(reading.features.values()) for reading in found] == [
        [value for value in row if value == value] for row in data.streams[0].values.tolist()
    ]


def test_titles_units_decimal_commas_and_a_code_page(load: Load) -> None:
    text = trend(
        ["Time", "Öl °C", "Time", "Flow"], TEMP, FLOW, stamp=POINTS, sep=";", decimal=",",
        above="Trend of plant 7\r\n\r\n", below=";°C;;m3/h",
    )  # fmt: skip
    data = load(text.encode("cp1252"), asset_id="P1")
    check(data, ["Öl °C", "Flow"], TEMP, FLOW)
    assert data.units == {"Öl °C": ["°C"], "Flow": ["m3/h"]}


def test_the_names_of_channels_may_stand_in_a_line_above(load: Load) -> None:
    names = ["Time", "Value", "Time", "Value"]
    data = load(trend(names, TEMP, FLOW, above="Temp,,Flow,\r\n"), asset_id="P1")
    check(data, ["Temp", "Flow"], TEMP, FLOW)
    with pytest.raises(DatasetError, match="2 columns of values are called 'Value'"):
        load(trend(names, TEMP, FLOW), asset_id="P1")


def test_each_channel_has_its_own_format_of_time(load: Load) -> None:
    check(load(trend(REPEATED, TEMP, FLOW, stamp=[POINTS, ISO]), asset_id="P1"),
          ["Temp", "Flow"], TEMP, FLOW)  # fmt: skip


def test_a_channel_that_alone_does_not_tell_day_from_month_is_read_as_another(load: Load) -> None:
    hours = channel(300, 3600)
    lab = channel(3, 3 * 86_400, 0, 5)
    data = load(trend(REPEATED, hours, lab, stamp="%d/%m/%Y %H:%M"), asset_id="P1")
    check(data, ["Temp", "Flow"], hours, lab)
    assert "the times of Flow are read as those of Temp: %d/%m/%Y %H:%M" in data.notes
    one_day = trend(REPEATED, TEMP, FLOW, stamp="%d/%m/%Y %H:%M:%S")
    with pytest.raises(DatasetError, match=r"Temp: times such as .* --time-format chooses one"):
        load(one_day, asset_id="P1")
    check(load(one_day, asset_id="P1", time_format="%d/%m/%Y %H:%M:%S"),
          ["Temp", "Flow"], TEMP, FLOW)  # fmt: skip


def test_channels_must_agree_on_day_and_month(load: Load) -> None:
    text = trend(
        REPEATED, channel(300, 7200), channel(300, 7200), stamp=["%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M"]
    )
    with pytest.raises(DatasetError, match="with day and month exchanged"):
        load(text, asset_id="P1")


def test_an_empty_channel_is_left_out(load: Load) -> None:
    names = ["Temp Time", "Temp", "Vib Time", "Vib", "Flow Time", "Flow"]
    data = load(trend(names, TEMP, [], FLOW), asset_id="P1")
    check(data, ["Temp", "Flow"], TEMP, FLOW)
    assert "Vib Time: no value in the columns after it: left out" in data.notes


def test_several_values_qualities_and_empty_columns(load: Load) -> None:
    lines = ["No,G1/Time,G1/Temp,G1/Temp Quality,,G2/Time,G2/Flow,G2/Vib,"]
    for i in range(60):
        moment = f"{START + timedelta(seconds=i)}"
        quality = "Bad" if i == 7 else "Good"
        lines.append(f"{i + 1},{moment},{50 + i % 7},{quality},,{moment},{i % 5},{i % 3},")
    data = load("\n".join(lines), asset_id="P1")
    assert data.feature_names == ["G1/Temp", "G2/Flow", "G2/Vib"]
    assert np.argwhere(np.isnan(data.streams[0].values)).tolist() == [[7, 0]]


def test_a_value_without_a_time_is_named_with_its_channel_and_row(load: Load) -> None:
    lines = trend(REPEATED, channel(300, 1), channel(300, 1, 0, 5)).splitlines()
    *cells, value = lines[8].split(",")
    lines[8] = ",".join([*cells[:2], "", value])
    data = load("\n".join(lines), asset_id="P1")
    assert any(
        note.startswith("Flow: rows left out") and "row 8: timestamp is empty" in note
        for note in data.notes
    )


def test_date_and_time_of_day_of_each_channel_are_joined(load: Load) -> None:
    names = ["Date,Time", "Temp", "Date,Time", "Flow"]
    data = load(trend(names, TEMP, TEMP, stamp="%d.%m.%Y,%H:%M:%S"), asset_id="P1")
    check(data, ["Temp", "Flow"], TEMP, TEMP)


def test_the_newest_rows_may_come_first(load: Load) -> None:
    data = load(trend(REPEATED, TEMP[::-1], FLOW[::-1]), asset_id="P1")
    stream = data.streams[0]
    assert stream.values[:, 0].tolist() == [value for _, value in TEMP]
    assert stream.rows is not None
    assert stream.rows[0] == len(TEMP)


def test_seconds_since_the_start_need_their_unit(load: Load) -> None:
    lines = [f"{i / 10},{50 + i % 7},{i / 5 if i < 30 else ''},{i % 4 if i < 30 else ''}"
             for i in range(60)]  # fmt: skip
    for names in ("Time,Temp,Time,Flow", "X_Value,Temp,X_Value,Flow"):
        data = load("\n".join([names, *lines]), asset_id="P1", time_unit="s")
        assert data.feature_names == ["Temp", "Flow"]
        steps = np.diff(data.streams[0].timestamps)
        assert set(steps.tolist()) == {timedelta(milliseconds=100)}
        assert not np.isnan(data.streams[0].values).any()
    with pytest.raises(DatasetError, match="--time-unit s alone, if each"):
        load("\n".join(["Time,Temp,Time,Flow", *lines]), asset_id="P1")


def test_the_caller_may_name_the_times_of_all_channels(load: Load) -> None:
    text = trend(["Moment A", "Temp", "Instant B", "Flow"], TEMP, FLOW)
    with pytest.raises(DatasetError, match=r'timestamp="Moment A\+Instant B" reads each'):
        load(text, asset_id="P1")
    both = {"timestamp": "Moment A+Instant B"}
    check(load(text, asset_id="P1", columns=both), ["Temp", "Flow"], TEMP, FLOW)
    head, *lines = text.splitlines()
    text = "\n".join([f"Heat,{head}", *(f"{700 + i},{line}" for i, line in enumerate(lines))])
    with pytest.raises(DatasetError, match="no other may stand before the first"):
        load(text, asset_id="P1", columns=both)
    check(load(text, asset_id="P1", columns=both, exclude="Heat"), ["Temp", "Flow"], TEMP, FLOW)


def test_options_choose_columns(load: Load) -> None:
    names = ["Temp Time", "Temp", "Vib Time", "Vib", "Flow Time", "Flow"]
    text = trend(names, TEMP, TEMP, FLOW)
    check(load(text, asset_id="P1", exclude="Vib Time,Vib"), ["Temp", "Flow"], TEMP, FLOW)
    check(load(text, asset_id="P1", exclude="Vib"), ["Temp", "Flow"], TEMP, FLOW)
    assert load(text, asset_id="P1", features="Flow").feature_names == ["Flow"]
    with pytest.raises(DatasetError, match="did you mean 'Flow'"):
        load(text, asset_id="P1", features="flow")
    one = load(text, asset_id="P1", columns={"timestamp": "Temp Time"})
    assert one.feature_names == ["Temp", "Vib", "Flow"]
    assert one.streams[0].values[:20, 2].tolist() == [value for _, value in FLOW]


def test_labels_are_those_of_their_channel(load: Load) -> None:
    lines = ["Time,Temp,label,Time,Flow"]
    for i in range(60):
        moment = f"{START + timedelta(seconds=i)}"
        lines.append(f"{moment},{50 + i % 7},{int(i > 50)},{moment},{i % 5}")
    for options in ({}, {"label": "label"}):
        data = load("\n".join(lines), asset_id="P1", **options)
        assert data.feature_names == ["Temp", "Flow"]
        assert data.streams[0].labels is not None
        assert data.streams[0].labels.tolist() == [int(i > 50) for i in range(60)]
    with pytest.raises(DatasetError, match="column 'labl' is missing"):
        load("\n".join(lines), asset_id="P1", label="labl")


def test_the_asset_must_be_named(load: Load) -> None:
    with pytest.raises(DatasetError, match="no column names the asset of its channels"):
        load(trend(REPEATED, TEMP, FLOW))


def test_no_column_can_name_groups(tmp_path: Path) -> None:
    path = tmp_path / "P1.csv"
    path.write_text(trend(REPEATED, TEMP, FLOW))
    with pytest.raises(DatasetError, match="cannot name groups"):
        datasets.load(path, form=FileFormat(asset_id="P1"), group="Temp")


def test_workbooks_parquet_and_json(load: Load, tmp_path: Path) -> None:
    rows = [REPEATED] + [
        [*one, *other] for one, other in zip(TEMP, FLOW + [(None, None)] * 40, strict=True)
    ]
    path = workbook(tmp_path / "trend.xlsx", {"Trend": rows})
    check(datasets.load_files([path], None, FileFormat(asset_id="P1")), ["Temp", "Flow"],
          TEMP, FLOW)  # fmt: skip
    frame = pd.DataFrame(rows[1:], columns=["Temp Time", "Temp", "Flow Time", "Flow"])
    check(load(frame, "parquet", asset_id="P1"), ["Temp", "Flow"], TEMP, FLOW)
    lines = frame.to_json(orient="records", lines=True, date_format="iso")
    check(load(lines, "jsonl", asset_id="P1"), ["Temp", "Flow"], TEMP, FLOW)


@pytest.mark.parametrize(
    "names",
    [
        ["Start Time", "Start Value", "End Time", "End Value"],
        ["created_at", "temp", "updated_at", "flow"],
        ["Planned Time", "Planned Temp", "Actual Time", "Actual Temp"],
        ["Server Timestamp", "Server Value", "Source Timestamp", "Source Value"],
        ["Tap Time", "Tap Temp", "Cast Time", "Cast Temp"],
        ["tap.time", "tap.temp", "cast.time", "cast.temp"],
        ["Kommt Zeit", "Kommt Wert", "Geht Zeit", "Geht Wert"],
        ["Time (UTC)", "Temp", "Time (CET)", "Flow"],
        ["Start Time 1", "Temp", "Start Time 2", "Flow"],
    ],
)
def test_two_times_of_one_row_are_no_channels(load: Load, names: Sequence[str]) -> None:
    text = trend(names, TEMP, TEMP)
    with pytest.raises(DatasetError, match="may be it: --columns timestamp=COLUMN chooses"):
        load(text, asset_id="P1")
    data = load(text, asset_id="P1", columns={"timestamp": names[0]})
    assert data.feature_names == [names[1], names[3]]


def test_the_time_of_an_event_beside_that_of_the_reading_is_none_of_a_channel(load: Load) -> None:
    for names in (["timestamp", "temp", "event_time", "event_code"],
                  ["Time", "Temp", "Alarm Time", "Alarm"]):  # fmt: skip
        data = load(trend(names, TEMP, TEMP), asset_id="P1")
        assert data.feature_names == [names[1], names[3]]
        assert any(f"{names[2]!r} holds no number" in note for note in data.notes)
    lines = ["Date,Max,Max Time,Min,Min Time"]
    lines += [f"2026-01-{d:02d},{50 + d},2026-01-{d:02d} 03:00,{d},2026-01-{d:02d} 09:00"
              for d in range(1, 31)]  # fmt: skip
    with pytest.raises(DatasetError, match="each of 'Date', 'Max Time', 'Min Time' may be it"):
        load("\n".join(lines), asset_id="P1")


def test_times_that_do_not_run_on_are_no_channels(load: Load) -> None:
    def mixed(step: int) -> Values:
        return [TEMP[(i * step) % 60] for i in range(60)]

    text = trend(["Time 1", "Reading 1", "Time 2", "Reading 2"], mixed(7), mixed(13))
    with pytest.raises(DatasetError, match="Reading 1: its times do not follow one another"):
        load(text, asset_id="P1")


def test_a_table_with_assets_has_no_channels(load: Load) -> None:
    text = trend(REPEATED, TEMP, FLOW).replace("Time,Temp", "asset_id,Time,Temp", 1)
    head, *lines = text.splitlines()
    text = "\n".join([head, *(f"P1,{line}" for line in lines)])
    with pytest.raises(DatasetError, match="each of 'Time', 'Time' may be it"):
        load(text)
    check(load(text, asset_id="P1", exclude="asset_id"), ["Temp", "Flow"], TEMP, FLOW)


def test_channels_of_several_machines_are_refused(load: Load, tmp_path: Path) -> None:
    lines = ["Time,machine,Temp,Unit,Time,machine,Flow,Unit"]
    lines += [f"{moment},M1,{value},°C,{moment},M2,{value / 9:.2f},m3/h" for moment, value in TEMP]
    assert load("\n".join(lines), asset_id="P1").feature_names == ["Temp", "Flow"]
    with pytest.raises(DatasetError, match=r"'machine' .* may name several assets \(M1, M2\)"):
        datasets.load(tmp_path / "plant.csv", asset="plant")
    (tmp_path / "plant.csv").write_text("\n".join(lines).replace("M2", "M1"))
    assert datasets.load(tmp_path / "plant.csv", asset="plant").streams[0].asset_id == "plant"


def test_repeated_names_of_other_columns_are_refused_as_before(load: Load) -> None:
    lines = [f"{moment},{value},{value}" for moment, value in TEMP]
    with pytest.raises(DatasetError, match="column 'Temp' appears twice"):
        load("\n".join(["Time,Temp,Temp", *lines]), asset_id="P1")
    data = load("\n".join(["Time,Temp,Temp.1", *lines]), asset_id="P1")
    assert data.feature_names == ["Temp", "Temp.1"]
