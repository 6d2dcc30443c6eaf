"""Join files that hold one sensor each into readings of one asset, by time.

The readings of an asset have the times of the sensor with most values, and those of the others
where it is silent. A sensor's value counts from half a reading's interval before its time (clocks
of sensors are never quite alike) until the next is due: for one and a quarter of the sensor's own
intervals. Where a sensor has no such value, it was not measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from datasets.columns.long_tables import names_values
from datasets.format import names_in
from datasets.sampled_columns import plain_name
from datasets.types import Dataset, Floats, Stream, StreamKey, Times, span_text
from errors import DatasetError

#: Intervals of a sensor for which its value counts: the next may be a little late.
_KEPT: Final = 1.25
#: A sensor whose longer intervals are so many times the usual one stores changes only.
_IRREGULAR: Final = 2.5
_ALONE: Final = 0.95  # share of rows with one value, in a file of sensors that report on their own
_SHOWN: Final = 5  # sensors named in a note


@dataclass(frozen=True, slots=True)
class _Sensor:
    """One feature's values.

    Parameters
    ----------
    name : the feature.
    times : (n,) in order; of equal times the last counts.
    values : (n,) NaN where nothing was measured.
    labels : (n,) -1 where unknown.
    rows : (n,) row numbers in the file; None unless all are from one file.
    usual_s, longest_s : usual interval, and that which hardly any is longer than.
    """

    name: str
    times: Times
    values: Floats
    labels: npt.NDArray[np.int8]
    rows: npt.NDArray[np.int64] | None
    usual_s: float
    longest_s: float


def joined_by_time(files: Sequence[str], parts: Sequence[Dataset]) -> Dataset:
    """Return the sensors of each asset as one stream.

    Parameters
    ----------
    files
        The files' names without suffixes; a sensor whose column is just called "value" has the
        name of its file.
    parts
        What the files hold.

    Raises
    ------
    DatasetError
        The sensors of an asset are in several groups.
    """
    telling = _telling_columns(parts)
    assets: dict[str, dict[str, list[tuple[Stream, int]]]] = {}
    for file, part in zip(files, parts, strict=True):
        for stream in part.streams:
            for index, column in enumerate(part.feature_names):
                name = column if column in telling else _name(file, stream, column, part)
                assets.setdefault(stream.asset_id, {}).setdefault(name, []).append((stream, index))
    return _joined_assets(assets, parts)


def joined_columns(parts: Sequence[Dataset]) -> Dataset:
    """Return the parts of one file, whose features have different names, as one stream per asset.

    The row of a reading is that of the value whose time it has.
    """
    assets: dict[str, dict[str, list[tuple[Stream, int]]]] = {}
    for part in parts:
        for stream in part.streams:
            for index, name in enumerate(part.feature_names):
                assets.setdefault(stream.asset_id, {})[name] = [(stream, index)]
    return _joined_assets(assets, parts)


def with_features(data: Dataset, wanted: str | Sequence[str] | None) -> Dataset:
    """Return the data with some features, as a list or as typed; None: all.

    Raises
    ------
    DatasetError
        Names one that is missing.
    """
    if wanted is None:
        return data
    names = names_in(wanted, data.feature_names, "features")
    at = [data.feature_names.index(name) for name in names]
    streams = [replace(stream, values=stream.values[:, at]) for stream in data.streams]
    return replace(data, feature_names=names, streams=streams)


def _joined_assets(
    assets: dict[str, dict[str, list[tuple[Stream, int]]]], parts: Sequence[Dataset]
) -> Dataset:
    """Return the sensors of each asset, by name, as one stream; they are of ``parts``."""
    names = list(dict.fromkeys(name for sensors in assets.values() for name in sensors))
    notes: list[str] = []
    streams = [
        _joined(asset, [_sensor(*sensor) for sensor in sensors.items()], names, notes)
        for asset, sensors in assets.items()
    ]
    return Dataset(names, streams, notes, _groups(parts))


def hint(parts: Sequence[Dataset]) -> str | None:
    """Return a note if files that were read as one asset each may be sensors of one machine."""
    single = all(len(part.feature_names) == len(part.streams) == 1 for part in parts)
    streams = [part.streams[0] for part in parts if part.streams]
    if not single or len({stream.asset_id for stream in streams}) < len(parts) or len(parts) < 2:
        return None
    if max(s.timestamps[0] for s in streams) > min(s.timestamps[-1] for s in streams):
        return None
    return (
        "each file holds one value per time and is read as an asset of its own: if they are the"
        " sensors of one machine, --one-file-per feature joins them by time"
    )


def one_value_per_row(values: Floats) -> bool:
    """Return whether rows (n, d) hold a value of one sensor each, at its own times.

    Then the others were not due, while they are lost where rows usually hold several.
    """
    filled = np.sum(~np.isnan(values), axis=1)
    return values.shape[1] > 1 and bool(np.mean(filled == 1) > _ALONE)


def _telling_columns(parts: Sequence[Dataset]) -> set[str]:
    """Return the columns that name one sensor: in one file, or in files one after the other."""
    ranges: dict[tuple[str, str], list[tuple[np.datetime64, np.datetime64]]] = {}
    for part in parts:
        for stream in part.streams:
            for column in part.feature_names:
                span = stream.timestamps[0], stream.timestamps[-1]
                ranges.setdefault((column, stream.asset_id), []).append(span)
    several = {
        column for (column, _), spans in ranges.items()
        if any(end >= begin for (_, end), (begin, _) in pairwise(sorted(spans)))
    }  # fmt: skip
    return {
        column for column, _ in ranges
        if column not in several and not names_values(plain_name(column))
    }  # fmt: skip


def _name(file: str, stream: Stream, column: str, part: Dataset) -> str:
    """Return a feature's name from its file, its sensor and its column as far as they differ."""
    sensor = stream.sensor_id if len(part.streams) > 1 else None
    return " ".join(filter(None, [file, sensor, column if len(part.feature_names) > 1 else None]))


