"""Columns that mark daylight saving are left out, and are no names of a long table's sensors."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.unit.datasets.plant_files import Load


@pytest.mark.parametrize(
    ("name", "summer", "winter"),
    [("SZ", "S", "W"), ("DST", "1", "0"), ("is_dst", "Y", "N"), ("Mode", "ST", "NT")],
)
def test_a_mark_of_daylight_saving_is_left_out(
    load: Load, name: str, summer: str, winter: str
) -> None:
    when = pd.date_range("2024-10-26 22:00", periods=40, freq="15min", tz="UTC")
    local = when.tz_convert("Europe/Berlin")
    rows = "".join(
        f"{t:%Y-%m-%d %H:%M},{summer if t.dst() else winter},{i * 7 % 11}.5\n"
        for i, t in enumerate(local)
    )
    text = f"timestamp,{name},f\n{rows}"
    data = load(text, asset_id="A", time_zone="Europe/Berlin")
    assert data.feature_names == ["f"]
    assert any(f"column {name!r} marks daylight saving" in note for note in data.notes)
    np.testing.assert_array_equal(
        data.streams[0].timestamps, when.tz_localize(None).to_numpy("datetime64[us]")
    )
    if winter == "0":
        wished = load(text, asset_id="A", time_zone="Europe/Berlin", features=f"f,{name}")
        assert wished.feature_names == ["f", name]
