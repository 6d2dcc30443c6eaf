"""What detection counts of its results."""

from __future__ import annotations

from serving.detection.detection_service import _READINGS, _count


def test_an_error_entry_is_counted_as_refused() -> None:
    before = _READINGS["refused"]._value.get()
    _count([{"error": {"code": "bad_name"}}, {"error": {}, "metadata": {"window": "left_out"}}])
    assert _READINGS["refused"]._value.get() == before + 2
