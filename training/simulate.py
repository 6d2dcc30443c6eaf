"""Simulate a plant: pumps and motors, load cycles, seasons, noise, and labelled faults.

Each asset has one stream with six features (vibration RMS and kurtosis, temperature, current,
pressure, flow). They follow a common load, a slow season and their own autocorrelated noise. Faults
have a known kind, time and set of affected features, so that recall, delay, false events and
explanations can be measured. Everything is seeded.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Final, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.arrays import Floats, Times
from runtime import at_least, command_parser, run_command

FaultKind = Literal["bearing_wear", "cavitation", "sensor_stuck", "sudden_shift"]

FEATURES: Final = ("vibration_rms", "kurtosis", "temperature", "current", "pressure", "flow")
FAULT_KINDS: Final[tuple[FaultKind, ...]] = get_args(FaultKind)
_START: Final = np.datetime64("2026-01-01", "us")
_AUTOCORRELATION: Final = 0.7  # of the noise, from one reading to the next

# kind -> feature -> (level at half load, change from idle to full load, noise sd, own unit)
_MACHINES: Final = {
    "PUMP": {
        "vibration_rms": (2.0, 0.6, 0.08),
        "kurtosis": (3.0, 0.1, 0.15),
        "temperature": (55.0, 12.0, 0.6),
        "current": (18.0, 8.0, 0.35),
        "pressure": (6.0, 2.0, 0.08),
        "flow": (120.0, 50.0, 2.0),
    },
    "MOTOR": {
        "vibration_rms": (1.2, 0.5, 0.05),
        "kurtosis": (2.9, 0.1, 0.12),
        "temperature": (65.0, 18.0, 0.7),
        "current": (32.0, 16.0, 0.6),
        "pressure": (2.5, 0.3, 0.05),
        "flow": (30.0, 8.0, 0.6),
    },
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One injected fault: readings ``start`` to ``end - 1`` of the asset, most affected first."""

    kind: FaultKind
    asset_id: str
    start: int
    end: int
    features: tuple[str, ...]


@dataclass(slots=True)
class Plant:
    """The plant that :func:`simulate` returns; lists hold one entry per asset."""

    asset_ids: list[str]
    timestamps: Times  # (n,) the same for all, UTC
    values: list[Floats]  # (n, 6) in the order of FEATURES
    labels: list[NDArray[np.int8]]  # (n,) 1 while a fault is present
    faults: list[Fault] = field(default_factory=list)

    @property
    def feature_names(self) -> list[str]:
        """Return the names of the features."""
        return list(FEATURES)

    def times(self) -> list[Times]:
        """Return the timestamps (n,) once per asset, in the form that ``fit_model_set`` expects."""
        return [self.timestamps for _ in self.asset_ids]

    def cut(self, start: int, end: int | None = None) -> Plant:
        """Return readings ``start`` to ``end`` of every asset, and the faults that lie inside."""
        stop = len(self.timestamps) if end is None else end
        kept = [
            replace(f, start=f.start - start, end=f.end - start)
            for f in self.faults
            if f.start >= start and f.end <= stop
        ]
        return Plant(
            self.asset_ids,
            self.timestamps[start:stop],
            [v[start:stop] for v in self.values],
            [label[start:stop] for label in self.labels],
            kept,
        )

    def frame(self) -> pd.DataFrame:
        """Return the wide form: asset_id, sensor_id, timestamp (aware UTC), the features, label."""
        parts = []
        for asset, values, labels in zip(self.asset_ids, self.values, self.labels, strict=True):
            part = pd.DataFrame(values, columns=list(FEATURES))
            part.insert(0, "asset_id", asset)
            part.insert(1, "sensor_id", "S1")
            part.insert(2, "timestamp", pd.DatetimeIndex(self.timestamps).tz_localize("UTC"))
            part["label"] = labels
            parts.append(part)
        return pd.concat(parts, ignore_index=True)


