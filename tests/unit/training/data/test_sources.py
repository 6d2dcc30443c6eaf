"""Training data by name: files, globs, a matrix, the simulated plant."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from datasets import FileFormat, Stream
from errors import DatasetError, TrainingError
from models.fitting.options import FitOptions
from training.data.sources import TrainingData, load_data, with_clock, with_known_features

HEADER = "asset_id,sensor_id,timestamp,rms,temp"


def write(path: Path, *rows: str, header: str = HEADER) -> Path:
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_a_glob_joins_a_stream_that_goes_on_in_another_file(tmp_path: Path) -> None:
    write(tmp_path / "b.csv", "P,S,2026-01-02T00:00:00Z,3,4")
    write(tmp_path / "a.csv", "P,S,2026-01-01T00:00:00Z,1,2", "Q,,2026-01-01T00:00:00Z,5,6")
    data = load_data(str(tmp_path / "*.csv"))
    assert [(s.asset_id, s.sensor_id) for s in data.streams] == [("P", "S"), ("Q", None)]
    assert data.streams[0].values.tolist() == [[1, 2], [3, 4]]
    assert data.rows == 3


def test_files_with_columns_in_another_order_are_aligned(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", "P,S,2026-01-01T00:00:00Z,1,2")
    write(
        tmp_path / "b.csv",
        "P,S,2026-01-02T00:00:00Z,4,3",
        header="asset_id,sensor_id,timestamp,temp,rms",
    )
    data = load_data(str(tmp_path / "*.csv"))
    assert data.streams[0].values.tolist() == [[1, 2], [3, 4]]


def test_a_feature_that_a_file_lacks_is_missing_there_and_that_is_said(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", "P,S,2026-01-01T00:00:00Z,1,2")
    write(
        tmp_path / "b.csv",
        "P,S,2026-01-02T00:00:00Z,3,4",
        header="asset_id,sensor_id,timestamp,rms,flow",
    )
    data = load_data(str(tmp_path / "*.csv"))
    assert data.feature_names == ["rms", "temp", "flow"]
    np.testing.assert_array_equal(data.streams[0].values, [[1, 2, np.nan], [3, np.nan, 4]])
    assert any("temp, flow: not in each of the files" in note for note in data.notes)


def test_nothing_matches(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no file matches"):
        load_data(str(tmp_path / "none*.csv"))


def test_a_group_column_may_hold_text_and_is_no_feature(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.csv",
        "P,V,2026-01-01T00:00:00Z,1,vibration",
        "P,T,2026-01-01T00:00:00Z,2,thermal",
        header="asset_id,sensor_id,timestamp,rms,kind",
    )
    data = load_data(str(path), group_column="kind")
    assert data.feature_names == ["rms"]
    assert data.column == {("P", "V"): "vibration", ("P", "T"): "thermal"}


def test_a_group_column_that_changes_within_a_stream_is_refused(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.csv",
        "P,V,2026-01-01T00:00:00Z,1,x",
        "P,V,2026-01-02T00:00:00Z,2,y",
        header="asset_id,sensor_id,timestamp,rms,kind",
    )
    with pytest.raises(DatasetError, match="'kind' changes within the stream P"):
        load_data(str(path), group_column="kind")


def test_features_can_be_chosen(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "P,S,2026-01-01T00:00:00Z,1,2")
    assert load_data(str(path), features=["temp"]).feature_names == ["temp"]
    with pytest.raises(DatasetError, match="flow"):
        load_data(str(path), features=["flow"])
    with pytest.raises(TrainingError, match="flow"):
        load_data("simulated", quick=True, features=["nothing", "flow"])


def test_a_matrix_is_one_stream_in_row_order(tmp_path: Path) -> None:
    values = np.arange(12.0).reshape(6, 2)
    np.savez(tmp_path / "m.npz", values=values, names=np.array(["a", "b"]))
    data = load_data(str(tmp_path / "m.npz"))
    assert not data.timed
    assert len(data.streams) == 1
    assert np.array_equal(data.streams[0].values, values)
    assert data.fingerprint()["start"] is None


@pytest.mark.parametrize("names", [["a"], ["a", "b", "c"]])
def test_a_matrix_with_other_names_than_columns_is_refused(
    tmp_path: Path, names: list[str]
) -> None:
    np.savez(tmp_path / "m.npz", values=np.ones((3, 2)), names=np.array(names))
    with pytest.raises(DatasetError, match="do not fit"):
        load_data(str(tmp_path / "m.npz"))


def test_a_matrix_with_infinities_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "m.npz", values=np.array([[1.0, np.inf]]), names=np.array(["a", "b"]))
    with pytest.raises(DatasetError, match="row 1: b is not finite"):
        load_data(str(tmp_path / "m.npz"))


def test_the_simulated_plant_is_seeded_and_healthy_until_the_held_out_part() -> None:
    one, two = (load_data("simulated", seed=3, quick=True) for _ in range(2))
    assert one.fingerprint() == two.fingerprint()
    assert load_data("simulated", seed=4, quick=True).fingerprint() != one.fingerprint()
    for stream in one.streams:
        assert stream.labels is not None
        assert not stream.labels[: len(stream.labels) * 4 // 5].any()
    assert any(stream.labels.any() for stream in one.streams if stream.labels is not None)


def test_stored_readings_come_from_what_is_handed_in() -> None:
    times = np.array(["2026-01-01"], "datetime64[us]")
    kept = TrainingData(["a"], [Stream("P", None, times, np.ones((1, 1)))], "x")
    assert load_data("postgresql", stored=lambda: kept).rows == 1
    with pytest.raises(DatasetError, match="stored readings"):
        load_data("postgresql")


def test_the_fingerprint_knows_values_times_and_names() -> None:
    times = np.array(["2026-01-01", "2026-01-02"], "datetime64[us]")

    def print_of(names: list[str], values: list[list[float]], asset: str = "P") -> str:
        kept = TrainingData(names, [Stream(asset, None, times, np.array(values))], "x")
        return str(load_data("postgresql", stored=lambda: kept).fingerprint()["sha256"])

    base = print_of(["a"], [[1], [2]])
    assert base == print_of(["a"], [[1], [2]])
    assert base != print_of(["b"], [[1], [2]])
    assert base != print_of(["a"], [[1], [3]])
    assert base != print_of(["a"], [[1], [2]], "Q")


def test_names_that_look_alike_are_told_and_kept_apart(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / "a.csv", "P,S,2026-01-01T00:00:00Z,1,2")
    write(tmp_path / "b.csv", "P ,S,2026-01-02T00:00:00Z,3,4")
    data = load_data(str(tmp_path / "*.csv"))
    assert [stream.asset_id for stream in data.streams] == ["P", "P "]
    assert "'P ' looks like 'P'" in caplog.text


def test_groups_by_a_column_of_a_file_whose_ids_are_floats(tmp_path: Path) -> None:
    table = pa.table(
        {
            "asset_id": [7.0, 8.0], "sensor_id": [1.0, None], "timestamp": ["2026-01-01"] * 2,
            "rms": [1.0, 2.0], "line": [1.0, 2.0],
        }
    )  # fmt: skip
    pa.parquet.write_table(table, tmp_path / "x.parquet")
    data = load_data(str(tmp_path / "x.parquet"), group_column="line")
    assert data.column == {("7", "1"): "1", ("8", None): "2"}
    assert data.feature_names == ["rms"]


def test_features_that_tell_conditions_are_those_of_the_data() -> None:
    names = ["op1", "Load, A", "rms"]
    found = with_known_features(FitOptions(condition="Load, A,op1"), names)
    assert found.condition == ["Load, A", "op1"]
    for word in ("auto", "none"):
        assert with_known_features(FitOptions(condition=word), names).condition == word
    with pytest.raises(TrainingError, match=r"condition.*'op9'"):
        with_known_features(FitOptions(condition="op1,op9"), names)
    note = "column 'mode' holds no number (A, B): left out"
    with pytest.raises(TrainingError, match=r"--condition: column 'mode' holds no number \(A, B\)"):
        with_known_features(FitOptions(condition="mode"), names, ["another", note])


def test_physical_limits_are_those_of_features_that_there_are() -> None:
    options = FitOptions(limits={"Load, A": (0.0, 9.0)})
    assert with_known_features(options, ["Load, A", "rms"]) == options
    with pytest.raises(TrainingError, match=r"--limit: column 'Rms' is missing .*'rms'"):
        with_known_features(FitOptions(limits={"Rms": (0.0, 9.0)}), ["Load, A", "rms"])


def test_the_zone_of_a_files_times_is_the_clock_of_its_seasons() -> None:
    assert with_clock(FitOptions(), "Europe/Berlin").seasonality == "Europe/Berlin"
    assert with_clock(FitOptions(), None).seasonality == "auto"
    for asked in ("none", "Asia/Tokyo"):
        assert with_clock(FitOptions(seasonality=asked), "Europe/Berlin").seasonality == asked


def archive(**arrays: Any) -> bytes:
    out = io.BytesIO()
    np.savez(out, **arrays)
    return out.getvalue()


V, AB = np.ones((50, 2)), np.array(["a", "b"])
NO_MATRIX = {
    "cut short": (archive(values=V, names=AB)[:300], "no matrix"),
    "of no bytes": (b"", "no matrix"),
    "damaged": (archive(values=V, names=AB).replace(V[:9].tobytes(), bytes(144)), "no matrix"),
    "one name": (archive(values=V, names=np.array("a")), "no matrix .* shape"),
    "no rows": (archive(values=V[:0], names=AB), "holds no rows"),
    "a name twice": (archive(values=V, names=AB[[0, 0]]), "'a' appears twice"),
    "complex": (archive(values=V * 1j, names=AB), "complex128, not real numbers"),
    "no name": (archive(values=V, names=np.array(["a", ""])), "names: '' is not text"),
    "three names": (archive(values=V, names=np.array(list("abc"))), "do not fit 3 names"),
    "infinite": (archive(values=np.full((50, 2), np.inf), names=AB), "row 1: a is not finite"),
}


@pytest.mark.parametrize(("content", "problem"), NO_MATRIX.values(), ids=NO_MATRIX)
def test_what_is_no_matrix_is_refused_by_name(tmp_path: Path, content: bytes, problem: str) -> None:
    (tmp_path / "m.npz").write_bytes(content)
    with pytest.raises(DatasetError, match=f"^m.npz: .*{problem}"):
        load_data(str(tmp_path / "m.npz"))


def test_names_of_a_matrix_may_be_bytes_and_features_are_chosen(tmp_path: Path) -> None:
    (tmp_path / "m.npz").write_bytes(archive(values=V * [1, 2], names=AB.astype(bytes)))
    assert load_data(str(tmp_path / "m.npz")).feature_names == ["a", "b"]
    chosen = load_data(str(tmp_path / "m.npz"), features="b")
    assert (chosen.feature_names, chosen.streams[0].values[0]) == (["b"], [2])
    with pytest.raises(TrainingError, match="column 'c' is missing"):
        load_data(str(tmp_path / "m.npz"), features="c")


def test_what_a_folder_holds_besides_is_said(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", "P,S,2026-01-01T00:00:00Z,1,2")
    (tmp_path / "m.npz").write_bytes(archive(values=V, names=AB))
    notes = load_data(str(tmp_path)).notes
    assert any("left out: m.npz: a matrix is read alone" in note for note in notes)


@pytest.mark.parametrize(
    ("form", "option"),
    [(FileFormat(exclude="rms"), "--exclude"), (FileFormat(header=False), "--no-header")],
)
def test_options_for_files_are_refused_where_no_file_is_read(
    tmp_path: Path, form: FileFormat, option: str
) -> None:
    np.savez(tmp_path / "m.npz", values=np.ones((3, 1)), names=["rms"])
    for spec in ("simulated", "postgresql", str(tmp_path / "m.npz")):
        with pytest.raises(DatasetError, match=f"^{option} means nothing for .*: leave it out"):
            load_data(spec, form=form)
    zone = FileFormat(time_zone="Europe/Berlin", null=[])
    assert load_data("simulated", quick=True, form=zone).rows > 0  # the clock of seasons
