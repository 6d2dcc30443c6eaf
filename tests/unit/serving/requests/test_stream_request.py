"""The streams of ``/detect/streams``: readings in two forms, bad ones in their places."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from config import Settings
from errors import InputError, TooLarge
from models.scoring.stream_work import Reading
from serving.requests.stream_request import Stream, parse_streams

LIMITS = Settings(_env_file=None, max_batch_items=4, max_features=3, max_history=2)
T = "2026-01-01T00:00:00+00:00"


def parse(*streams: dict[str, Any], **envelope: Any) -> list[Stream]:
    content = {"streams": [{"asset_id": "A", **one} for one in streams], **envelope}
    return parse_streams(orjson.dumps(content), LIMITS)[0]


def test_both_forms_are_the_same_readings() -> None:
    one = [{"timestamp": T, "features": {"x": 1, "y": 2}}, {"timestamp": T, "features": {"x": 3}}]
    table = {"names": ["x", "y"], "rows": [[T, 1, 2], [T, 3, None]]}
    first, second = parse({"readings": one}, {"readings": table})
    assert first.readings == second.readings
    assert first.work.readings == first.readings


def test_a_bad_reading_leaves_its_error_and_its_arrival_goes_with_it() -> None:
    rows = [[T, 1], [T, "x"], [T], ["soon", 2], [T, 4]][:4]
    (stream,) = parse(
        {"readings": {"names": ["x"], "rows": rows}, "arrived": [T, None, T, "2026-01-02"]}
    )
    assert [isinstance(one, Reading) for one in stream.readings] == [True, False, False, False]
    assert [one.field for one in stream.readings if isinstance(one, InputError)] == [
        "streams[0].readings[1].features.x",
        "streams[0].readings[2]",
        "streams[0].readings[3].timestamp",
    ]
    assert [reading.features for reading in stream.work.readings] == [{"x": 1.0}]
    assert len(stream.work.arrived) == 1


def test_what_holds_for_all_streams_goes_to_each() -> None:
    window = {"start": T, "end": "2026-01-02T00:00:00+00:00"}
    condition = {"feature": "x", "operator": "<", "value": 1}
    streams = parse(
        {}, {"reset": 3, "false_alarms": 2, "closed_events": ["e"]}, renew=True, now=T,
        maintenance_windows=[window, {**window, "alarms": False}], off_conditions=[condition],
    )  # fmt: skip
    for stream in streams:
        assert [len(stream.work.maintenance), len(stream.work.off_conditions)] == [1, 1]
        assert stream.work.renew
        assert stream.work.now is not None
    assert [one.work.reset for one in streams] == [0, 3]
    assert [one.work.false_alarms for one in streams] == [0, 2]
    assert [list(one.work.closed_events) for one in streams] == [[], ["e"]]


@pytest.mark.parametrize(
    ("stream", "field"),
    [
        ({"window": [{"timestamp": T, "features": {"x": None}}]}, "streams[0].window[0]"),
        ({"window": [[]]}, "streams[0].window[0]"),
        ({"readings": {"names": ["x", "x"], "rows": []}}, "streams[0].readings.names"),
        ({"readings": [], "arrived": [T]}, "streams[0].arrived"),
        ({"sensor_id": ""}, "streams[0].sensor_id"),
        ({"criticality": "grave"}, "streams[0].criticality"),
        ({"reset": -1}, "streams[0].reset"),
    ],
)
def test_a_wrong_envelope_names_its_field(stream: dict[str, Any], field: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(stream)
    assert (caught.value.field or "").startswith(field)


def test_limits_hold_for_a_stream_and_for_all() -> None:
    reading = {"timestamp": T, "features": {"x": 1}}
    for streams in ([{"window": [reading] * 3}], [{"readings": [reading] * 5}],
                    [{"readings": [reading] * 3}] * 2):  # fmt: skip
        with pytest.raises(TooLarge):
            parse(*streams)