def simulate(
    *,
    assets: int = 6,
    readings: int = 5000,
    seed: int = 0,
    interval_s: float = 60.0,
    ramp: float = 0.0,
    faults: int = 0,
    first_fault: int = 0,
    kinds: tuple[FaultKind, ...] = FAULT_KINDS,
    machines: tuple[str, ...] = ("PUMP", "MOTOR"),
) -> Plant:
    """Simulate a plant.

    Parameters
    ----------
    assets, readings : number of assets and readings of each.
    machines : "PUMP" or "MOTOR", taken in turn for the assets.
    seed : the same seed gives the same plant.
    interval_s : seconds between readings.
    ramp : drift of every feature from the first to the last reading, in noise sd.
    faults, first_fault : faults per asset, evenly distributed after the reading ``first_fault``.
    kinds : fault kinds, used in turn.
    """
    step = np.timedelta64(timedelta(seconds=interval_s))
    timestamps = _START + np.arange(readings) * step
    plant = Plant([], timestamps, [], [])
    kind_at = 0
    for i in range(assets):
        rng = np.random.default_rng([seed, i])
        machine = machines[i % len(machines)]
        asset = f"{machine}_{i + 1:03d}"
        values, noise_sd = _normal(rng, machine, readings, interval_s, ramp)
        labels = np.zeros(readings, np.int8)
        room = (readings - first_fault) / max(faults, 1)
        for k in range(faults):
            kind = kinds[kind_at % len(kinds)]
            kind_at += 1
            begin = int(first_fault + room * (k + rng.uniform(0.25, 0.45)))
            fault = _inject(rng, values, noise_sd, kind, asset, begin, int(room * 0.35))
            labels[fault.start : fault.end] = 1
            plant.faults.append(fault)
        plant.asset_ids.append(asset)
        plant.values.append(values)
        plant.labels.append(labels)
    return plant


def _normal(
    rng: np.random.Generator, machine: str, n: int, interval_s: float, ramp: float
) -> tuple[Floats, Floats]:
    """Return normal readings (n, 6) of one asset and each feature's noise sd."""
    t = np.arange(n) * interval_s
    phase = rng.uniform(0, 2 * np.pi, 4)
    day, shift = 2 * np.pi * t / 86400, 2 * np.pi * t / rng.uniform(7000, 11000)
    load = 0.5 + 0.2 * np.sin(day + phase[0]) + 0.15 * np.sin(shift + phase[1])
    load = np.clip(load + 0.08 * ar1(rng, n, 0.95), 0.0, 1.0)
    heat = _lagged(load, 0.1)  # temperature follows the load slowly
    season = np.sin(2 * np.pi * t / (86400 * rng.uniform(5, 9)) + phase[2])
    values = np.empty((n, len(FEATURES)))
    sds = np.empty(len(FEATURES))
    for j, name in enumerate(FEATURES):
        level, gain, sd = _MACHINES[machine][name]
        level *= 1 + rng.normal(0, 0.01)
        drive = heat if name == "temperature" else load
        wander = ramp * rng.choice([-1.0, 1.0]) * np.linspace(0, 1, n)
        noise = ar1(rng, n, _AUTOCORRELATION)
        values[:, j] = level + gain * (drive - 0.5) + sd * (noise + 0.7 * season + wander)
        sds[j] = sd
    return values, sds


def ar1(rng: np.random.Generator, shape: int | tuple[int, int], phi: float) -> Floats:
    """Return unit-variance autoregressive noise of order one, (n,) or each column of (n, d).

    Parameters
    ----------
    shape
        n, or (n, d).
    phi
        Correlation of consecutive values, in [0, 1).
    """
    from scipy.signal import lfilter

    white = rng.normal(size=shape) * np.sqrt(1 - phi**2)
    white[0] /= np.sqrt(1 - phi**2)
    out: Floats = lfilter([1.0], [1.0, -phi], white, axis=0)
    return out


