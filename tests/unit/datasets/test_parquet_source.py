"""Parquet files are read as the same text would be."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet
import pytest

import datasets
from datasets import FileFormat
from errors import DatasetError
from tests.unit.datasets.plant_files import START


def test_texts_of_a_parquet_file_are_read_as_those_of_a_csv(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    good = {
        "asset_id": pa.array(["A", "A"], pa.string_view()),
        "timestamp": pa.array(["2026-01-01", "2026-01-02"], pa.string_view()),
        "f": ["1,25", "2,5"],
    }
    pa.parquet.write_table(pa.table(good), path)
    assert datasets.load(path).streams[0].values[:, 0].tolist() == [1.25, 2.5]
    for column in ("asset_id", "timestamp"):
        pa.parquet.write_table(pa.table({**good, column: [{"x": "A"}, {"x": "A"}]}), path)
        with pytest.raises(DatasetError, match=rf"x\.parquet: column '{column}' holds struct"):
            datasets.load(path)


def test_a_files_content_decides_whatever_its_name_is(tmp_path: Path) -> None:
    table = pa.table({"asset_id": ["A"], "timestamp": ["2026-01-01"], "f": [1.25]})
    path = tmp_path / "x.csv"
    pa.parquet.write_table(table, path)
    assert datasets.load(path).streams[0].values.tolist() == [[1.25]]
    pa.feather.write_feather(table, path)
    with pytest.raises(DatasetError, match=r"x\.csv: is an Arrow \(Feather\) file, despite its"):
        datasets.load(path)


@pytest.mark.parametrize("label", [[1, 2], {"x": 1}, b"\xff"])
def test_a_label_that_is_a_list_or_a_structure_is_left_out(tmp_path: Path, label: Any) -> None:
    path = tmp_path / "x.parquet"
    columns = {"asset_id": ["A"] * 2, "timestamp": ["2026-01-01", "2026-01-02"], "f": [1.0, 2.0]}
    pa.parquet.write_table(pa.table({**columns, "label": [label, None]}), path)
    data = datasets.load(path)
    assert (data.feature_names, data.streams[0].labels) == (["f"], None)
    assert any("column 'label' holds no number" in note for note in data.notes)
    with pytest.raises(DatasetError, match="column 'label' holds"):
        datasets.load(path, None, FileFormat(label="label"))


@pytest.mark.parametrize(
    "kind", [pa.binary(), pa.large_binary(), pa.binary(2), pa.dictionary(pa.int8(), pa.binary())]
)
def test_bytes_of_a_parquet_file_are_text_if_they_are_utf8(tmp_path: Path, kind: Any) -> None:
    path = tmp_path / "x.parquet"

    def write(asset: bytes) -> None:
        columns = {
            "asset_id": pa.array([asset] * 2).cast(kind),
            "timestamp": ["2026-01-01", "2026-01-02"],
            "f": [b"1.5", b"2.5"],
        }
        pa.parquet.write_table(pa.table(columns), path)

    write(b"P1")
    data = datasets.load(path)
    assert data.streams[0].asset_id == "P1"
    assert data.streams[0].values.tolist() == [[1.5], [2.5]]
    write(b"\xff\xfe")
    with pytest.raises(DatasetError, match=r"'asset_id' holds bytes that are not UTF-8"):
        datasets.load(path)


def test_decimal_commas_in_a_text_of_a_parquet_file_leave_its_numbers_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    columns = {
        "asset_id": ["A"] * 3, "timestamp": ["2026-01-01", "2026-01-02", "2026-01-03"],
        "f": [1.5, 2.25, 1.013], "g": ["1,5", "2,25", "1,125"],
    }  # fmt: skip
    pa.parquet.write_table(pa.table(columns), path)
    data = datasets.load(path)
    assert data.feature_names == ["f", "g"]
    assert data.streams[0].values.tolist() == [[1.5, 1.5], [2.25, 2.25], [1.013, 1.125]]


def test_dates_and_times_of_day_of_a_parquet_file_are_joined(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pa.parquet.write_table(
        pa.table({"asset_id": ["A"], "Date": pa.array([START.date()]),
                  "Time": pa.array([34_200], pa.time32("s")), "f": [1.0]}), path
    )  # fmt: skip
    assert datasets.load(path).streams[0].timestamps.tolist() == [datetime(2026, 1, 1, 9, 30)]


def test_parquet_columns_are_read_as_the_same_csv_would_be(tmp_path: Path) -> None:
    n = 5
    columns = pa.table(
        {
            "asset_id": pa.array(["A"] * n).dictionary_encode(),
            "timestamp": pa.array([START + timedelta(minutes=i) for i in range(n)]),
            "running": [False, True, True, None, True],
            "spare": pa.nulls(n),
            "energy": [2**53 + 1 + i for i in range(n)],
            "text": ["1.5", "2", None, "Bad", "3"],
            "__index_level_0__": list(range(n)),
        }
    )
    pa.parquet.write_table(columns, tmp_path / "x.parquet")
    pa.csv.write_csv(columns, tmp_path / "x.csv")
    one, other = (datasets.load(tmp_path / name) for name in ("x.parquet", "x.csv"))
    assert one.feature_names == other.feature_names == ["running", "spare", "energy", "text"]
    np.testing.assert_array_equal(one.streams[0].values, other.streams[0].values)
    assert any("beyond 2^53" in note for note in one.notes)


def test_the_least_of_all_times_is_no_time(tmp_path: Path) -> None:
    micros = [1_767_225_600_000_000 + i * 60_000_000 for i in range(400)]
    micros[3] = -(2**63)
    times = pa.array(micros, pa.timestamp("us"))
    table = pa.table({"asset_id": ["P1"] * 400, "timestamp": times, "a": [1.5] * 400})
    pyarrow.parquet.write_table(table, tmp_path / "x.parquet")
    data = datasets.load(tmp_path / "x.parquet")
    assert not np.isnat(data.streams[0].timestamps).any()
    assert any("row 4: timestamp is not between the years" in note for note in data.notes)
