"""What COPY is given: ids that are the same for ever, values as their columns want them."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID, uuid4, uuid5

import pytest

from db.queries.copy import NAMESPACE, detection_id, encoders
from db.tables import AnomalyDetection, DeadLetter


def test_detection_id_is_the_uuid5_of_the_source_key() -> None:
    topic = uuid4()
    assert detection_id(topic, 3, 77) == uuid5(NAMESPACE, f"{topic}/3/77")
    # Never to change: readers know rows by it.
    assert detection_id(UUID(int=1), 0, 5) == UUID("fa7ab18f-6124-5eea-a4dd-20ffd40e15d9")


@pytest.mark.parametrize(
    ("column", "value", "written"),
    [
        ("timestamp", datetime(2026, 1, 1, tzinfo=UTC), "2026-01-01T00:00:00+00:00"),
        ("asset_id", "a\tb\\c\nd", r"a\tb\\c\nd"),
        ("asset_id", "a\x00\ud800", "a\ufffd\ufffd"),
        ("is_anomaly", True, "t"),
        ("final_score", 1, "1.0"),
        ("source_offset", 7.0, "7"),
        ("features", {"a": 'x"y'}, r'{"a":"x\\"y"}'),
        ("topic_id", UUID(int=1), str(UUID(int=1))),
    ],
)
def test_a_value_is_written_as_its_column_wants_it(
    column: str, value: object, written: str
) -> None:
    assert encoders(AnomalyDetection)[column](value) == written


@pytest.mark.parametrize(
    ("value", "written"), [(b"plain", "plain"), (b"a\\b", "\\\\x615c62"), (b"\xff", "\\\\xff")]
)
def test_plain_bytes_are_written_as_they_are_and_others_in_hex(value: bytes, written: str) -> None:
    assert encoders(DeadLetter)["value"](value) == written


def test_a_time_without_an_offset_is_refused() -> None:
    with pytest.raises(ValueError, match="without an offset"):
        encoders(AnomalyDetection)["timestamp"](datetime(2026, 1, 1))


def test_the_server_fills_in_what_it_knows_best() -> None:
    assert not {"created_at", "stream_id"} & encoders(AnomalyDetection).keys()
