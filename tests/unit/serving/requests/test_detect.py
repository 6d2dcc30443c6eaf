"""What callers send: accepted as it is, or refused with the field at fault."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from config import Settings
from errors import InputError, TooLarge
from models.scoring.stream_work import Reading
from serving.requests.detect import parse_batch, parse_item
from serving.requests.history_query import parse_query
from serving.requests.stream_request import parse_streams

LIMITS = Settings(_env_file=None, max_batch_items=3, max_features=2, max_history=2)


def body(content: Any) -> bytes:
    return json.dumps(content).encode()


GOOD: dict[str, Any] = {"asset_id": "A", "features": {"rms": 1.0}}


def test_a_whole_item() -> None:
    item = parse_item(
        body(
            {
                **GOOD,
                "sensor_id": "S",
                "timestamp": "2026-01-01T01:00:00+01:00",
                "criticality": "high",
                "history": [{"rms": 2}],
                "metadata": {"a": [1]},
                "unknown": 1,
            }
        ),
        LIMITS,
    )
    assert item.timestamp == datetime(2026, 1, 1, tzinfo=UTC)
    assert item.history == [{"rms": 2.0}]
    assert item.metadata == {"a": [1]}
    assert item.criticality == "high"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"asset_id": None}, "asset_id"),
        ({"asset_id": ""}, "asset_id"),
        ({"asset_id": 7}, "asset_id"),
        ({"asset_id": "x" * 256}, "asset_id"),
        ({"asset_id": "a\x00"}, "asset_id"),
        ({"sensor_id": 1}, "sensor_id"),
        ({"features": None}, "features"),
        ({"features": {}}, "features"),
        ({"features": []}, "features"),
        ({"features": {"rms": None}}, "features.rms"),
        ({"features": {"rms": True}}, "features.rms"),
        ({"features": {"rms": "1"}}, "features.rms"),
        ({"features": {"a": 1, "b": 1, "c": 1}}, "features"),
        ({"features": {"": 1}}, "features."),
        ({"timestamp": "yesterday"}, "timestamp"),
        ({"timestamp": 0}, "timestamp"),
        ({"timestamp": "9999-12-31T23:59:59-01:00"}, "timestamp"),
        ({"criticality": "urgent"}, "criticality"),
        ({"criticality": ["high"]}, "criticality"),
        ({"history": {}}, "history"),
        ({"history": [{"rms": 1.0}, {"rms": False}]}, "history[1].rms"),
        ({"history": [{"rms": 1.0}] * 3}, "history"),
        ({"metadata": []}, "metadata"),
        ({"metadata": {"a": "\x00"}}, "metadata"),
        ({"metadata": {"a": {"\x00": [1]}}}, "metadata"),
    ],
)
def test_a_bad_item_names_its_field(change: dict[str, Any], field: str) -> None:
    with pytest.raises(InputError) as refused:
        parse_item(body({**GOOD, **change}), LIMITS)
    assert refused.value.field == field


def test_text_that_only_looks_like_nul_is_kept() -> None:
    assert parse_item(body({**GOOD, "metadata": {"a": "\\u0000"}}), LIMITS).metadata == {
        "a": "\\u0000"
    }


def test_metadata_too_deep_to_answer_is_refused() -> None:
    deep: Any = 1
    for _ in range(300):
        deep = [deep]
    with pytest.raises(InputError, match="nested too deeply"):
        parse_item(body({**GOOD, "metadata": {"a": deep}}), LIMITS)


def test_whole_numbers_beyond_64_bits_are_floats_in_metadata_and_states() -> None:
    big = 2**64 + 1
    assert parse_item(body({**GOOD, "metadata": {"a": big}}), LIMITS).metadata == {"a": 2.0**64}
    stream = {"asset_id": "A", "readings": [], "state": {"clock": -(2**63) - 1}}
    (read,), _ = parse_streams(body({"streams": [stream]}), LIMITS)
    assert read.work.state == {"clock": -(2.0**63)}


def test_a_fast_second_look_refuses_what_the_first_refused() -> None:
    parse_item(body(GOOD), LIMITS)  # the names are known from here on
    for bad in (True, None, "1", float("nan"), float("inf")):
        with pytest.raises(InputError):
            parse_item(body({**GOOD, "features": {"rms": bad}}), LIMITS)


def test_one_bad_item_of_a_batch_leaves_its_error_in_its_place() -> None:
    found = parse_batch(body([GOOD, {**GOOD, "features": {"rms": None}}, 7]), LIMITS)
    assert not isinstance(found[0], InputError)
    assert isinstance(found[1], InputError)
    assert found[1].field == "[1].features.rms"
    assert isinstance(found[2], InputError)
    assert found[2].field == "[2]"


def test_a_batch_too_long_is_too_large() -> None:
    with pytest.raises(TooLarge, match="MAX_BATCH_ITEMS"):
        parse_batch(body([GOOD] * 4), LIMITS)


def test_streams_in_both_forms() -> None:
    at = "2026-01-01T00:00:00Z"
    streams, echo = parse_streams(
        body(
            {
                "echo": False,
                "streams": [
                    {
                        "asset_id": "A",
                        "window": [{"timestamp": at, "features": {"rms": 1}}],
                        "readings": {
                            "names": ["rms", "x"],
                            "rows": [[at, 1, None], [at, 2, "3"], []],
                        },
                    }
                ],
            }
        ),
        LIMITS,
    )
    assert echo is False
    (stream,) = streams
    assert stream.work.criticality == "medium"
    assert stream.work.window == [Reading(datetime(2026, 1, 1, tzinfo=UTC), {"rms": 1.0})]
    first, second, third = stream.readings
    assert isinstance(first, Reading)
    assert first.features == {"rms": 1.0}  # null: the reading does not have it
    assert isinstance(second, InputError)
    assert second.field == "streams[0].readings[1].features.x"
    assert isinstance(third, InputError)


@pytest.mark.parametrize(
    "content",
    [
        None,
        [],
        {},
        {"streams": {}},
        {"streams": [1]},
        {"streams": [], "echo": 1},
        {"streams": [{"asset_id": "A", "readings": 7}]},
        {"streams": [{"asset_id": "A", "readings": {"names": ["a", "a"], "rows": []}}]},
        {"streams": [{"asset_id": "A", "readings": {"names": 1, "rows": []}}]},
        {"streams": [{"asset_id": "A", "readings": [], "state": []}]},
        {"streams": [{"asset_id": "A", "readings": [], "window": [{}]}]},
        {"streams": [{"asset_id": "A", "feature": 3, "readings": []}]},
    ],
)
def test_a_bad_envelope_of_streams_is_refused(content: Any) -> None:
    with pytest.raises(InputError):
        parse_streams(body(content), LIMITS)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "5001"}, "limit"),
        ({"limit": "-1"}, "limit"),
        ({"limit": "٣"}, "limit"),
        ({"offset": "1e3"}, "offset"),
        ({"offset": "99999999999999999999"}, "offset"),
        ({"is_anomaly": "yes"}, "is_anomaly"),
        ({"criticality": "HIGH"}, "criticality"),
        ({"start_date": "soon"}, "start_date"),
        ({"start_date": "2026-02-01", "end_date": "2026-01-01"}, "start_date"),
        ({"cursor": "", "limit": "1"}, "cursor"),
        ({"cursor": "x", "offset": "1"}, "offset"),
        ({"asset": "A"}, "asset"),
        ({"asset_id": "\x00"}, "asset_id"),
    ],
)
def test_a_bad_query_names_its_parameter(given: dict[str, str], field: str) -> None:
    with pytest.raises(InputError) as refused:
        parse_query(given)
    assert refused.value.field == field


def test_the_history_shows_anomalies_unless_asked_otherwise() -> None:
    assert parse_query({}).anomalous is True
    assert parse_query({"is_anomaly": "False"}).anomalous is False
    assert parse_query({"is_anomaly": "ANY"}).anomalous is None


def test_a_time_that_lies_ahead_is_refused_beyond_the_settings_allowance() -> None:
    now = datetime.now(UTC)
    for ahead, limits in (
        (3500, LIMITS),
        (9, Settings(_env_file=None, bridge_future_s=10)),
        (-1, Settings(_env_file=None, bridge_future_s=0)),
        (10**9, Settings(_env_file=None, bridge_future_s=3e9)),
    ):
        at = now + timedelta(seconds=ahead)
        assert parse_item(body({**GOOD, "timestamp": at.isoformat()}), limits).timestamp == at
    for ahead, limits in (
        (3700, LIMITS),
        (60, Settings(_env_file=None, bridge_future_s=10)),
        (3 * 10**9, LIMITS),
    ):
        at = now + timedelta(seconds=ahead)
        with pytest.raises(InputError, match="is in the future") as refused:
            parse_item(body({**GOOD, "timestamp": at.isoformat()}), limits)
        assert (refused.value.code, refused.value.field) == ("future_timestamp", "timestamp")
    good, bad = parse_batch(body([GOOD, {**GOOD, "timestamp": "9999-01-01T00:00:00Z"}]), LIMITS)
    assert not isinstance(good, InputError)
    assert isinstance(bad, InputError)
    assert bad.field == "[1].timestamp"
