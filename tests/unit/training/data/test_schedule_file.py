"""Schedules of data out of files: read strictly, and applied by the function that serves."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from datasets import Stream
from errors import TrainingError
from training.data.schedule_file import read_schedules, without_suppressed
from training.data.sources import TrainingData

TOML = """
[[maintenance_windows]]
start = 2026-01-01T00:02:00Z
end = "2026-01-01T00:04:00Z"
asset_id = "A*"
alarms = false

[[maintenance_windows]]
start = 2026-01-01T00:08:00Z
end = 2026-01-01T00:09:00Z
training = false

[[off_conditions]]
feature = "rpm"
operator = "<"
value = 1
"""


def data(*assets: str) -> TrainingData:
    """Ten readings a minute apart; the first has rpm 0, the last none."""
    times = np.datetime64("2026-01-01", "us") + np.arange(10) * np.timedelta64(60, "s")
    values = np.column_stack([np.arange(10.0), np.ones(10)])
    values[9, 0] = np.nan
    return TrainingData(["rpm", "x"], [Stream(a, None, times, values) for a in assets], "file")


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    path = tmp_path / "plans.toml"
    path.write_text(TOML)
    return path


def test_each_effect_has_its_windows_and_both_have_the_conditions(toml: Path) -> None:
    found = read_schedules(toml)
    assert [one.start.minute for one in found.training.windows] == [2]
    assert [one.start.minute for one in found.alarms.windows] == [8]
    assert found.training.conditions == found.alarms.conditions
    assert found.training.windows[0].end == datetime(2026, 1, 1, 0, 4, tzinfo=UTC)


def test_what_the_service_answers_is_read_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "plans.json"
    answered = {
        "id": "0b4f", "start": "2026-01-01T00:02:00+00:00", "end": "2026-01-01T00:04:00+00:00",
        "rrule": None, "time_zone": "UTC", "asset_id": "A*", "alarms": True, "training": True,
        "version": 1, "created_at": "2026-01-01T00:00:00+00:00", "created_by": "ANNA",
        "changed_at": None, "changed_by": None,
    }  # fmt: skip
    path.write_text(json.dumps({"maintenance_windows": [answered]}))
    (window,) = read_schedules(path).training.windows
    assert (window.id, window.asset_id) == ("0b4f", "A*")


def test_what_is_suppressed_is_left_out_and_counted(toml: Path) -> None:
    kept, notes = without_suppressed(data("A1", "B"), read_schedules(toml).training, "default")
    minutes = [s.timestamps.astype("datetime64[m]").astype(int) % 60 for s in kept.streams]
    assert [one.tolist() for one in minutes] == [[1, 4, 5, 6, 7, 8, 9], [*range(1, 10)]]
    assert notes == ["default: 4 readings of maintenance or machines that were off are left out"]


def test_a_condition_of_another_group_is_none_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "plans.toml"
    path.write_text('[[off_conditions]]\nfeature="rpm"\noperator="<"\nvalue=5\ngroup="g*"\n')
    planned = read_schedules(path).training
    assert without_suppressed(data("A"), planned, "default")[1] == []
    assert without_suppressed(data("A"), planned, "g1")[0].rows == 5
    assert not planned.in_group("default")
    assert planned.in_group("g1").conditions[0].group is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x = 1", "expected lists named"),
        ("", "expected lists named"),
        ("off_conditions = 1", "off_conditions: must be a list"),
        ("off_conditions = [1]", r"off_conditions\[0\]: must be an object"),
        ("[[off_conditions]]\nfeature='a'\noperator='~'\nvalue=1", r"\[0\]: operator: '~'"),
        ("[[off_conditions]]\nfeature='a'\noperator='<'\nvalue='1'", r"\[0\]: .*float"),
        ("[[off_conditions]]\nfeature='a'\noperator='<'", r"\[0\]: .*value"),
        ("[[maintenance_windows]]\nstart='soon'\nend='now'", r"\[0\]: start: 'soon'"),
        ("[[maintenance_windows]]\nbegin='x'", r"\[0\]: begin: not known"),
        ("[[maintenance_windows", r"plans.toml: "),
    ],
)
def test_a_wrong_file_names_the_entry_and_the_field(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "plans.toml"
    path.write_text(text)
    with pytest.raises(TrainingError, match=says):
        read_schedules(path)


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"none.toml: No such file"):
        read_schedules(tmp_path / "none.toml")
