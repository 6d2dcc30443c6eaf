"""Packs of SenML are read, a column per name and a row per device and time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import datasets
from errors import DatasetError
from tests.unit.datasets.plant_files import Load

START_S = 1_772_431_200


def pack(device: str = "urn:dev:ow:10e2:", n: int = 40, **base: Any) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = []
    for i in range(n):
        records += [{"n": "temp", "u": "Cel", "t": 60 * i, "v": 20 + i / 8},
                    {"n": "flow", "t": 60 * i, "v": i % 5}]  # fmt: skip
    records[0] = {"bn": device, "bt": START_S, **base, **records[0]}
    return records


def test_base_values_hold_for_the_records_after_them(load: Load) -> None:
    data = load(json.dumps(pack()), "json", asset_id="P1")
    assert data.feature_names == ["temp", "flow"]
    (stream,) = data.streams
    assert stream.values.tolist() == [[20 + i / 8, i % 5] for i in range(40)]
    assert [str(time) for time in stream.timestamps[[0, 39]]] == [
        "2026-03-02T06:00:00.000000",
        "2026-03-02T06:39:00.000000",
    ]
    lines = "\n".join(map(json.dumps, pack(bv=100)))
    higher = load(lines, "jsonl", asset_id="P1").streams[0]
    assert (higher.values == stream.values + 100).all()


def test_devices_must_be_told_apart(load: Load, tmp_path: Path) -> None:
    both = json.dumps([*pack("A:"), *pack("B:")])
    data = load(both, "json", columns={"asset_id": "device"})
    with pytest.raises(DatasetError, match="--columns asset_id=device makes each"):
        datasets.load(tmp_path / "plant.json", asset="plant")
    assert [stream.asset_id for stream in data.streams] == ["A", "B"]


def test_a_base_name_that_is_given_again_begins_a_pack(load: Load) -> None:
    again = [{"bn": "A:", "n": "temp", "t": START_S + 60 * i, "v": i} for i in range(40)]
    data = load(json.dumps([*pack("A:", 1), *again[1:]]), "json", asset_id="P1")
    assert data.streams[0].timestamps.max() == data.streams[0].timestamps[0] + 39 * 60 * 10**6


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"bt": 0}, "counts from the moment at which it was received"),
        ({"u": "K"}, "row 3 gives 'temp' in 'Cel', others in 'K'"),
    ],
)
def test_what_is_not_clear_is_refused(load: Load, change: dict[str, Any], problem: str) -> None:
    records = pack()
    records[0] |= change
    with pytest.raises(DatasetError, match=problem):
        load(json.dumps(records), "json", asset_id="P1")


def test_a_field_that_must_be_understood_is_refused(load: Load) -> None:
    records = pack()
    records[5]["odd_"] = 1
    with pytest.raises(DatasetError, match="row 6 has the field 'odd_'"):
        load(json.dumps(records), "json", asset_id="P1")


def test_arrays_on_end_are_refused(load: Load) -> None:
    with pytest.raises(DatasetError, match="several arrays on end, the second from object 81 on"):
        load(json.dumps(pack()) + "\n" + json.dumps(pack()), "json", asset_id="P1")


def test_records_without_base_values_are_a_long_table_as_before(load: Load) -> None:
    lines = [{"n": name, "t": START_S + 60 * i, "v": i % 7} for i in range(40) for name in "ab"]
    data = load("\n".join(map(json.dumps, lines)), "jsonl", asset_id="P1", pivot="n",
                columns={"timestamp": "t"})  # fmt: skip
    assert data.feature_names == ["a", "b"]


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"n": "temp", "t": 60, "v": {"a": 1}}, "row 401: column 'temp' holds"),
        ({"n": "temp", "t": "soon", "v": 1}, "row 401: timestamp 'soon' is not a number"),
        ({"n": "temp", "t": 1e308, "v": 1}, "row 401: timestamp 1e+308 is no plausible time"),
    ],
)
def test_a_bad_record_alone_is_left_out(load: Load, bad: dict[str, Any], said: str) -> None:
    many = pack(n=400)
    data = load(json.dumps([*many, bad]), "json", asset_id="P1")
    assert any(said in note for note in data.notes)
    kept = load(json.dumps(many), "json", asset_id="P1").streams[0].values.tolist()
    assert [row for row in data.streams[0].values.tolist() if row in kept] == kept


def test_a_second_value_of_a_time_is_that_of_the_next_reading(load: Load) -> None:
    data = load(json.dumps([*pack(n=2), {"n": "temp", "t": 60, "v": 99}]), "json", asset_id="P1")
    assert [row[0] for row in data.streams[0].values.tolist()] == [20, 20.125, 99]


@pytest.mark.parametrize(
    "own",
    [
        {"bv": 3.6},
        {"bs": 3.6},
        {"n": "pump1", "bv": 3.6},
        {"bt": 25.5},
        {"n": "pump1", "bt": 25.5},
    ],
)
@pytest.mark.parametrize("text", [False, True])
def test_short_keys_of_other_objects_are_columns(
    load: Load, own: dict[str, Any], text: bool
) -> None:
    times = [f"2026-03-02T06:{i:02}:00" if text else START_S + 60 * i for i in range(40)]
    rows = [{"t": time, "v": 20 + i / 8, **own} for i, time in enumerate(times)]
    data = load(json.dumps(rows), "json", columns={"timestamp": "t"}, asset_id="P1", exclude="n"
                if "n" in own else ())  # fmt: skip
    key = next(key for key in own if key != "n")
    assert data.feature_names == ["v", key]
    assert data.streams[0].values[:2].tolist() == [[20, own[key]], [20.125, own[key]]]
    assert data.streams[0].timestamps[0].astype("datetime64[s]").astype(int) == START_S


@pytest.mark.parametrize("base", [{"bv": 1.5, "v": 10**400}, {"t": 10**400}, {"t": -(10**400)}])
def test_numbers_above_all_floats_are_reported(load: Load, base: dict[str, Any]) -> None:
    records = pack()
    records[0] |= base
    with pytest.raises(DatasetError, match="row 1"):
        load(json.dumps(records), "json", asset_id="P1")


@pytest.mark.parametrize("name", ["timestamp", "device"])
def test_sensors_called_as_the_columns_of_a_row_do_not_replace_these(load: Load, name: str) -> None:
    records = pack()
    for i in range(40):
        records[2 * i + 1] |= {"n": name, "v": START_S + i % 7}
    data = load(json.dumps(records), "json", columns={"asset_id": "device"})
    assert data.streams[0].asset_id == "urn:dev:ow:10e2"
    assert "temp" in data.feature_names
    assert data.streams[0].timestamps[0].astype("datetime64[s]").astype(int) == START_S
    assert len(data.streams[0].timestamps) == 40
