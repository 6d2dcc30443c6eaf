"""Training on stored readings leaves out maintenance and machines that were off."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from db.queries.readings import StoredReading
from errors import DatasetError
from models.scoring.maintenance.maintenance_window import MaintenanceWindow
from models.scoring.maintenance.suppression import OffCondition, Suppression
from training.data.postgres import to_streams

START = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def readings(asset: str) -> list[StoredReading]:
    return [
        StoredReading(asset, "S", None, START + i * MINUTE, {"rpm": float(i)}, False, group="g")
        for i in range(10)
    ]


def window(**given) -> MaintenanceWindow:
    return MaintenanceWindow("w", START + 5 * MINUTE, START + 8 * MINUTE, **given)


def test_what_is_suppressed_is_left_out_and_said():
    off = OffCondition("rpm", "<", 2.0, group="g")
    suppression = Suppression((window(asset_id="A*"),), (off,))
    data = to_streams([*readings("A1"), *readings("B1")], "stored", suppression=suppression)
    kept = {s.asset_id: s.values[:, 0].tolist() for s in data.streams}
    assert kept == {"A1": [2, 3, 4, 8, 9], "B1": [2, 3, 4, 5, 6, 7, 8, 9]}
    assert "7 of maintenance or machines that were off left out" in data.source


def test_all_suppressed_is_an_error_that_says_what_keeps_them():
    off = OffCondition("rpm", ">=", 0.0)
    with pytest.raises(DatasetError, match="--keep-suppressed"):
        to_streams(readings("A"), "stored", suppression=Suppression((), (off,)))


def test_nothing_planned_leaves_out_nothing():
    assert to_streams(readings("A"), "stored", suppression=Suppression((), ())).rows == 10