def _lagged(values: Floats, rate: float) -> Floats:
    from scipy.signal import lfilter

    start = [(1 - rate) * values[0]]
    out: Floats = lfilter([rate], [1.0, rate - 1.0], values, zi=start)[0]
    return out


def _inject(
    rng: np.random.Generator,
    values: Floats,
    sd: Floats,
    kind: FaultKind,
    asset: str,
    start: int,
    longest: int,
) -> Fault:
    """Write one fault into ``values`` in place."""
    at: dict[str, int] = {name: j for j, name in enumerate(FEATURES)}
    length = int(min(longest, {"bearing_wear": 600, "cavitation": 240}.get(kind, 180)))
    end = min(start + max(length, 20), len(values))
    n = end - start
    grow = np.linspace(0, 1, n) ** 1.5
    guilty: tuple[str, ...]
    if kind == "bearing_wear":  # vibration and impulsiveness grow until repaired
        guilty = ("vibration_rms", "kurtosis", "temperature")
        for name, top in zip(guilty, (14.0, 12.0, 5.0), strict=True):
            values[start:end, at[name]] += top * sd[at[name]] * grow
    elif kind == "cavitation":  # pressure and flow collapse noisily, vibration rises
        guilty = ("pressure", "vibration_rms", "flow")
        burst = np.abs(rng.normal(1.0, 0.35, n))
        for name, top in zip(guilty, (-9.0, 7.0, -6.0), strict=True):
            values[start:end, at[name]] += top * sd[at[name]] * burst
    else:
        name = FEATURES[int(rng.integers(len(FEATURES)))]
        guilty = (name,)
        j = at[name]
        if kind == "sensor_stuck":  # frozen at a value the load would not explain
            side = float(rng.choice([-1.0, 1.0]))
            values[start:end, j] = values[start, j] + side * 8.0 * sd[j]
        else:
            size = float(rng.choice([-1.0, 1.0]) * rng.uniform(8.0, 12.0))
            values[start:end, j] += size * sd[j]
    return Fault(kind, asset, start, end, guilty)


def main(argv: list[str] | None = None) -> int:
    """Write a plant in the wide form, and list its faults."""
    parser = command_parser(
        "training.simulate",
        "Write a simulated plant as wide CSV. The defaults are the plant that\n"
        "`python -m training.fit` trains on; its faults lie in the last fifth.",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="CSV to write")
    parser.add_argument("--assets", type=at_least(1), default=4,
                        help="pumps and motors (%(default)s)")  # fmt: skip
    parser.add_argument("--readings", type=at_least(5), default=6000,
                        help="per asset (%(default)s)")  # fmt: skip
    parser.add_argument("--faults", type=at_least(0), default=2, help="per asset (%(default)s)")
    parser.add_argument("--from", type=at_least(0), default=0, dest="first", metavar="ROW",
                        help="write only the readings from this one on (%(default)s)")  # fmt: skip
    parser.add_argument("--seed", type=at_least(0), default=0, help="of everything (%(default)s)")
    args = parser.parse_args(argv)
    plant = simulate(
        assets=args.assets,
        readings=args.readings,
        faults=args.faults,
        first_fault=args.readings * 4 // 5,
        seed=args.seed,
    )
    # sorted by time, as a plant would send them
    frame = plant.cut(args.first).frame().sort_values(["timestamp", "asset_id"])
    with args.out.open("w", encoding="utf-8", newline="") as file:
        frame.to_csv(file, index=False)
    for fault in plant.faults:
        begin, end = plant.timestamps[[fault.start, fault.end - 1]].astype("datetime64[s]")
        print(f"  {fault.asset_id}  {fault.kind:<13} {begin} to {end}  {', '.join(fault.features)}")
    print(f"{args.out}: {len(frame)} readings of {args.assets} assets")
    return 0


if __name__ == "__main__":
    run_command(main)
