"""Items of DynamoDB are read without their types."""

from __future__ import annotations

import json
from typing import Any

import pytest

from datasets.json_files.dynamodb import plain_item
from tests.unit.datasets.plant_files import Load

N = 40


def item(i: int) -> dict[str, Any]:
    return {
        "asset": {"S": "P1"}, "ts": {"S": f"2026-03-02T06:{i:02d}:00Z"}, "temp": {"N": f"{i}.25"},
        "on": {"BOOL": i % 9 > 0}, "motor": {"M": {"rpm": {"N": "1500"}}},
        "gone": {"NULL": True} if i % 2 else {"N": "1e-3"},
    }  # fmt: skip


@pytest.mark.parametrize("form", ["export", "lines", "scan"])
def test_items_of_an_export_and_of_a_scan(load: Load, form: str) -> None:
    items = [item(i) for i in range(N)]
    text = json.dumps({"Items": items, "Count": N, "ScannedCount": N}, indent=1)
    if form != "scan":
        text = "\n".join(json.dumps({"Item": one} if form == "export" else one) for one in items)
    data = load(text, "json", columns={"asset_id": "asset"})
    assert data.feature_names == ["temp", "on", "motor.rpm", "gone"]
    (stream,) = data.streams
    assert stream.asset_id == "P1"
    assert stream.values[:, 0].tolist() == [i + 0.25 for i in range(N)]
    assert stream.values[0].tolist() == [0.25, 0, 1500, 0.001]
    assert stream.values[1, 3] != stream.values[1, 3]


@pytest.mark.parametrize(
    "document",
    [{"temp": {"N": 1.5}}, {"temp": {"N": "1", "S": "x"}}, {"Item": {"temp": 1}}, {"Item": {}},
     {"a": {"S": "x"}, "b": 1}],
)  # fmt: skip
def test_other_objects_stay_as_they_are(document: dict[str, Any]) -> None:
    assert plain_item(document) is document
