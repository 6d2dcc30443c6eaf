"""Read a file of maintenance windows and machine-off conditions, for training data from files.

The file is TOML, or JSON with the same keys, which are those of ``GET /maintenance-windows`` and
``/off-conditions``::

    [[maintenance_windows]]
    start = 2026-01-03T22:00:00+01:00
    end = 2026-01-04T06:00:00+01:00
    rrule = "FREQ=WEEKLY;BYDAY=SA"
    time_zone = "Europe/Berlin"
    asset_id = "PUMP_*"

    [[off_conditions]]
    feature = "current"
    operator = "<"
    value = 1.0
    hold_s = 60
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import numpy as np

from datasets import Stream, datetimes, key_of
from errors import InputError, TrainingError
from models.arrays import Bools
from models.scoring.maintenance.maintenance_window import MaintenanceWindow
from models.scoring.maintenance.suppression import OffCondition, Suppression, suppressed_rows
from models.scoring.stream_work import present_features
from schemas import parse_timestamp
from training.cli.text_files import read_document
from training.data.sources import TrainingData

T = TypeVar("T", MaintenanceWindow, OffCondition)

#: Further keys of the service's answers, which are ignored.
_ANSWERED: Final = {"version", "created_at", "created_by", "changed_at", "changed_by"}


@dataclass(frozen=True, slots=True)
class Schedules:
    """Windows and conditions by effect: on training, and on alarms."""

    training: Suppression = field(default_factory=Suppression)
    alarms: Suppression = field(default_factory=Suppression)


def check_timed(path: Path | None, data: TrainingData, source: str) -> None:
    """Refuse schedules of data without times, to which they cannot apply.

    Parameters
    ----------
    path : the file of schedules, if one is given.
    data, source : the readings, and what the command line calls them.

    Raises
    ------
    TrainingError
    """
    if path is not None and not data.timed:
        raise TrainingError(
            f"--schedules means nothing for {source}, which has no times: leave it out",
            field="schedules",
        )


def read_schedules(path: Path | None) -> Schedules:
    """Read a file of windows and conditions; without a file there are none.

    Raises
    ------
    TrainingError
        Names the file, the entry and the invalid field.
    """
    if path is None:
        return Schedules()
    content = read_document(path)
    kinds: dict[str, type[Any]] = {
        "maintenance_windows": MaintenanceWindow, "off_conditions": OffCondition,
    }  # fmt: skip
    if not isinstance(content, dict) or not content or content.keys() - kinds:
        raise TrainingError(f"{path}: expected lists named {' or '.join(kinds)}, nothing else")
    found: dict[str, list[Any]] = {name: [] for name in kinds}
    for name, entries in content.items():
        if not isinstance(entries, list):
            raise TrainingError(f"{path}: {name}: must be a list")
        for index, entry in enumerate(entries):
            try:
                found[name].append(_entry(kinds[name], entry, f"{index + 1}"))
            except (InputError, msgspec.ValidationError) as error:
                raise TrainingError(f"{path}: {name}[{index}]: {error}") from None
    planned, off = found["maintenance_windows"], tuple(found["off_conditions"])
    return Schedules(
        Suppression(tuple(one for one in planned if one.training), off),
        Suppression(tuple(one for one in planned if one.alarms), off),
    )


def _entry(kind: type[T], entry: Any, number: str) -> T:
    if not isinstance(entry, Mapping):
        raise InputError("must be an object")
    given = {key: value for key, value in entry.items()
             if key not in _ANSWERED and value is not None}  # fmt: skip
    known = {one.name for one in fields(kind)}
    for unknown in sorted(given.keys() - known):
        raise InputError(f"{unknown:.80}: not known; known are {', '.join(sorted(known))}")
    if kind is MaintenanceWindow:
        for name in ("start", "end"):
            given[name] = parse_timestamp(given.get(name), name)
        given = {"id": number, **given}
    return msgspec.convert(given, kind)


def suppressed(stream: Stream, names: list[str], suppression: Suppression, group: str) -> Bools:
    """Return which readings (n,) of a stream are suppressed.

    Parameters
    ----------
    stream, names
        The stream, and the columns of its values.
    suppression
        All windows and conditions.
    group
        The stream's group; entries for other groups are ignored.
    """
    suppressor = suppression.of(key_of(stream), group)
    if not suppressor:
        return np.zeros(len(stream.timestamps), np.bool_)
    used = [name for name in names if name in suppressor.features]
    values = stream.values[:, [names.index(name) for name in used]].tolist()
    rows = (present_features(used, row) for row in values)
    return np.array(suppressed_rows(suppressor, datetimes(stream.timestamps), rows), np.bool_)


def without_suppressed(
    data: TrainingData, suppression: Suppression, group: str
) -> tuple[TrainingData, list[str]]:
    """Return a group's data without suppressed readings, and a note on their number.

    Parameters
    ----------
    data
        The group's data.
    suppression
        All windows and conditions.
    group
        Name of the group; entries for other groups are ignored.
    """
    if not suppression or not data.timed:
        return data, []
    streams, members, gone = [], [], 0
    for i, stream in enumerate(data.streams):
        out = suppressed(stream, data.feature_names, suppression, group)
        gone += int(out.sum())
        if not out.all():
            streams.append(stream.take(~out))
            members.append(i)
    if not gone:
        return data, []
    note = f"{group}: {gone:,} readings of maintenance or machines that were off are left out"
    return data.subset(members, streams), [note]
