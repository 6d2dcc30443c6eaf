"""Where training data come from: the simulated plant, files, stored readings, or a bare matrix.

Whatever the source, the outcome is one :class:`TrainingData`: streams of one table, a column a
feature, NaN where a value was not measured.
"""

from __future__ import annotations

import glob
import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from datasets import RESERVED, Dataset, Stream, load
from errors import DatasetError, TrainingError
from schemas import LookAlikes
from training.data.columns import StreamKey, columns_of, read_groups

log = logging.getLogger(__name__)

SIMULATED = "simulated"
POSTGRESQL = "postgresql"
#: what a bare matrix is taken for: one stream in row order, a reading a minute
MATRIX_ASSET = "matrix"


@dataclass(frozen=True, slots=True)
class TrainingData:
    """What to train on.

    Parameters
    ----------
    feature_names : list of str
        Columns of every stream's ``values``.
    streams : list of Stream
        In time order each; ``values`` (n, d), NaN where nothing was measured.
    source : str
        Where it came from, for people.
    timed : bool
        False when the timestamps were made up (a bare matrix).
    column : mapping, optional
        Value of the grouping column by stream, where one was asked for.
    single : sequence, optional
        For each stream the one feature it sends (the older message shape), or None.
    """

    feature_names: list[str]
    streams: list[Stream]
    source: str
    timed: bool = True
    column: Mapping[StreamKey, str] | None = None
    single: Sequence[str | None] = ()

    def feature_of(self, stream: int) -> str | None:
        """The one feature that a stream sends; None for readings of many."""
        return self.single[stream] if self.single else None

    @property
    def rows(self) -> int:
        return sum(len(stream.timestamps) for stream in self.streams)

    def fingerprint(self) -> dict[str, Any]:
        """What identifies these data: counts, time range, and a SHA-256 of their content."""
        digest = hashlib.sha256("\x1f".join(self.feature_names).encode())
        for stream in sorted(self.streams, key=key_text):
            digest.update(f"\x1e{key_text(stream)}\x1e".encode())
            digest.update(stream.timestamps.astype("datetime64[us]").astype("<i8").tobytes())
            digest.update(np.ascontiguousarray(stream.values, "<f8").tobytes())
        times = [s.timestamps for s in self.streams if len(s.timestamps)]
        return {
            "source": self.source,
            "rows": self.rows,
            "streams": len(self.streams),
            "features": len(self.feature_names),
            "start": str(min(t[0] for t in times)) if times and self.timed else None,
            "end": str(max(t[-1] for t in times)) if times and self.timed else None,
            "sha256": digest.hexdigest(),
        }


def key_of(stream: Stream) -> StreamKey:
    return (stream.asset_id, stream.sensor_id)


def key_text(stream: Stream) -> str:
    return f"{stream.asset_id}\x1f{stream.sensor_id or ''}"


def from_files(
    spec: str, features: Sequence[str] | None = None, group_column: str | None = None
) -> TrainingData:
    """Read one file, or every file a glob pattern matches, as one set of streams.

    A stream that goes on in another file is joined in the order of time.

    Raises
    ------
    DatasetError
        No file matches, a file cannot be used, or two files have different columns.
    """
    paths = _matching(spec)
    if len(paths) == 1 and paths[0].suffix == ".npz":
        return from_matrix(paths[0])
    other = group_column if group_column not in (None, "asset_id", "sensor_id") else None
    parts: list[Dataset] = []
    column: dict[StreamKey, str] = {}
    for path in paths:
        wanted = features
        if wanted is None and other is not None:
            wanted = [c for c in columns_of(path) if c not in RESERVED and c != other]
        parts.append(load(path, wanted))
        if set(parts[-1].feature_names) != set(parts[0].feature_names):
            odd = sorted(set(parts[-1].feature_names) ^ set(parts[0].feature_names))
            raise DatasetError(
                f"{path.name}: its features differ from {paths[0].name}'s: {', '.join(odd[:5])}"
            )
        if other is not None:
            read_groups(path, other, column)
    streams = _joined(parts)
    shown = str(paths[0]) if len(paths) == 1 else f"{spec} ({len(paths)} files)"
    return TrainingData(
        parts[0].feature_names, streams, shown, column=column if other is not None else None
    )


