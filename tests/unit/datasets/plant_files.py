"""Make files as plants have them, and compare what is read of them."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import numpy as np

import datasets

HEAD = "asset_id,timestamp,vib,temp,flow"
START = datetime(2026, 1, 1)
Load = Callable[..., datasets.Dataset]


def readings(n: int = 40, seed: int = 0) -> np.ndarray:
    """Three sensors (n, 3) with four decimals."""
    return np.round(np.random.default_rng(seed).normal([2, 60, 30], [0.2, 2, 1], (n, 3)), 4)


def table(
    values: np.ndarray, sep: str = ",", decimal: str = ".", head: str | None = HEAD,
    stamp: str = "%Y-%m-%dT%H:%M:%SZ", step_s: int = 60, asset: str = "P1",
) -> str:  # fmt: skip
    """A wide file as text."""
    lines = [] if head is None else [head.replace(",", sep)]
    for i, row in enumerate(values):
        cells = [f"{v:g}".replace(".", decimal) for v in row]
        lines.append(sep.join([asset, f"{START + timedelta(seconds=step_s * i):{stamp}}", *cells]))
    return "\r\n".join(lines) + "\r\n"


def same(data: datasets.Dataset, values: np.ndarray, names: Sequence[str] | None = None) -> None:
    assert data.feature_names == list(names or HEAD.split(",")[2:])
    np.testing.assert_array_equal(data.streams[0].values, values)
    assert data.streams[0].timestamps[0] == np.datetime64(START)


def scada(rows: int = 300) -> bytes:
    """A wind turbine's export: no asset, blanks within times, the degree sign of a code page."""
    random = np.random.default_rng(0)
    out = io.StringIO()
    out.write("Date/Time,LV ActivePower (kW),Wind Speed (m/s),Wind Direction (°)\r\n")
    for i in range(rows):
        wind = 5 + 3 * np.sin(i / 50) + random.normal() * 0.3
        moment = datetime(2018, 1, 1) + timedelta(minutes=10 * i)
        out.write(f"{moment:%d %m %Y %H:%M},{wind**3:.10f},{wind:.11f},{259 + wind:.10f}\r\n")
    return out.getvalue().encode("cp1252")


def gas_sensor(rows: int = 300) -> str:
    """A gas sensor's export: two columns for the time, decimal commas, an empty tail, -200."""
    random = np.random.default_rng(0)
    lines = ["Date;Time;CO(GT);PT08.S1(CO);T;AH;;"]
    for i in range(rows):
        moment = datetime(2004, 3, 10, 18) + timedelta(hours=i)
        cells = [2 + random.normal() * 0.3, 1200 + random.normal() * 90, 14 + random.normal(), 0.8]
        if i % 9 == 4:
            cells = [-200.0] * 4
        shown = ";".join(f"{c:.1f}".replace(".", ",").removesuffix(",0") for c in cells)
        lines.append(f"{moment:%d/%m/%Y};{moment:%H.%M.%S};{shown};;")
    return "\r\n".join([*lines, *[";;;;;;;"] * 20]) + "\r\n"
