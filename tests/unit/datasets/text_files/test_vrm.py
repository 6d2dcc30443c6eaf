"""Exports of Victron's VRM have three lines of names."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from tests.unit.datasets.plant_files import Load

DEVICES = "timestamp,Gateway [0],Gateway [0],Solar Charger [258],Battery Monitor [256]"
BELOW = "Europe/Berlin (+01:00),State,L1,Voltage,Voltage"


def export(units: str, below: str = BELOW) -> str:
    lines = [DEVICES, below, units]
    for i in range(60):
        moment = datetime(2026, 3, 2, 6) + timedelta(minutes=15 * i)
        lines.append(f"{moment},Bulk,{500 + i % 7},{50 + i % 3}.5,{51 + i % 4}.5")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("quoted", [False, True])
@pytest.mark.parametrize("units", [",,W,V,V", ",,W,V,A", ",,W,,", ",,,,"])
def test_device_and_description_are_a_name(load: Load, units: str, quoted: bool) -> None:
    text = export(units)
    if quoted:
        text = "\n".join('"' + line.replace(",", '","') + '"' for line in text.splitlines())
    data = load(text, asset_id="P1")
    assert data.feature_names == [
        "Gateway [0] L1", "Solar Charger [258] Voltage", "Battery Monitor [256] Voltage",
    ]  # fmt: skip
    (stream,) = data.streams
    assert stream.values.tolist() == [[500 + i % 7, 50.5 + i % 3, 51.5 + i % 4] for i in range(60)]
    assert str(stream.timestamps[0]) == "2026-03-02T05:00:00.000000"
    assert data.units["Gateway [0] L1"] == (["W"] if "W" in units else [])


def test_the_callers_zone_takes_precedence(load: Load) -> None:
    text = export(",,W,V,V", BELOW.replace("Europe/Berlin (+01:00)", "UTC (+00:00)"))
    assert load(text, asset_id="P1").streams[0].timestamps[0].item().hour == 6
    data = load(text, asset_id="P1", time_zone="Etc/GMT-2")
    assert data.streams[0].timestamps[0].item().hour == 4