def _sensor(name: str, pieces: Sequence[tuple[Stream, int]]) -> _Sensor:
    """Return a sensor from the streams that hold its values, each in one of its columns."""
    pieces = [
        (stream.take(~np.isnan(stream.values[:, index])), index)
        if one_value_per_row(stream.values) else (stream, index)
        for stream, index in pieces
    ]  # fmt: skip
    times = np.concatenate([stream.timestamps for stream, _ in pieces]).astype("datetime64[us]")
    values = np.concatenate([stream.values[:, index] for stream, index in pieces])
    labels = np.concatenate(
        [
            np.full(len(stream.timestamps), -1, np.int8) if stream.labels is None else stream.labels
            for stream, _ in pieces
        ]
    )
    of_streams = [stream.rows for stream, _ in pieces]
    rows = of_streams[0] if len(of_streams) == 1 else None
    order = np.argsort(times, kind="stable")
    steps = np.diff(np.unique(times)).astype(np.int64) / 1e6
    usual, longest = np.quantile(steps, (0.5, 0.95)) if len(steps) else (0.0, 0.0)
    return _Sensor(
        name, times[order], values[order], labels[order], None if rows is None else rows[order],
        float(usual), float(longest),
    )  # fmt: skip


def _joined(asset: str, sensors: list[_Sensor], names: list[str], notes: list[str]) -> Stream:
    """Return an asset's sensors as one stream.

    Parameters
    ----------
    asset, sensors
        The asset and its sensors.
    names
        The features of all assets.
    notes
        Receives a sentence on how the sensors were joined.
    """
    order = sorted(sensors, key=lambda sensor: (-len(sensor.times), sensor.longest_s))
    step_s = order[0].usual_s
    times = _times_of(order)
    values = np.full((len(times), len(names)), np.nan)
    labels = np.full(len(times), -1, np.int8)
    for sensor in sensors:
        at = _valid(times, sensor, step_s)
        values[:, names.index(sensor.name)] = np.where(at < 0, np.nan, sensor.values[at])
        labels = np.maximum(labels, np.where(at < 0, np.int8(-1), sensor.labels[at]))
    notes.append(f"{asset}: {len(sensors)} sensors are joined by time to {len(times):,} readings")
    if any(not np.array_equal(sensor.times, times) for sensor in sensors):
        notes[-1] += (
            f" {span_text(step_s)} apart; a value counts until the next is due: {_kept(order)}"
        )
    if repeated := sum(len(sensor.times) - len(np.unique(sensor.times)) for sensor in sensors):
        notes.append(
            f"{asset}: {repeated:,} values are given twice for one time: the last is taken"
        )
    return Stream(
        asset, None, times, values, labels if (labels >= 0).any() else None, _rows(times, order)
    )


