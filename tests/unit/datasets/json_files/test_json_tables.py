"""Tables within one JSON object are unfolded; an object that is a row is not."""

from __future__ import annotations

import json
from typing import Any, Literal

import pandas as pd
import pytest

from datasets.json_files.json_tables import unfold
from errors import DatasetError

FRAME = pd.DataFrame({"asset_id": ["P1"] * 3, "temp": [1.5, 2.5, 3.5]})
ROWS = [{"asset_id": "P1", "temp": i + 1.5} for i in range(3)]


@pytest.mark.parametrize("orient", ["columns", "index", "split", "table"])
def test_tables_of_pandas(orient: Literal["columns", "index", "split", "table"]) -> None:
    notes: list[str] = []
    found = list(unfold(json.loads(FRAME.to_json(orient=orient)), notes) or ())
    assert [{name: row[name] for name in ("asset_id", "temp")} for row in found] == ROWS
    assert len(notes) == 1


def test_a_list_of_readings_in_an_object() -> None:
    notes: list[str] = []
    assert list(unfold({"count": 3, "tags": ["a"], "readings": ROWS}, notes) or ()) == ROWS
    assert notes == ["the readings are taken from the list 'readings'"]


def test_several_lists_are_refused() -> None:
    with pytest.raises(DatasetError, match=r"several lists \(temp, flow\).*jq -c '.temp"):
        unfold({"temp": ROWS, "flow": ROWS}, [])


@pytest.mark.parametrize(
    "document",
    [{}, ROWS[0], {"asset_id": "P1", "features": {"0": 1}}, {"a": {"x": 1}, "b": {"x": 2}}],
)
def test_an_object_that_is_a_row(document: dict[str, Any]) -> None:
    notes: list[str] = []
    assert unfold(document, notes) is None
    assert not notes


def test_the_hits_of_a_search_are_the_readings() -> None:
    notes: list[str] = []
    hits = [{"_id": "a", "_source": {"temp": 1.5}}, {"_id": "b", "_source": {"temp": 2.5}}]
    found = unfold({"took": 3, "hits": {"total": {"value": 2}, "hits": hits}}, notes)
    assert found is not None
    assert list(found) == hits
    assert notes == ["the readings are taken from the list 'hits.hits'"]


def test_a_list_of_points_per_sensor_is_joined_by_time() -> None:
    notes: list[str] = []
    points = {
        "temp": [{"ts": 2, "value": "2.5"}, {"ts": 1, "value": "1.5"}],
        "flow": [{"ts": 1, "value": "7"}, {"ts": 3, "value": "9"}],
    }
    assert list(unfold(points, notes) or ()) == [
        {"ts": 2, "temp": "2.5"},
        {"ts": 1, "temp": "1.5", "flow": "7"},
        {"ts": 3, "flow": "9"},
    ]
    assert notes == ["each list is a feature: the values of temp, flow by their times"]


def test_lists_side_by_side_are_columns() -> None:
    table = {"asset": "P1", "timestamps": ["a", "b"], "temp": [1.5, None], "site": {"lat": 1}}
    rows = [
        {"asset": "P1", "timestamps": "a", "temp": 1.5},
        {"asset": "P1", "timestamps": "b", "temp": None},
    ]
    for document, where in ((table, ""), ({"lat": 1, "hourly": table}, " of 'hourly'")):
        notes: list[str] = []
        assert list(unfold(document, notes) or ()) == rows
        assert notes == [f"each list{where} is a column of readings"]
    with pytest.raises(DatasetError, match=r"several tables \(hourly, daily\)"):
        unfold({"hourly": table, "daily": table}, [])
    assert unfold({"timestamp": "a", "temp": 1.5, "wave": [1, 2], "window": [1, 2]}, []) is None


def test_rows_whose_columns_are_described_beside_them() -> None:
    notes: list[str] = []
    names = [{"name": "time", "type": "DateTime"}, {"name": "temp", "type": "Float64"}]
    found = unfold({"meta": names, "data": [["a", 1.5], ["b", 2.5]], "rows": 2}, notes)
    assert list(found or ()) == [{"time": "a", "temp": 1.5}, {"time": "b", "temp": 2.5}]
    assert notes == ["the readings are taken from the list 'data'"]