def from_matrix(path: Path) -> TrainingData:
    """Read a bare matrix: an ``.npz`` with ``values`` (n, d) and ``names`` (d,).

    It is one stream in row order; its times are made up, a minute apart, and say so.

    Raises
    ------
    DatasetError
        The file is no such archive, or names and columns differ in number.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            values = np.asarray(archive["values"], np.float64)
            names = [str(name) for name in archive["names"]]
    except (OSError, ValueError, KeyError) as error:
        raise DatasetError(f"{path.name}: no matrix with 'values' and 'names': {error}") from None
    if values.ndim != 2 or values.shape[1] != len(names) or not len(names):
        raise DatasetError(f"{path.name}: values {values.shape} do not fit {len(names)} names")
    if np.isinf(values).any():
        row, at = (int(i) for i in np.argwhere(np.isinf(values))[0])
        raise DatasetError(f"{path.name}: row {row + 1}: {names[at]} is not finite")
    start = np.datetime64("2000-01-01", "us")
    times = start + np.arange(len(values)) * np.timedelta64(60, "s")
    stream = Stream(MATRIX_ASSET, None, times, values)
    return TrainingData(names, [stream], f"matrix {values.shape[0]} x {len(names)}", timed=False)


def from_simulation(*, seed: int = 0, quick: bool = False) -> TrainingData:
    """The simulated plant; its labelled faults all fall into the last fifth, which is held out."""
    from training.simulate import simulate

    readings = 1500 if quick else 6000
    plant = simulate(
        assets=4, readings=readings, seed=seed, faults=2, first_fault=readings * 4 // 5
    )
    streams = [
        Stream(asset, "S1", times, values, labels)
        for asset, times, values, labels in zip(
            plant.asset_ids, plant.times(), plant.values, plant.labels, strict=True
        )
    ]
    return TrainingData(plant.feature_names, streams, f"simulated plant, seed {seed}")


def load_data(
    spec: str,
    *,
    seed: int = 0,
    quick: bool = False,
    features: Sequence[str] | None = None,
    group_column: str | None = None,
    stored: Callable[[], TrainingData] | None = None,
) -> TrainingData:
    """Training data by the name given on the command line.

    Parameters
    ----------
    spec : str
        ``simulated``, ``postgresql``, a file, or a glob pattern.
    seed, quick : of the simulated plant.
    features : sequence of str, optional
        Columns to use; all of them when absent.
    group_column : str, optional
        A column that is no feature: its values name the groups.
    stored : callable, optional
        Gives the readings stored in PostgreSQL; handed in, since only entry points connect.

    Raises
    ------
    DatasetError
        The data cannot be read; what is missing is named.
    """
    if spec == SIMULATED:
        data = from_simulation(seed=seed, quick=quick)
    elif spec == POSTGRESQL:
        if stored is None:
            raise DatasetError("no database is configured to read stored readings from")
        data = stored()
    else:
        data, features = from_files(spec, features, group_column), None  # chosen while read
    names = LookAlikes()
    for stream in data.streams:
        for sentence in names.meet(stream.asset_id, stream.sensor_id):
            log.warning("%s: %s", data.source, sentence)
    return data if features is None else select(data, features)


def select(data: TrainingData, features: Sequence[str]) -> TrainingData:
    """The same streams with these features only.

    Raises
    ------
    TrainingError
        A feature is not among the data's; it is named.
    """
    missing = [name for name in features if name not in data.feature_names]
    if missing:
        raise TrainingError(
            f"the data has no feature {missing[0]!r}; it has {', '.join(data.feature_names)[:300]}",
            field=missing[0],
        )
    at = [data.feature_names.index(name) for name in features]
    streams = [
        Stream(s.asset_id, s.sensor_id, s.timestamps, s.values[:, at], s.labels)
        for s in data.streams
    ]
    return replace(data, feature_names=list(features), streams=streams)


def _matching(spec: str) -> list[Path]:
    path = Path(spec)
    if path.is_file():
        return [path]
    found = sorted(Path(name) for name in glob.glob(spec, recursive=True))
    found = [name for name in found if name.is_file()]
    if not found:
        raise DatasetError(f"no file matches {spec!r}; expected simulated, postgresql or a file")
    return found


def _joined(parts: list[Dataset]) -> list[Stream]:
    names = parts[0].feature_names
    pieces: dict[StreamKey, list[Stream]] = {}
    for part in parts:
        order = [part.feature_names.index(name) for name in names]
        for stream in part.streams:
            if part.feature_names != names:
                stream = replace(stream, values=stream.values[:, order])
            pieces.setdefault(key_of(stream), []).append(stream)
    return [_one(found) if len(found) > 1 else found[0] for found in pieces.values()]


def _one(found: list[Stream]) -> Stream:
    times = np.concatenate([s.timestamps for s in found])
    order = np.argsort(times, kind="stable")
    labels: npt.NDArray[np.int8] | None = None
    if all(s.labels is not None for s in found):
        labels = np.concatenate([s.labels for s in found if s.labels is not None])[order]
    values = np.concatenate([s.values for s in found])[order]
    return Stream(found[0].asset_id, found[0].sensor_id, times[order], values, labels)
