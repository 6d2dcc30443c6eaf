"""Data sets: streamed, split into streams, and refused by name."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

import datasets
from errors import DatasetError

CSV = """asset_id,sensor_id,timestamp,rms,kurtosis,label
A,S1,2026-01-01T00:00:01Z,1.5,3,0
B,,2026-01-01T00:00:00Z,2.5,,1
A,S1,2026-01-01T00:00:00Z,0.5,2,0
"""


@pytest.fixture
def csv(tmp_path):
    def write(text: str, name: str = "data.csv"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def test_load_splits_streams_and_sorts_them_by_time(csv):
    data = datasets.load(csv(CSV))
    assert data.feature_names == ["rms", "kurtosis"]
    assert [(s.asset_id, s.sensor_id) for s in data.streams] == [("A", "S1"), ("B", None)]
    first, second = data.streams
    assert first.values.tolist() == [[0.5, 2.0], [1.5, 3.0]]
    assert first.timestamps.dtype == np.dtype("datetime64[us]")
    assert np.isnan(second.values[0, 1])
    assert second.labels is not None
    assert second.labels.tolist() == [1]


def test_readings_keep_file_order_and_leave_out_empty_cells(csv):
    rows = list(datasets.readings(csv(CSV)))
    assert [row.asset_id for row in rows] == ["A", "B", "A"]
    assert rows[1].features == {"rms": 2.5}
    assert rows[0].timestamp == datetime(2026, 1, 1, 0, 0, 1, tzinfo=UTC)


@pytest.mark.parametrize("name", ["out.csv", "out.parquet"])
def test_save_and_load_round_trip(csv, tmp_path, name):
    data = datasets.load(csv(CSV))
    datasets.save(tmp_path / name, data)
    again = datasets.load(tmp_path / name)
    assert again.feature_names == data.feature_names
    for one, other in zip(data.streams, again.streams, strict=True):
        assert (one.asset_id, one.sensor_id) == (other.asset_id, other.sensor_id)
        np.testing.assert_array_equal(one.timestamps, other.timestamps)
        np.testing.assert_array_equal(one.values, other.values)
        np.testing.assert_array_equal(one.labels, other.labels)


def test_save_keeps_fractions_of_a_second(csv, tmp_path):
    data = datasets.load(csv("asset_id,timestamp,f\nA,2026-01-01T00:00:00.250125,1\n"))
    datasets.save(tmp_path / "x.csv", data)
    again = datasets.load(tmp_path / "x.csv")
    assert again.streams[0].timestamps[0] == np.datetime64("2026-01-01T00:00:00.250125")


def test_times_of_several_forms_in_one_file(csv):
    text = "asset_id;timestamp;f\nA;2026-01-01 00:00:00;1\nA;2026-01-01T02:00:00+01:00;2\n"
    times = datasets.load(csv(text)).streams[0].timestamps
    assert times.tolist() == [datetime(2026, 1, 1), datetime(2026, 1, 1, 1)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("timestamp,f\n2026-01-01,1\n", "'asset_id' is missing"),
        ("asset_id,f\nA,1\n", "'timestamp' is missing"),
        ("asset_id,timestamp\nA,2026-01-01\n", "no feature"),
        ("asset_id,timestamp,f,f\nA,2026-01-01,1,2\n", "'f' appears twice"),
        ("asset_id,timestamp,f\nA,yesterday at noon,1\n", "row 1: timestamp"),
        (
            "asset_id,timestamp,f\xb2\nA,2026-01-01,1\nA,2026-01-02,high\n",
            "row 2: column 'f\xb2' holds 'high', not a number: --null 'high'.*--exclude",
        ),
        (",asset_id,timestamp,f\nx,A,2026-01-01,1\n", "column 1 has no name.*--exclude '\"\"'"),
        ("asset_id,timestamp,f\nA,2026-01-01,inf\n", "row 1: f is not finite"),
        ("asset_id,timestamp,f\nA,2026-01-01,1\n,2026-01-01,1\n", "row 2: asset_id is empty"),
        ("asset_id,timestamp,f\n", "no rows"),
        ("", "empty"),
    ],
)
def test_bad_file_is_refused_by_name(csv, text, message):
    with pytest.raises(DatasetError, match=message):
        datasets.load(csv(text))


def test_wanted_feature_missing_is_named(csv):
    with pytest.raises(DatasetError, match="'crest' is missing") as caught:
        datasets.load(csv(CSV), ["rms", "crest"])
    assert caught.value.field == "crest"


def test_wanted_features_fix_the_order(csv):
    data = datasets.load(csv(CSV), ["kurtosis", "rms"])
    assert data.streams[0].values[0].tolist() == [2.0, 0.5]


def test_file_that_is_not_there_or_of_another_kind(tmp_path):
    with pytest.raises(DatasetError, match=r"nothing\.csv"):
        datasets.load(tmp_path / "nothing.csv")
    (tmp_path / "data.docx").write_bytes(b"\x00\x01\x02" * 99)
    with pytest.raises(DatasetError, match=r"data\.docx: has the suffix of no known format"):
        datasets.load(tmp_path / "data.docx")
    (tmp_path / "bad.parquet").write_bytes(b"no parquet at all")
    with pytest.raises(DatasetError, match=r"bad\.parquet"):
        datasets.load(tmp_path / "bad.parquet")


def parquet(path, **columns):
    columns = {"timestamp": pa.array(["2026-01-01"] * len(next(iter(columns.values())))), **columns}
    pa.parquet.write_table(
        pa.table({**columns, "f": pa.array([1.0] * len(columns["asset_id"]))}), path
    )
    return path


@pytest.mark.parametrize("kind", [pa.float64(), pa.float32()])
def test_ids_that_pandas_made_floats_of_are_the_whole_numbers_they_were(tmp_path, kind):
    ids = pa.array([7, 12, 100000], pa.float64()).cast(kind)
    sensors = pa.array([1.0, None, float("nan")], pa.float64())
    rows = list(datasets.readings(parquet(tmp_path / "x.parquet", asset_id=ids, sensor_id=sensors)))
    assert [(r.asset_id, r.sensor_id) for r in rows] == [("7", "1"), ("12", None), ("100000", None)]


@pytest.mark.parametrize("number", [7.5, 2.0**53 + 2, 1e20, float("inf")])
def test_a_float_that_is_no_exact_id_is_refused_by_row(tmp_path, number):
    path = parquet(tmp_path / "x.parquet", asset_id=pa.array([1.0, number]))
    with pytest.raises(DatasetError, match=r"row 2: asset_id .* write ids as text"):
        datasets.load(path)


def test_an_asset_that_only_the_first_of_its_rows_names_is_refused_by_row(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("asset_id,timestamp,f\nA,2026-01-01,1.5\n" + ",2026-01-02,2\n" * 9)
    with pytest.raises(DatasetError, match=r"row 2: asset_id is empty: each row must name it"):
        datasets.load(path)


def test_an_absent_asset_among_float_ids_is_refused_by_row(tmp_path):
    path = parquet(tmp_path / "x.parquet", asset_id=pa.array([1.0, None]))
    with pytest.raises(DatasetError, match=r"row 2: asset_id: is missing"):
        datasets.load(path)