def _rows(times: Times, order: Sequence[_Sensor]) -> npt.NDArray[np.int64] | None:
    """Return the row (n,) of the value that gives each reading its time; None of several files."""
    rows = np.zeros(len(times), np.int64)
    for sensor in reversed(order):  # the first gives the times
        if sensor.rows is None:
            return None
        at = np.minimum(np.searchsorted(times, sensor.times), len(times) - 1)
        exact = times[at] == sensor.times
        rows[at[exact]] = sensor.rows[exact]
    return rows


def _times_of(order: Sequence[_Sensor]) -> Times:
    """Return the times of readings: the first sensor's, and of the others where it is silent."""
    times = np.unique(order[0].times)
    for sensor in order[1:]:
        far = np.timedelta64(round(_keep_s(sensor) * 1e6), "us")
        own = np.unique(sensor.times)
        at = np.searchsorted(times, own)
        before, after = times[np.maximum(at - 1, 0)], times[np.minimum(at, len(times) - 1)]
        alone = (np.abs(own - before) > far) & (np.abs(after - own) > far)
        times = np.union1d(times, own[alone])
    return times


def _valid(times: Times, sensor: _Sensor, step_s: float) -> npt.NDArray[np.intp]:
    """Return the index (n,) of the value that counts at each time; -1 if there is none."""
    half = np.timedelta64(round(step_s * 5e5), "us")
    kept = np.timedelta64(round(_keep_s(sensor) * 1e6), "us")
    at = np.searchsorted(sensor.times, times + half, side="right") - 1
    same = np.searchsorted(sensor.times, times, side="right") - 1
    exact = (same >= 0) & (sensor.times[same] == times)
    near = (at >= 0) & (times + half - sensor.times[at] <= kept)
    return np.where(exact, same, np.where(near, at, -1))


def _keep_s(sensor: _Sensor) -> float:
    """Return the seconds for which a value counts."""
    irregular = sensor.longest_s > _IRREGULAR * sensor.usual_s
    return sensor.longest_s if irregular else _KEPT * sensor.usual_s


def _kept(order: Sequence[_Sensor]) -> str:
    """Describe for how long the values of the slowest sensors count."""
    slow = sorted(order, key=_keep_s, reverse=True)
    shown = ", ".join(f"{sensor.name} {span_text(_keep_s(sensor))}" for sensor in slow[:_SHOWN])
    return f"{shown}, ..." if len(slow) > _SHOWN else shown


def _groups(parts: Sequence[Dataset]) -> dict[StreamKey, str] | None:
    """Return the group of each asset; files of an asset must agree on it."""
    out: dict[StreamKey, str] = {}
    for part in parts:
        for (asset, _), value in (part.groups or {}).items():
            if out.setdefault((asset, None), value) != value:
                raise DatasetError(
                    f"--one-file-per feature: the sensors of {asset} are in several groups"
                    f" ({out[asset, None]!r}, {value!r})",
                    field="one-file-per",
                )
    return out or None
