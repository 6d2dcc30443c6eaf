"""Several machines or sensors in one column of values, whatever the order of the rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

import datasets
from datasets import FileFormat
from datasets.columns.long_tables import may_name_assets, names_machines, several, tells_apart
from errors import DatasetError

Rows = list[tuple[Any, ...]]
N = 900


def rows(names: tuple[Any, ...], order: str, shift: int = 0) -> Rows:
    """(asset, time, sensor, value) of two assets, sorted by sensor or by time."""
    random = np.random.default_rng(0)
    found = [
        (asset, t * 60 + shift * number, name, round(random.normal(100 * number + 5), 3))
        for number, name in enumerate(names) for asset in "AB" for t in range(N)
    ]  # fmt: skip
    return found if order == "sensor" else sorted(found, key=lambda row: row[1])


def write(path: Path, found: Rows, head: str = "asset_id,timestamp,sensor,value") -> Path:
    names = head.split(",")
    columns = {name: [row[i] for row in found] for i, name in enumerate(names)}
    if path.suffix == ".parquet":
        pa.parquet.write_table(pa.table(columns), path)
    else:
        pa.csv.write_csv(pa.table(columns), path)
    return path


def test_times_that_are_not_used_still_tell_machines_apart(tmp_path: Path) -> None:
    found = [(f"2026-01-01T{t // 60:02d}:{t % 60:02d}", hall, t % 7 + 0.5)
             for t in range(600) for hall in ("N", "S")]  # fmt: skip
    path = write(tmp_path / "x.csv", found, "timestamp,hall,x")
    with pytest.raises(DatasetError, match=r"'hall' \(N, S\) distinguishes readings"):
        datasets.load(path, None, FileFormat(asset_id="A", time_unit="row"))


def test_machines_that_begin_at_different_times_are_told_apart(tmp_path: Path) -> None:
    found = [row for row in rows(("vib", "flow"), "sensor", shift=60 * 600) if row[0] == "A"]
    path = write(tmp_path / "x.csv", found, "asset_id,timestamp,hall,x")
    with pytest.raises(DatasetError, match=r"'hall' \(flow, vib\) distinguishes readings"):
        datasets.load(path, None, FileFormat(time_unit="s"))


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("order", ["sensor", "time"])
@pytest.mark.parametrize("names", [("vib", "flow"), (1, 2), (1.0, 2.0), ("T1", "T2", "T3")])
def test_a_long_table_in_any_order_is_refused(
    tmp_path: Path, names: tuple[Any, ...], order: str, suffix: str
) -> None:
    form = FileFormat(time_unit="s")
    found = rows(names, order)
    for head in ("asset_id,timestamp,sensor,value", "asset_id,timestamp,k,x"):
        path = write(tmp_path / f"x.{suffix}", [*found, *found[:90]], head)  # some rows twice
        name = head.split(",")[2]
        shown = sorted(
            f"{n:g}" if isinstance(n, float) and suffix == "csv" else str(n) for n in names
        )
        problem = rf"'{name}' \({', '.join(shown)}\) distinguishes readings"
        with pytest.raises(DatasetError, match=problem) as caught:
            datasets.load(path, None, form)
        assert f"--columns sensor_id={name}" in caught.value.message
        split = datasets.load(path, None, FileFormat(time_unit="s", columns={"sensor_id": name}))
        assert len(split.streams) == 2 * len(names)
        kept = datasets.load(path, None, FileFormat(time_unit="s", exclude=name))
        assert len(kept.feature_names) == 1


@pytest.mark.parametrize("names", [("vib", "flow"), (1, 2)])
def test_sensors_that_report_at_their_own_times_are_known_by_the_names(
    tmp_path: Path, names: tuple[Any, ...]
) -> None:
    for head in ("asset_id,timestamp,TagName,Value", "asset_id,timestamp,channel,reading"):
        path = write(tmp_path / "x.csv", rows(names, "time", shift=7), head)
        with pytest.raises(DatasetError, match="names what each value is, as in a long table"):
            datasets.load(path, None, FileFormat(time_unit="s"))
    one_each = [(f"{a}.{sensor}", t, sensor, v) for a, t, sensor, v in rows(names, "sensor")]
    path = write(tmp_path / "x.csv", one_each, "asset_id,timestamp,TagName,Value")
    assert len(datasets.load(path, None, FileFormat(time_unit="s")).streams) == 4


@pytest.mark.parametrize("seed", range(8))
def test_several_readings_of_one_time_are_no_long_table(tmp_path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    n = 2000
    columns = {
        "asset_id": ["A"] * n,
        "timestamp": np.arange(n) // int(random.integers(2, 7)) * 60,
        "vib": random.normal(5, 1, n).round(3),
        "gear": random.integers(1, 7, n),
        "rpm": random.normal(100, 30, n).round().astype(int),
        "running": np.arange(n) // 500 % 2,
        "state": random.choice(["RUN", "IDLE"], n),
        "operator": random.choice(list("abcdefghijkl"), n),
    }
    path = tmp_path / "x.csv"
    pa.csv.write_csv(pa.table(columns), path)
    data = datasets.load(path, None, FileFormat(time_unit="s"))
    assert data.feature_names == ["vib", "gear", "rpm", "running"]


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """Write two files that hold machines in a column."""

    def act(name: str, machines: tuple[Any, ...], each: bool = False, order: str = "time") -> Path:
        for file, own in zip("xy", machines, strict=True):
            found = rows(machines, order)
            found = [row for row in found if row[0] == "A" and (not each or row[2] == own)]
            write(tmp_path / f"{file}.csv", [row[1:] for row in found], f"timestamp,{name},f")
        return tmp_path

    return act


@pytest.mark.parametrize("order", ["sensor", "time"])
@pytest.mark.parametrize("name", ["machine", "Machine No.", "turbine_id", "serial_number", "mc"])
@pytest.mark.parametrize("machines", [("A", "B"), (3, 4)])
def test_machines_in_files_without_assets_are_refused_with_their_column(
    folder: Callable[..., Path], name: str, machines: tuple[Any, ...], order: str
) -> None:
    path = folder(name, machines, order=order)
    shown = f'"{name}"' if " " in name else name
    with pytest.raises(DatasetError, match=f"--columns asset_id={shown}"):
        datasets.load_files(datasets.files_of(str(path)), None, FileFormat(time_unit="s"))
    form = FileFormat(time_unit="s", columns={"asset_id": name})
    data = datasets.load_files(datasets.files_of(str(path)), None, form)
    assert sorted(stream.asset_id for stream in data.streams) == sorted(map(str, machines))


@pytest.mark.parametrize("machines", [("A", "B"), (3, 4)])
def test_one_machine_per_file_is_no_feature(
    folder: Callable[..., Path], machines: tuple[Any, ...]
) -> None:
    path = folder("machine_no", machines, each=True)
    data = datasets.load_files(datasets.files_of(str(path)), None, FileFormat(time_unit="s"))
    assert data.feature_names == ["f"]
    assert [stream.asset_id for stream in data.streams] == ["x", "y"]
    assert any(f"'machine_no' holds {machines[0]} only: left out" in note for note in data.notes)


def test_switches_of_machines_are_no_names() -> None:
    assert not names_machines("pump", ["0", "1", "1"])
    assert not names_machines("pump", ["on", "off"])
    assert not names_machines("unit", ["1.5", "2.5"])
    assert names_machines("pump", ["P1", "P2"])
    assert names_machines("serialnumber", ["Z305B2QN", "ZJV0XJQ4"])
    assert names_machines("pumpid", ["0", "1"])
    assert not names_machines("speed", ["3", "4"])


def test_a_number_must_occur_at_most_times_to_tell_readings_apart() -> None:
    times = [t for t in range(100) for _ in range(2)]
    assert tells_apart(times, ["1", "2"] * 100, number=True)
    some = [str(t % 20 + 50 * k) for t in range(100) for k in range(2)]
    assert tells_apart(times, some, number=False)
    assert not tells_apart(times, some, number=True)
    assert not tells_apart(times, ["1", "1"] * 100, number=False)
    # three states that differ at 17 of 20 times do so by chance; at 195 of 200 they do not
    assert not tells_apart(times[:40], ["a", "b"] * 14 + ["a", "c"] * 3 + ["b"] * 6, number=False)
    assert tells_apart(times, ["a", "b"] * 95 + ["b"] * 10, number=False)
    assert not tells_apart(list(range(200)), ["1", "2"] * 100, number=False)


def test_several_cells_of_one_stream() -> None:
    assert several(["A", "B", "A"], ["x", "y", "z"])
    assert not several(["A", "B", "A", "B"], ["x", "y", "x", ""])


def test_the_only_column_of_repeated_texts_may_name_the_assets() -> None:
    times = [f"01.03.2026 00:0{n // 2}" for n in range(8)]
    machines, numbers = ["P7", "P8"] * 4, ["1,5"] * 8
    found = may_name_assets(["Zeit", "Anlage 1", "rms"], [times, machines, numbers])
    assert found == ', such as asset_id="Anlage 1" (P7, P8)'
    assert may_name_assets(["Zeit", "A", "B"], [times, machines, machines]) == ""
    assert may_name_assets(["Zeit", "rms"], [times, []]) == ""
    wells, codes = ["11", "12"] * 4, ["error1", "error2"] * 4
    found = may_name_assets(["machineID", "Anlage 1"], [wells, machines])
    assert found == ", such as asset_id=machineID (11, 12)"
    assert may_name_assets(["machineID", "Turbine"], [wells, machines]) == ""
    assert may_name_assets(["Type", "errorID", "operating mode"], [machines, codes, codes]) == ""
    assert may_name_assets(["value", "Unit"], [times, ["bar", "°C", "m3/h"] * 3]) == ""
    assert "asset_id=Unit (U1, U2)" in may_name_assets(["Unit"], [["U1", "U2"] * 3])
