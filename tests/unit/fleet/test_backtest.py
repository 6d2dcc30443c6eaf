"""The faults that a fleet's back-test is judged on, and its picture."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from errors import InputError
from fleet.backtest import faults_of
from fleet.what_if import Exposure, Fault, draw
from tests.fixtures.settings import SETTINGS

DAY, NEXT = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)


def test_ids_that_look_like_numbers_stay_as_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "faults.csv"
    path.write_text("start,end,asset_id\n2026-01-01,2026-01-02T01:00:00+01:00,007\n")
    assert faults_of(SETTINGS, str(path)) == [Fault("007", DAY, NEXT)]
    pq.write_table(
        pa.table({"asset_id": [7], "start": [DAY], "end": [NEXT]}), tmp_path / "f.parquet"
    )
    assert faults_of(SETTINGS, str(tmp_path / "f.parquet")) == [Fault("7", DAY, NEXT)]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("A,2026-01-02,2026-01-01", "row 1: end: 2026-01-01T00:00:00"),
        (",2026-01-01,2026-01-02", "row 1: asset_id"),
        ("A,,2026-01-02", "row 1: start"),
    ],
)
def test_a_wrong_fault_is_named(tmp_path: Path, row: str, message: str) -> None:
    path = tmp_path / "faults.csv"
    path.write_text(f"asset_id,start,end\n{row}\n")
    with pytest.raises(InputError, match=message):
        faults_of(SETTINGS, str(path))


def test_days_without_readings_shift_no_alarm_in_the_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr("fleet.what_if.plots.save", lambda figure, path: drawn.append(figure))
    exposure = Exposure("1", 2, 2, date(2026, 1, 1), date(2026, 1, 9), {"medium": 1})
    table = pa.table({"factor": [1.0], "opened_at": [datetime(2026, 1, 9, 12, tzinfo=UTC)]})
    row = {"budget_per_asset_month": 1.0, "incidents_per_asset_month": 1.0, "faults": 0}
    draw([row], table, exposure, 1, tmp_path / "what_if.png")
    (days,) = [line for line in drawn[0].axes[1].lines if len(line.get_xdata()) == 9]
    assert np.asarray(days.get_ydata()).tolist() == [0.0] * 8 + [1.0]
