"""Which column of a file is what: by its name, by what it holds, or as the caller names it."""

from __future__ import annotations

from typing import Any

import pytest

from datasets.columns.roles import find_roles
from datasets.format import FileFormat
from datasets.sampled_columns import Columns, Roles
from errors import DatasetError

TIMES = ["2026-01-01T00:00:00", "2026-01-01T00:01:00"]


def roles(
    given: dict[str, list[str]], wanted: Any = None, asset: str | None = None, **form: Any
) -> Roles:
    """Roles of columns by name; a name may have blanks behind it, so that it occurs twice."""
    names = [name.rstrip() for name in given]
    known = Columns("plant.csv", names, list(given.values()))
    return find_roles(known, FileFormat(**form), wanted, None, asset)


PLANT = {
    "asset_id": ["A", "B"], "sensor_id": ["S1", ""], "timestamp": TIMES, "rms": ["1.5", ""],
    "temp": ["20", "21"], "state": ["running", "idle"], "label": ["0", "1"],
}  # fmt: skip


def test_columns_of_the_usual_names_have_their_usual_roles() -> None:
    found = roles(PLANT)
    assert (found.asset, found.sensor, found.times, found.label) == (0, 1, (2,), 6)
    assert (found.features, found.names) == ([3, 4], ["rms", "temp"])
    assert found.used() == [0, 1, 2, 3, 4, 6]
    assert found.notes == ["column 'state' holds no number (idle, running): left out"]


def test_other_names_are_recognised_and_reported() -> None:
    found = roles({"Asset": ["A"], "Zeitstempel": TIMES[:1], "rms": ["1"], "is_anomaly": ["0"]})
    assert (found.asset, found.times, found.label, found.names) == (0, (1,), 3, ["rms"])
    assert found.notes == [
        "column 'Asset' is read as asset_id",
        "column 'Zeitstempel' is read as timestamp",
        "column 'is_anomaly' is read as label",
    ]


def test_a_date_and_a_time_of_day_are_one_time() -> None:
    found = roles({"Day": ["31.01.2026"], "Hour": ["12:00:05"], "rms": ["1"]}, asset="A")
    assert found.times == (0, 1)
    assert found.asset_name == "A"
    assert "columns 'Day' and 'Hour' are read as timestamp" in found.notes
    assert "no column names the asset, so the file's name is the asset" in found.notes
    given = roles({"timestamp": TIMES[:1], "rms": ["1"]}, asset_id="A")
    assert (given.asset_name, given.notes) == ("A", [])


def test_two_columns_that_may_each_be_the_time_are_asked_about() -> None:
    both = {"started": TIMES, "ended": TIMES, "rms": ["1", "2"]}
    with pytest.raises(DatasetError, match="each of 'started', 'ended' may be it"):
        roles(both, asset="A")
    assert roles(both, asset="A", columns={"timestamp": "ended"}).times == (1,)


def test_what_the_caller_names_goes_first() -> None:
    found = roles(
        {"unit": ["A"], "asset_id": ["7"], "t": TIMES[:1], "rms": ["1"], "y": ["0"]},
        columns={"asset_id": "unit", "timestamp": "t"}, label="y",
    )  # fmt: skip
    assert (found.asset, found.times, found.label) == (0, (2,), 4)
    assert found.names == ["asset_id", "rms"]


def test_what_is_left_out_has_no_role_at_all() -> None:
    found = roles(PLANT, exclude="sensor_id,temp,label")
    assert (found.sensor, found.label, found.names) == (None, None, ["rms"])


def test_features_are_those_wanted_in_that_order() -> None:
    assert roles(PLANT, "temp,rms").features == [4, 3]
    with pytest.raises(DatasetError, match="--features: column 'flow' is missing"):
        roles(PLANT, "flow")


@pytest.mark.parametrize("name", ["", "Unnamed: 0", "index", "row_id"])
def test_a_number_of_the_row_is_no_feature(name: str) -> None:
    found = roles({name: ["0", "1"], "timestamp": TIMES, "rms": ["1", "2"]}, asset="A")
    assert found.names == ["rms"]
    assert any("numbers the rows" in note for note in found.notes)


