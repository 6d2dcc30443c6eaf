"""Turn a long table, with one value per row, into readings: values of equal times become one."""

from __future__ import annotations

from typing import Final

import numpy as np

from datasets.columns.long_tables import names_values
from datasets.sampled_columns import plain_name
from datasets.types import Dataset, Stream, StreamKey
from datasets.unreadable import ONE_OF
from errors import DatasetError

#: Share of the values that must be there; sensors sampled at different times have few in common.
_LEAST: Final = 0.5


def pivoted(data: Dataset, column: str) -> Dataset:
    """Return the streams of each asset's sensors as one stream, whose features are the sensors.

    Parameters
    ----------
    data
        One stream per asset and sensor.
    column
        Name of the column of sensors, for messages.

    Raises
    ------
    DatasetError
        The sensors of an asset do not have their times in common.
    """
    notes = list(data.notes)
    columns = list(range(len(data.feature_names)))
    values = [i for i in columns if names_values(plain_name(data.feature_names[i]))]
    if len(columns) > 1 and len(values) == 1:
        beside = [name for i, name in enumerate(data.feature_names) if i not in values]
        notes.append(
            f"{', '.join(beside)}: left out beside {data.feature_names[values[0]]!r}"
            " (--features chooses)"
        )
        columns = values
    named = [data.feature_names[i] for i in columns]
    names: dict[str, int] = {}
    assets: dict[str, list[Stream]] = {}
    for stream in data.streams:
        assets.setdefault(stream.asset_id, []).append(stream)
        for name in named:
            names.setdefault(_name(stream, name, named), len(names))
    streams, repeated = [], 0
    for asset, parts in assets.items():
        where = [[names[_name(part, name, named)] for name in named] for part in parts]
        stream, again = _joined(asset, parts, where, columns, len(names))
        repeated += again
        known = ~np.isnan(stream.values[:, sorted({i for at in where for i in at})])
        if known.mean() < _LEAST:
            raise DatasetError(
                f"--pivot: the sensors of {asset} are sampled at different times"
                f" ({known.mean():.0%} of the values are there): export values interpolated to"
                f" common times, or --columns sensor_id={column} makes each sensor a stream",
                field="pivot",
            )
        streams.append(stream)
    rows = sum(len(stream.timestamps) for stream in streams)
    notes.append(f"column {column!r} names the {len(names)} features of {rows:,} readings")
    if ONE_OF * repeated > sum(len(stream.timestamps) for stream in data.streams):
        raise DatasetError(
            f"--pivot: {repeated:,} values are given twice for one time: does another column tell"
            " them apart (--columns asset_id=COLUMN)?",
            field="pivot",
        )
    if repeated:
        notes.append(f"{repeated:,} values are given twice for one time: the last is taken")
    return Dataset(list(names), streams, notes, _groups(data))


def _name(stream: Stream, feature: str, features: list[str]) -> str:
    sensor = stream.sensor_id or ""
    return sensor if len(features) == 1 and sensor else f"{sensor} {feature}".strip()


def _joined(
    asset: str, parts: list[Stream], where: list[list[int]], columns: list[int], width: int
) -> tuple[Stream, int]:
    """Return an asset's stream, and the number of values that are given twice for one time.

    Parameters
    ----------
    asset, parts
        The asset and the streams of its sensors.
    where
        For each stream the new columns of its values.
    columns, width
        The values' columns, and the number of the new ones.
    """
    times = np.unique(np.concatenate([part.timestamps for part in parts]))
    values = np.full((len(times), width), np.nan)
    labelled = any(part.labels is not None for part in parts)
    labels = np.full(len(times), -1, np.int8) if labelled else None
    rows = np.zeros(len(times), np.int64)
    repeated = 0
    for part, new in zip(parts, where, strict=True):
        at = np.searchsorted(times, part.timestamps)
        repeated += len(at) - len(np.unique(at))
        for old, column in zip(columns, new, strict=True):
            known = ~np.isnan(part.values[:, old])
            values[at[known], column] = part.values[known, old]
        if labels is not None and part.labels is not None:
            np.maximum.at(labels, at, part.labels)
        if part.rows is not None:
            np.maximum.at(rows, at, part.rows)
    return Stream(asset, None, times, values, labels, rows if rows.all() else None), repeated


def _groups(data: Dataset) -> dict[StreamKey, str] | None:
    if data.groups is None:
        return None
    out: dict[StreamKey, str] = {}
    for (asset, _), value in data.groups.items():
        if out.setdefault((asset, None), value) != value:
            raise DatasetError(
                f"--pivot: the sensors of {asset} are in several groups ({out[asset, None]!r},"
                f" {value!r})",
                field="pivot",
            )
    return out
