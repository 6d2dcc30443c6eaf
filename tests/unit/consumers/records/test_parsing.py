"""Records of both shapes become readings; everything else becomes a refusal with a stable code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.records import parsing
from consumers.records.parsing import REASONS, Reading, Rejection, dead_letter_headers, parse

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)


@dataclass
class FakeRecord:
    value: bytes | None
    timestamp: int = NOW_MS
    key: bytes | None = None
    offset: int = 0
    headers: Sequence[tuple[str, bytes | None]] = field(default_factory=list)
    unreadable: str | None = None


def grouped(**changes) -> bytes:
    document: dict[str, Any] = {
        "asset_id": "A",
        "sensor_id": "S1",
        "features": {"rms": 1.5, "kurtosis": 3},
        "timestamp": "2026-01-01T00:00:00+00:00",
        "metadata": {"num_features": 2},
    }
    document.update(changes)
    return orjson.dumps({key: value for key, value in document.items() if value is not ...})


def read(body: bytes | None, **record):
    return parse(FakeRecord(body, **record), future_seconds=3600)


def test_grouped_shape_is_read():
    reading = read(grouped())
    assert reading == Reading(
        "A", "S1", None, NOW, {"rms": 1.5, "kurtosis": 3.0}, {"num_features": 2}
    )
    assert reading.stream == ("A", "S1", "")


def test_single_feature_shape_is_a_stream_of_its_own():
    body = {
        "name": "rms",
        "value": 1.2,
        "metadata": {
            "asset_id": "A", "sensor_id": "S1", "timestamp": "2026-01-01T00:00:00Z", "unit": "g"
        },
    }  # fmt: skip
    reading = read(orjson.dumps(body))
    assert reading == Reading("A", "S1", "rms", NOW, {"rms": 1.2}, {"unit": "g"})
    assert reading.stream == ("A", "S1", "rms")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-01T00:00:00Z", NOW),
        ("2026-01-01T01:00:00+01:00", NOW),
        ("2026-01-01T00:00:00", NOW),
        (..., NOW),
    ],
)
def test_timestamp_forms(text, expected):
    assert read(grouped(timestamp=text)).timestamp == expected


@pytest.mark.parametrize("sensor", [None, ...])
def test_sensor_may_be_null_or_absent(sensor):
    assert read(grouped(sensor_id=sensor)).sensor_id is None


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (None, "null_body"),
        (b"", "not_json"),
        (b"{", "not_json"),
        (b"\xff\xfe", "not_json"),
        (b"[1]", "not_object"),
        (b"5", "not_object"),
        (b"{}", "unknown_shape"),
        (b"[" * 100_000, "not_json"),
        (grouped(asset_id=...), "missing_asset"),
        (grouped(asset_id=None), "missing_asset"),
        (grouped(asset_id=5), "bad_name"),
        (grouped(asset_id=""), "bad_name"),
        (grouped(asset_id="x" * 256), "bad_name"),
        (grouped(asset_id="a\x00b"), "nul_character"),
        (grouped(sensor_id="x" * 256), "bad_name"),
        (grouped(metadata={"note": "a\x00b"}), "nul_character"),
        (grouped(features={}), "bad_features"),
        (grouped(features=[1]), "bad_features"),
        (grouped(features={"rms": None}), "bad_value"),
        (grouped(features={"rms": "1.2"}), "bad_value"),
        (grouped(features={"rms": True}), "bad_value"),
        (grouped(features={"x" * 256: 1.0}), "bad_name"),
        (b'{"asset_id":"A","features":{"rms":NaN}}', "bad_value"),
        (b'{"asset_id":"A","features":{"rms":-Infinity}}', "bad_value"),
        (b'{"asset_id":"A","features":{"rms":1e999}}', "bad_value"),
        (b'{"asset_id":"A","features":{"rms":1,"rms":2}}', "duplicate_key"),
        (b'{"asset_id":"A","asset_id":"B","features":{"rms":1}}', "duplicate_key"),
        (b'{"asset_id":"A","features":{"rms":1},"metadata":%s1%s}' % (b"[" * 300, b"]" * 300),
         "too_deep"),
        (grouped(timestamp="yesterday"), "bad_timestamp"),
        (grouped(timestamp=None), "bad_timestamp"),
        (grouped(timestamp=1767225600), "bad_timestamp"),
        (grouped(timestamp="2026-01-01T01:00:01Z"), "future_timestamp"),
        (b'{"name":"rms","value":1}', "missing_asset"),
        (b'{"name":"rms","value":null,"metadata":{"asset_id":"A"}}', "bad_value"),
        (b'{"name":7,"value":1,"metadata":{"asset_id":"A"}}', "bad_name"),
    ],
)  # fmt: skip
def test_bad_record_is_refused_with_its_reason(body, reason):
    rejection = read(body)
    assert isinstance(rejection, Rejection)
    assert rejection.reason == reason
    assert reason in REASONS
    assert rejection.message


def test_readings_of_now_pass_after_the_clock_was_set_back(monkeypatch):
    now = datetime.now(UTC)

    class Behind(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) - timedelta(hours=3)

    monkeypatch.setattr("schemas.datetime", Behind)
    monkeypatch.setattr(parsing, "datetime", Behind)
    reading = read(grouped(timestamp=now.isoformat()), timestamp=int(now.timestamp() * 1000))
    assert isinstance(reading, Reading), reading
    ahead = now + timedelta(hours=2)
    refused = read(grouped(timestamp=ahead.isoformat()), timestamp=int(ahead.timestamp() * 1000))
    assert isinstance(refused, Rejection)


def test_refusal_names_the_asset_where_it_can_be_read():
    rejection = read(grouped(timestamp="yesterday"))
    assert (rejection.asset_id, rejection.sensor_id) == ("A", "S1")


def test_one_hour_ahead_is_still_accepted():
    assert isinstance(read(grouped(timestamp="2026-01-01T01:00:00Z")), Reading)


def test_no_timestamp_anywhere_is_never_now():
    assert read(grouped(timestamp=...), timestamp=-1).reason == "bad_timestamp"


def test_nested_metadata_with_repeated_names_at_different_depths_is_no_repetition():
    reading = read(grouped(metadata={"a": {"a": {"a": 1}}, "text": 'odd": value'}))
    assert reading.metadata["a"] == {"a": {"a": 1}}


def test_metadata_that_is_no_object_is_kept():
    assert read(grouped(metadata=[1, 2])).metadata == {"caller": [1, 2]}


@given(st.binary(max_size=200))
def test_any_bytes_give_an_answer(body):
    assert isinstance(read(body), Reading | Rejection)


@given(st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
))  # fmt: skip
def test_any_json_in_any_place_gives_an_answer(value):
    import json

    for name in ("asset_id", "sensor_id", "features", "timestamp", "metadata"):
        document = json.loads(grouped())
        document[name] = value
        found = read(json.dumps(document).encode())
        assert isinstance(found, Reading | Rejection)
        if isinstance(found, Reading):
            orjson.dumps(found.metadata)


def test_dead_letter_headers_say_why_and_from_where():
    headers = dict(dead_letter_headers([("own", b"1")], Rejection("not_json", "no"), "in", 2, 7))
    assert headers == {
        "own": b"1",
        "dead-letter-reason": b"not_json",
        "dead-letter-message": b"no",
        "dead-letter-topic": b"in",
        "dead-letter-partition": b"2",
        "dead-letter-offset": b"7",
    }