@pytest.mark.parametrize("cells", ["0 10 20 30", "0 3 4 9", "7 3 9 0", "0.0 2.0 3.0 5.0"])
def test_an_index_of_rows_that_were_taken_from_a_table_is_no_feature(cells: str) -> None:
    table = {"timestamp": [*TIMES, *TIMES], "rms": ["1", "2", "3", "4"]}
    for name in ("", "Unnamed: 0"):
        found = roles({name: cells.split(), **table}, asset="A")
        assert found.names == ["rms"]
        assert f"column {name or 1!r} is an index: left out" in found.notes
    assert roles({"Unnamed: 0": ["1", "1", "1", "2"], **table}, asset="A").names[0] == "Unnamed: 0"


def test_a_label_whose_name_says_what_it_means() -> None:
    table = {"asset_id": ["A", "A"], "timestamp": TIMES, "rms": ["1", "2"],
             "Attack LABLE (1:No Attack, -1:Attack)": ["1", "-1"]}  # fmt: skip
    found = roles(table)
    assert (found.label, found.names) == (3, ["rms"])
    table["Fault (0: no)"] = table.pop("Attack LABLE (1:No Attack, -1:Attack)")
    assert any("--label" in note for note in roles(table).notes)


@pytest.mark.parametrize("given", [None, "attack"])
def test_labels_of_parts_of_a_plant_are_no_features(given: str | None) -> None:
    table = {"time": TIMES, "P1_flow": ["1.5", "2"], "attack": ["0", "1"], "attack_P1": ["0", "0"],
             "Attack 2": ["0", "1"], "attack_type": ["", "ddos"], "attack_score": ["0.2", "0.9"],
             "attacker": ["3", "4"]}  # fmt: skip
    found = roles(table, asset="A", label=given)
    assert (found.label, found.names) == (2, ["P1_flow", "attack_score", "attacker"])
    parts = "'attack_P1', 'Attack 2', 'attack_type': named as parts of the label 'attack'"
    assert f"{parts}, so left out (--features chooses)" in found.notes
    assert roles(table, "P1_flow,attack_P1", "A", label=given).names == ["P1_flow", "attack_P1"]


def test_signals_named_as_what_may_be_a_signal_too_stay_features() -> None:
    table = {"time": TIMES, "alarm": ["0", "1"], "alarm_high": ["0", "1"], "rms": ["1", "2"]}
    assert roles(table, asset="A", label="alarm").names == ["alarm_high", "rms"]


def test_columns_without_a_name_can_be_left_out() -> None:
    assert roles({**PLANT, "": ["7", "9"]}, exclude='""').names == ["rms", "temp"]


def test_a_column_called_index_that_does_not_count_is_a_feature() -> None:
    found = roles({"index": ["3", "1"], "timestamp": TIMES, "rms": ["1", "2"]}, asset="A")
    assert found.names == ["index", "rms"]


@pytest.mark.parametrize(
    ("columns", "form", "problem"),
    [
        ({"timestamp": TIMES, "rms": ["1"]}, {}, "'asset_id' is missing"),
        ({"asset_id": ["A"], "rms": ["1"]}, {}, "'timestamp' is missing"),
        ({**PLANT, "rms ": ["2"]}, {}, "'rms' appears twice"),
        (PLANT, {"asset_id": "X"}, "--asset-id is for files"),
        (
            PLANT,
            {"columns": {"timestamp": "+".join(["rms"] * 8)}},
            "joins a date and a time of day",
        ),
        ({"asset_id": ["A"], "timestamp": ["1"], "at": ["idle"]}, {}, "no feature column"),
        ({**PLANT, "": ["7", "9"]}, {}, "column 8 has no name"),
        (
            {"Asset": ["A"], "Asset ID": ["B"], "timestamp": TIMES[:1], "rms": ["1"]},
            {},
            "'asset_id' is missing",
        ),
        (
            {
                "asset_id": ["A"] * 6,
                "timestamp": [at for at in [*TIMES, "2026-01-01"] for _ in "xy"],
                "what": ["x", "y"] * 3,
                "rms": ["1"] * 6,
            },
            {},
            "'what' .* distinguishes readings",
        ),
    ],
)
def test_what_cannot_be_settled_is_refused_with_its_column(
    columns: dict[str, list[str]], form: dict[str, Any], problem: str
) -> None:
    with pytest.raises(DatasetError, match=problem):
        roles(columns, **form)


