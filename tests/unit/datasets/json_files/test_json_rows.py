"""JSON objects become rows: messages of the input topic, wrapped ones, objects in objects."""

from __future__ import annotations

import json
from typing import Any

import pytest

from datasets.json_files.json_rows import Rows
from errors import DatasetError

MESSAGE = {
    "asset_id": "P1", "sensor_id": None, "features": {"temp": 1.5, "vib": 2},
    "timestamp": "2026-01-01T00:00:00Z", "metadata": {"num_features": 2}, "seq": 17, "site": "A",
}  # fmt: skip
ROW = {
    "asset_id": "P1", "sensor_id": None, "timestamp": "2026-01-01T00:00:00Z", "temp": 1.5,
    "vib": 2, "site": "A",
}  # fmt: skip


@pytest.fixture
def rows() -> Rows:
    return Rows(lambda name: name in ("asset_id", "sensor_id", "timestamp"))


def test_a_message_has_its_features_as_columns(rows: Rows) -> None:
    assert rows.row(MESSAGE) == ROW
    assert list(rows.beside) == ["metadata", "seq"]


def test_an_object_in_an_object_has_a_name_of_two_parts(rows: Rows) -> None:
    found = rows.row({"asset_id": "P1", "motor": {"temp": 1, "coil": {"u": 2}}})
    assert found == {"asset_id": "P1", "motor.temp": 1, "motor.coil": {"u": 2}}


@pytest.mark.parametrize("payload", [MESSAGE, json.dumps(MESSAGE)])
def test_messages_wrapped_by_a_consumer(rows: Rows, payload: Any) -> None:
    record = {"topic": "t", "partition": 0, "ts": 1767225600000, "key": "P1", "payload": payload}
    assert rows.row(record) == ROW
    assert rows.row({"schema": {"type": "string"}, "payload": payload}) == ROW


def test_a_message_without_time_has_that_of_its_record(rows: Rows) -> None:
    message = {key: value for key, value in MESSAGE.items() if key != "timestamp"}
    record = {"topic": "t", "ts": 1767225600000, "payload": json.dumps(message)}
    assert rows.row(record)["timestamp"] == "2026-01-01T00:00:00+00:00"
    assert rows.record_times == 1
    assert "timestamp" not in rows.row({**record, "ts": -1})


@pytest.mark.parametrize("payload", [None, "", "\x00\x01", "[1]", 3])
def test_a_record_without_an_object_is_named(rows: Rows, payload: Any) -> None:
    with pytest.raises(DatasetError, match="has a payload that is no JSON"):
        rows.row({"topic": "t", "partition": 0, "payload": payload})


@pytest.mark.parametrize("payload", [{"temp": 1.5, "ts": 7}, '{"temp": 1.5, "ts": 7}'])
def test_a_message_of_mqtt_keeps_its_topic_and_time(rows: Rows, payload: Any) -> None:
    message = {"topic": "plant/P1", "qos": 0, "tst": "2026-01-01T00:00:00Z", "payload": payload}
    told = {"topic": "plant/P1", "tst": "2026-01-01T00:00:00Z"}
    assert rows.row(message) == {**told, "temp": 1.5, "ts": 7}
    assert rows.row({**message, "ts": 8, "timestamp": 9}) == {
        **told, "temp": 1.5, "ts": 7, "timestamp": 9,
    }  # fmt: skip
    assert list(rows.beside) == ["qos", "ts"]


@pytest.mark.parametrize(("payload", "value"), [(3, 3), ("3.5", 3.5), ("on", "on"), (None, None)])
def test_a_value_of_mqtt_stands_in_a_column_of_its_own(
    rows: Rows, payload: Any, value: Any
) -> None:
    assert rows.row({"topic": "P1/temp", "payload": payload}) == {
        "topic": "P1/temp", "payload": value,
    }  # fmt: skip


def test_the_older_form_with_one_feature(rows: Rows) -> None:
    whose = {"asset_id": "P1", "sensor_id": "S1", "timestamp": "2026-01-01"}
    message = {"name": "rms", "value": 1.2, "metadata": {**whose, "source": "x"}}
    assert rows.row(message) == {**whose, "name": "rms", "value": 1.2}


@pytest.mark.parametrize(
    "document",
    [{**MESSAGE, "features": {"site": 1}}, {"a": {"b": 1}, "a.b": 2}],
)
def test_two_values_for_one_column_are_named(rows: Rows, document: dict[str, Any]) -> None:
    with pytest.raises(DatasetError, match="twice"):
        rows.row(document)


@pytest.mark.parametrize(("name", "value"), [("name", "value"), ("n", "v")])
def test_a_list_of_names_and_values_has_them_as_columns(name: str, value: str) -> None:
    metrics = [{name: "temp", value: 1.5, "ts": 7}, {name: "flow", value: 2}]
    rows = Rows(lambda key: key == "timestamp")
    row = rows.row({"timestamp": 7, "metrics": metrics, "wave": [1, 2]})
    assert row == {"timestamp": 7, "temp": 1.5, "flow": 2, "wave": [1, 2]}
    tags = [{name: "line", value: "7"}, {name: "site", value: "north"}]
    assert rows.row({"timestamp": 7, "tags": tags}) == {"timestamp": 7, "tags": tags}
    twice = [metrics[0], metrics[0]]
    assert rows.row({"timestamp": 7, "metrics": twice}) == {"timestamp": 7, "metrics": twice}
