"""A file's columns are given their roles: asset, label, feature, or none."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

import datasets
from datasets import FileFormat
from errors import DatasetError
from tests.unit.datasets.plant_files import START, Load, readings, table


def test_a_long_table_is_refused_with_what_helps(load: Load) -> None:
    text = "asset_id,timestamp,tag,value\n" + "".join(
        f"A,2026-01-01T00:{i:02d}:00Z,{tag},{i}\n" for i in range(20) for tag in ("p", "t")
    )
    with pytest.raises(
        DatasetError, match=r"'tag' \(p, t\) .*--columns sensor_id=tag.*--exclude tag"
    ):
        load(text)
    assert len(load(text, columns={"sensor_id": "tag"}).streams) == 2
    assert load(text, exclude="tag").feature_names == ["value"]


def test_a_column_that_appears_twice_can_be_left_out(load: Load) -> None:
    text = "asset_id,timestamp,f,g,g\nA,2026-01-01,1,2,3\n"
    with pytest.raises(DatasetError, match="'g' appears twice: --exclude 'g'"):
        load(text)
    assert load(text, exclude="g").feature_names == ["f"]


def test_text_and_times_are_no_features_and_that_is_said(load: Load) -> None:
    head = "asset_id,timestamp,state,received_at,f\n"
    data = load(head + "A,2026-01-01,RUN,2026-01-01 00:00:01,1\nA,2026-01-02,STOP,2026-01-02,2\n")
    assert data.feature_names == ["f"]
    assert "column 'state' holds no number (RUN, STOP): left out" in data.notes


def test_roles_can_be_named(load: Load) -> None:
    text = "Unit,Date/Time,Who,f,g\nT1,2026-01-01,0,1,2\nT1,2026-01-02,1,3,4\n"
    columns = {"asset_id": "Unit", "timestamp": "Date/Time"}
    data = load(text, columns=columns, label="Who", exclude="g")
    assert (data.feature_names, data.streams[0].asset_id) == (["f"], "T1")
    assert data.streams[0].labels.tolist() == [0, 1]  # type: ignore[union-attr]
    with pytest.raises(DatasetError, match="--exclude: column 'h' is missing; it has Unit"):
        load(text, columns=columns, exclude="f,h")


@pytest.mark.parametrize(
    "name", ["Timestamp", "datetime", "Date/Time", "Zeitstempel", "when it was"]
)
def test_the_one_column_of_times_is_found(load: Load, name: str) -> None:
    data = load(f"Asset ID,{name},f\nA,2026-01-01,1\n")
    assert data.streams[0].asset_id == "A"
    assert any(f"{name!r} is read as timestamp" in note for note in data.notes)


def test_an_asset_can_be_named_but_not_over_a_column(load: Load) -> None:
    assert load("timestamp,f\n2026-01-01,1\n", asset_id="T1").streams[0].asset_id == "T1"
    with pytest.raises(DatasetError, match="--asset-id is for files that have none"):
        load("asset_id,timestamp,f\nA,2026-01-01,1\n", asset_id="T1")


@pytest.mark.parametrize(
    "typed", ["Motor current, A", "Motor current, A,flow", '"Motor current, A",flow', "flow"]
)
def test_features_with_commas_can_be_named(load: Load, typed: str) -> None:
    text = 'asset_id,timestamp,"Motor current, A",flow\nA,2026-01-01,1,2\n'
    expected = [n for n in ("Motor current, A", "flow") if n in typed]
    assert load(text, features=typed).feature_names == expected


@pytest.mark.parametrize("name", ["", "Unnamed: 0", "index", "__index_level_0__", "row"])
def test_numbers_of_rows_are_no_feature(load: Load, name: str) -> None:
    lines = table(readings()).split("\r\n")[:-1]
    text = "\n".join(f"{i - 1 if i else name},{line}" for i, line in enumerate(lines))
    data = load(text)
    assert data.feature_names == ["vib", "temp", "flow"]
    assert any("numbers the rows: left out" in note for note in data.notes)


@pytest.mark.parametrize(
    ("labels", "expected", "noted"),
    [
        (["0", "1", "0"], [0, 1, 0], None),
        (["0.0", "1.0", "0.0"], [0, 1, 0], None),
        (["False", "True", "False"], [0, 1, 0], None),
        (["0", "4", "2"], [0, 1, 1], "graded labels: 0 is normal, 2, 4 are faults"),
        (["0", "", "1"], [0, -1, 1], "1 readings have no label"),
        (["1", "-1", "1"], [0, 1, 0], "the rarer one is the fault: -1"),
        (["-1", "1", "-1"], [0, 1, 0], "the rarer one is the fault: 1"),
        (["normal", "bearing", "Normal"], [0, 1, 0], "'bearing' taken as faults"),
        (["NORMAL", "?", "Attack"], [0, -1, 1], "have no label"),
        (["0", "-1", "1"], [0, -1, 1], "-1 unknown"),
        (["", "bearing", ""], [-1, 1, -1], "'bearing' taken as faults, nothing as normal"),
        (["a", "b", "c"], None, "not used, since none of its texts"),
        (["", "", ""], None, None),
    ],
)
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_no_label_keeps_a_file_out(
    load: Load, tmp_path: Path, labels: list[str], expected: list[int] | None, noted: str | None,
    suffix: str,
) -> None:  # fmt: skip
    if suffix == "csv":
        rows = [f"A,2026-01-0{i + 1},{i},{label}" for i, label in enumerate(labels)]
        data = load("\n".join(["asset_id,timestamp,f,label", *rows]))
    else:
        columns = {
            "asset_id": ["A"] * 3, "timestamp": [START + timedelta(days=i) for i in range(3)],
            "f": [0.0, 1, 2], "label": [label or None for label in labels],
        }  # fmt: skip
        pa.parquet.write_table(pa.table(columns), tmp_path / "x.parquet")
        data = datasets.load(tmp_path / "x.parquet")
    assert data.feature_names == ["f"]
    found = data.streams[0].labels
    assert (None if found is None else found.tolist()) == expected
    assert noted is None or any(noted in note for note in data.notes)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("name", "labels", "faults"),
    [
        ("anomaly", [1, -1], 100), ("Anomaly", [0, 2], 100), ("is_anomaly", ["no", "yes"], 100),
        ("anomaly", ["normal", "anomaly"], 100), ("is_fault", [0, 1], 100),
        ("Machine failure", [0, 1], 100), ("ground_truth", [False, True], 100),
    ],
)  # fmt: skip
def test_a_label_is_known_by_its_name_when_its_faults_come_late(
    tmp_path: Path, name: str, labels: list[Any], faults: int, suffix: str
) -> None:
    columns = {
        "asset_id": ["A"] * 900, "timestamp": list(range(900)),
        "f": [i / 8 for i in range(900)], name: [labels[0]] * 800 + [labels[1]] * 100,
    }  # fmt: skip
    write = pa.csv.write_csv if suffix == "csv" else pa.parquet.write_table
    write(pa.table(columns), tmp_path / f"x.{suffix}")
    form = FileFormat(time_unit="s")
    data = datasets.load(tmp_path / f"x.{suffix}", None, form)
    assert data.feature_names == ["f"]
    assert data.streams[0].labels is not None
    assert data.streams[0].labels.sum() == faults
    assert f"column {name!r} is read as label" in data.notes


def test_what_may_be_a_label_is_said_and_two_labels_are_none(load: Load) -> None:
    head = "asset_id,timestamp,f,fault,is_fault,anomaly\n"
    text = head + "".join(f"A,{i},{i / 8},{i // 90},{i // 90},{i // 80}\n" for i in range(100))
    data = load(text, time_unit="s")
    assert data.feature_names == ["f", "fault"]
    assert data.streams[0].labels is None
    assert any("'is_fault', 'anomaly': may each be the label, so left out" in n for n in data.notes)
    assert "column 'fault' is read as a feature: --label fault reads it as the label" in data.notes
    data = load(text, time_unit="s", label="anomaly", exclude="fault")
    assert data.feature_names == ["f"]
    assert load(text, time_unit="s", features="f,anomaly").feature_names == ["f", "anomaly"]


@pytest.mark.parametrize(
    ("words", "sure"),
    [
        ("NORMAL BROKEN RECOVERING", True), ("Normal Fault", True), ("Natural Attack", True),
        ("Healthy Degraded", True),
        ("NORMAL BROKEN IDLE", False), ("Good Fault", False), ("Running Alarm", False),
    ],
)  # fmt: skip
def test_texts_that_can_only_tell_faults_are_the_label_and_others_are_said(
    load: Load, words: str, sure: bool
) -> None:
    kinds = words.split()
    states = [kinds[max(0, (i - 900) // 50 + 1)] if i < 1000 else kinds[0] for i in range(950)]
    states[940:] = [kinds[-1]] * 10
    head = "asset_id,timestamp,f,machine_status"
    rows = [f"A,{i},{i / 8},{state}" for i, state in enumerate(states)]
    data = load("\n".join([head, *rows, ""]), time_unit="s")
    assert data.feature_names == ["f"]
    said = [note for note in data.notes if "'machine_status'" in note]
    if sure:
        assert said == [
            "column 'machine_status' is read as label (--exclude machine_status ignores it)"
        ]
        assert data.streams[0].labels is not None
        assert data.streams[0].labels.sum() == 50
    else:
        assert said[0].endswith("left out (--label machine_status reads it as the label)")
        assert data.streams[0].labels is None
    twice = "\n".join(
        [f"{head},other_status", *(f"{row},{row.split(',')[-1]}" for row in rows), ""]
    )
    assert load(twice, time_unit="s").streams[0].labels is None  # which of them?


def test_labels_row_by_row(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text(
        "asset_id,timestamp,f,label\nA,2026-01-01,1,0\nA,2026-01-02,1,3\nA,2026-01-03,1,\n"
    )
    notes: list[str] = []
    rows = list(datasets.readings(path, report=notes.append))
    assert [row.label for row in rows] == [0, 1, None]
    assert any("graded labels" in note for note in notes)


@pytest.mark.parametrize("normal", [1, -1])
def test_labels_row_by_row_are_those_of_the_whole_file(tmp_path: Path, normal: int) -> None:
    labels = [normal] * 30_000 + [-normal] * 1000
    path = tmp_path / "x.csv"
    path.write_text(
        "asset_id,timestamp,f,anomaly\n"
        + "".join(f"A,{1_767_225_600 + i},{i / 8},{label}\n" for i, label in enumerate(labels))
    )
    form = FileFormat(time_unit="s")
    whole = datasets.load(path, None, form).streams[0].labels
    assert whole is not None
    assert (whole.sum(), whole[-1]) == (1000, 1)
    assert [row.label for row in datasets.readings(path, form=form)] == whole.tolist()


@pytest.mark.parametrize(
    ("options", "option"),
    [
        ({"columns": {"timestamp": "day+hour"}, "exclude": "hour"}, "--columns timestamp"),
        ({"columns": {"asset_id": "unit"}, "exclude": "unit"}, "--columns asset_id"),
        ({"label": "f", "exclude": "f"}, "--label"),
        ({"pivot": "unit", "exclude": "unit"}, "--pivot"),
    ],
)
def test_a_column_left_out_has_no_role(load: Load, options: dict[str, Any], option: str) -> None:
    text = "unit,day,hour,f,g\nA,2026-01-01,1,1,2\nA,2026-01-01,2,3,4\n"
    with pytest.raises(DatasetError, match=f"is in {option} and in --exclude: name it in one"):
        load(text, **options)


def test_times_that_are_left_out_are_not_used(load: Load) -> None:
    text = "asset_id,timestamp,time,f\n" + "".join(
        f"A,2026-01-0{i},2020-01-0{i} 12:00,{i}\n" for i in range(1, 6)
    )
    data = load(text, exclude="timestamp")
    assert data.streams[0].timestamps[0] == np.datetime64("2020-01-01T12:00")
    alone = text.replace(",time,", ",day,").replace(" 12:00", "").replace("2020-01-0", "")
    with pytest.raises(DatasetError, match="--exclude leaves out column 'timestamp', and no other"):
        load(alone, exclude="timestamp")
    assert len(load(alone, exclude="timestamp", time_unit="row").streams[0].timestamps) == 5


def test_options_without_meaning_for_a_kind_of_file_are_named(load: Load, tmp_path: Path) -> None:
    notes = load(table(readings()), sheet="May").notes
    assert "--sheet means nothing for a text file: ignored" in notes
    pa.parquet.write_table(
        pa.table({"asset_id": ["A"] * 2, "timestamp": [START, START + timedelta(1)], "f": [1, 2]}),
        tmp_path / "x.parquet",
    )
    form = FileFormat(delimiter=";", sheet="May", header=False)
    parquet = datasets.load(tmp_path / "x.parquet", None, form)
    assert parquet.notes == [
        "--delimiter, --no-header, --sheet mean nothing for a Parquet file: ignored"
    ]


@pytest.mark.parametrize("name", ["epoch_ms", "Unix time", "ts"])
def test_a_column_that_counts_from_1970_beside_the_times_is_no_feature(
    load: Load, name: str
) -> None:
    rows = [(f"2026-01-01 {i:02d}:00:00", 1_767_225_600_000 + 3_600_000 * i, i) for i in range(24)]
    text = f"asset_id,Time,{name},f\n" + "".join(f"A,{a},{b},{c}\n" for a, b, c in rows)
    data = load(text)
    assert data.feature_names == ["f"]
    assert (
        f"column {name!r} counts from 1970 beside the times: left out (--features chooses)"
        in data.notes
    )
    assert load(text, features=[name, "f"]).feature_names == [name, "f"]


@pytest.mark.parametrize(
    ("name", "cells", "told"),
    [
        ("status_type_id", "0 3 4 5", True), ("ProductType", "1.0 2.0", True),
        ("Cluster", "0 1 2", True), ("class", "0 1", False),  # a label, perhaps: another note
        ("humid", "40 41 42", False), ("prototype", "1 2", False), ("type_k", "20 21", False),
        ("coolant_id", "20.5 21.5", False), ("valve_id", "7", False), ("status", "0 1", False),
    ],
)  # fmt: skip
def test_features_that_may_be_codes_are_named(
    load: Load, name: str, cells: str, told: bool
) -> None:
    values = cells.split()
    rows = (f"A,2026-01-01 00:{i:02d},{i / 8},{values[i % len(values)]}\n" for i in range(60))
    data = load(f"asset_id,timestamp,f,{name}\n{''.join(rows)}")
    assert data.feature_names == ["f", name]
    note = f"column {name!r} is read as a feature: if its numbers are codes (ids, kinds), --exclude"
    assert any(each.startswith(note) for each in data.notes) == told


def test_whole_numbers_that_hardly_return_are_no_codes(load: Load) -> None:
    rows = (f"A,2026-01-01 00:{i:02d},{i / 8},{i}\n" for i in range(15))
    data = load(f"asset_id,timestamp,f,part_id\n{''.join(rows)}")
    assert not any("codes" in note for note in data.notes)