@pytest.mark.parametrize("role", ["asset_id", "timestamp"])
def test_a_column_of_a_role_that_appears_twice_must_be_renamed(role: str) -> None:
    with pytest.raises(DatasetError, match=f"{role!r} appears twice: rename one of the two"):
        roles({**PLANT, f"{role} ": PLANT[role]})


def test_a_column_cannot_be_used_and_left_out() -> None:
    with pytest.raises(DatasetError, match="'rms' is in --features and in --exclude"):
        roles(PLANT, "rms,temp", exclude="rms")
    assert roles(PLANT, "temp", exclude="rms").names == ["temp"]


@pytest.mark.parametrize(
    ("name", "cells", "told"),
    [
        ("train_test", ["train", "prediction"], True), ("split", ["Train", "VAL"], True),
        ("train", ["1", "0"], True), ("is_test", ["False", "True"], True),
        ("train", ["1", "7"], False), ("test", ["1", "0"], False), ("split", ["1", "0"], False),
        ("mode", ["test", "auto"], False), ("mode", ["test", "test"], False),
    ],
)  # fmt: skip
def test_what_divides_readings_for_training_and_test_is_no_feature(
    name: str, cells: list[str], told: bool
) -> None:
    found = roles({"timestamp": TIMES, name: cells, "rms": ["1", "2"]}, asset="A")
    divides = f"column {name!r} ({', '.join(sorted(cells))}) divides the readings for training"
    assert any(note.startswith(divides) for note in found.notes) == told
    assert ("rms" in found.names, name in found.names) == (True, not told and cells[0].isdigit())


@pytest.mark.parametrize("name", ["t", "3", "epoch_s"])
def test_a_column_that_may_count_from_1970_is_pointed_out(name: str) -> None:
    table = {"rms": ["1", "2"], name: ["1528978500", "1528978501"]}
    message = f"{name!r} holds numbers such as 1528978500, which may count from 1970 .s.: --columns"
    if name != "epoch_s":  # which is read as times
        with pytest.raises(DatasetError, match=f"'timestamp' is missing; {message}"):
            roles(table, asset="A")
    assert roles(table, asset="A", columns={"timestamp": name}).times == (1,)


def test_where_rows_are_counted_the_time_since_the_start_of_a_run_is_no_feature() -> None:
    falls = ["-0.5", "0.5", "1.5", "2.5", "3.5", "4.5", "5.5", "6.5", "7.5", "-0.5"]
    table = {"Time (h)": falls, "rms": [str(i * i % 7) for i in range(10)]}
    found = roles(table, asset="A", time_unit="row")
    assert (found.times, found.names) == ((), ["rms"])
    assert "'Time (h)': left out, since the rows are counted instead" in found.notes
    assert roles(table, "Time (h),rms", "A", time_unit="row").names == ["Time (h)", "rms"]
    for own in ("3 1 2 5 1 4 3 2 6 1", "12 12 12 12 12 12 12 12 13 12"):  # each row's, a cycle's
        table["Time (h)"] = own.split()
        assert roles(table, asset="A", time_unit="row").names == ["Time (h)", "rms"]


@pytest.mark.parametrize("name", ["unit", "machineID", "pump_no"])
def test_numbers_of_machines_are_no_feature_of_an_asset_that_the_caller_names(name: str) -> None:
    table = {"timestamp": TIMES, name: ["1", "2"], "rms": ["1", "2"]}
    found = roles(table, asset_id="FLEET")
    assert found.names == ["rms"]
    left = f"column {name!r} may name the machines: left out (--columns asset_id={name} makes each"
    assert any(note.startswith(left) for note in found.notes)
    assert roles(table, f"{name},rms", asset_id="FLEET").names == [name, "rms"]
    with pytest.raises(DatasetError, match=r"\(1, 2\) may name the assets"):
        roles(table, asset="plant")


def test_a_signal_named_as_its_machine_stays_a_feature() -> None:
    table = {"timestamp": TIMES, "engine": ["1500", "1510"], "rms": ["1", "2"]}
    assert roles(table, asset_id="A").names == ["engine", "rms"]
