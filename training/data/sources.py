"""Read training data: the simulated plant, files, stored readings, or a bare matrix.

Every source gives one :class:`TrainingData`: streams with the same columns, one per feature, and
NaN where a value was not measured.
"""

from __future__ import annotations

import hashlib
import logging
import zipfile
import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from datasets import (
    FileFormat,
    Stream,
    StreamKey,
    files_of,
    load_files,
    names_in,
    not_read,
)
from errors import DatasetError, InputError, TrainingError
from models.arrays import Bools
from models.fitting.options import FitOptions
from schemas import LookAlikes, check_name

log = logging.getLogger(__name__)

SIMULATED = "simulated"
POSTGRESQL = "postgresql"
#: Asset id of a bare matrix: one stream in row order, one reading per minute.
MATRIX_ASSET = "matrix"


@dataclass(frozen=True, slots=True)
class TrainingData:
    """What to train on.

    Parameters
    ----------
    feature_names : list of str
        Columns of every stream's ``values``.
    streams : list of Stream
        Each in time order; ``values`` (n, d), NaN where nothing was measured.
    source : str
        Description of the source, for people.
    timed : bool
        False if the timestamps are artificial (a bare matrix).
    column : mapping, optional
        Value of the requested grouping column by stream.
    single : sequence, optional
        For each stream the one feature that it sends (the older message shape), or None.
    notes : sequence of str
        What was found, replaced or left out while reading.
    judged : bool
        Labels are faults that people confirmed.
    """

    feature_names: list[str]
    streams: list[Stream]
    source: str
    timed: bool = True
    column: Mapping[StreamKey, str] | None = None
    single: Sequence[str | None] = ()
    notes: Sequence[str] = ()
    judged: bool = False

    def feature_of(self, stream: int) -> str | None:
        """Return the only feature that a stream sends; None if it sends several."""
        return self.single[stream] if self.single else None

    def subset(
        self, members: Sequence[int], streams: Sequence[Stream] | None = None
    ) -> TrainingData:
        """Return some of the streams, by index; ``streams`` replaces them if given."""
        chosen = [self.streams[i] for i in members] if streams is None else list(streams)
        return replace(self, streams=chosen, single=[self.feature_of(i) for i in members])

    def with_features(self, names: Sequence[str]) -> TrainingData:
        """Return the data with only some of the features."""
        at = [self.feature_names.index(name) for name in names]
        streams = [replace(stream, values=stream.values[:, at]) for stream in self.streams]
        return replace(self, feature_names=list(names), streams=streams)

    def measured(self) -> Bools:
        """Return which features (d,) have a value in any stream."""
        here = np.zeros(len(self.feature_names), bool)
        for stream in self.streams:
            here |= ~np.isnan(stream.values).all(axis=0)
        return here

    @property
    def rows(self) -> int:
        """Return the number of readings, over all streams."""
        return sum(len(stream.timestamps) for stream in self.streams)

    def fingerprint(self) -> dict[str, Any]:
        """Identify these data: counts, time range, and a SHA-256 of their content."""
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


def key_text(stream: Stream) -> str:
    """Return the stream's key as text."""
    return f"{stream.asset_id}\x1f{stream.sensor_id or ''}"


def from_files(
    spec: str,
    features: str | Sequence[str] | None = None,
    group_column: str | None = None,
    form: FileFormat | None = None,
) -> TrainingData:
    """Read a file, a folder, or every file a glob pattern matches, as one set of streams.

    Parameters
    ----------
    spec
        A file, a folder, or a glob pattern.
    features
        Columns to use, as a list or as typed (``a,b``); None: all.
    group_column
        Column whose values name the groups; it is not a feature.
    form
        File format.

    Raises
    ------
    DatasetError
        No file matches, or none can be used.
    """
    paths = files_of(spec)
    if not paths:
        raise DatasetError(f"no file matches {spec!r}; expected simulated, postgresql or a file")
    if len(paths) == 1 and paths[0].suffix.lower() == ".npz":
        _check_ignored(form, "a matrix")
        data = from_matrix(paths[0])
        return data if features is None else select(data, features)
    folder = Path(spec)
    left = sorted(folder.glob("*.npz")) if folder.is_dir() else []
    other = group_column if group_column not in (None, "asset_id", "sensor_id") else None
    found = load_files(paths, features, form, group=other)
    shown = str(paths[0]) if len(paths) == 1 else f"{spec} ({len(paths)} files)"
    notes = [f"left out: {name.name}: a matrix is read alone (--data FILE.npz)" for name in left]
    return TrainingData(
        found.feature_names, found.streams, shown, column=found.groups,
        notes=(*notes, *not_read(spec), *found.notes),
    )  # fmt: skip


def _check_ignored(form: FileFormat | None, source: str, used: Collection[str] = ()) -> None:
    """Reject options on a file's format for what is no such file.

    Parameters
    ----------
    form
        The options.
    source
        What is read instead, for the message.
    used
        Fields of the format that are of use all the same.
    """
    given = {} if form is None else form.options()
    for key, option in given.items():
        if key not in used:
            raise DatasetError(f"{option} means nothing for {source}: leave it out", field=key)


def from_matrix(path: Path) -> TrainingData:
    """Read a bare matrix: an ``.npz`` with ``values`` (n, d) and ``names`` (d,).

    It becomes one stream in row order, with artificial times a minute apart and ``timed`` False.

    Raises
    ------
    DatasetError
        The file is not such an archive, or the numbers of names and columns differ.
    """
    found, names = _arrays(path)
    if found.dtype.kind not in "biuf":
        raise DatasetError(f"{path.name}: values are {found.dtype}, not real numbers")
    values = found.astype(np.float64)
    if values.ndim != 2 or values.shape[1] != len(names) or not len(names):
        raise DatasetError(f"{path.name}: values {values.shape} do not fit {len(names)} names")
    if not len(values):
        raise DatasetError(f"{path.name}: holds no rows")
    for name in names:
        try:
            check_name(name, "names")
        except InputError as error:
            raise DatasetError(f"{path.name}: {error.message}", field="names") from None
        if names.count(name) > 1:
            raise DatasetError(f"{path.name}: the name {name!r} appears twice", field=name)
    if np.isinf(values).any():
        row, at = (int(i) for i in np.argwhere(np.isinf(values))[0])
        raise DatasetError(f"{path.name}: row {row + 1}: {names[at]} is not finite")
    start = np.datetime64("2000-01-01", "us")
    times = start + np.arange(len(values)) * np.timedelta64(60, "s")
    stream = Stream(MATRIX_ASSET, None, times, values)
    return TrainingData(names, [stream], f"matrix {values.shape[0]} x {len(names)}", timed=False)


def _arrays(path: Path) -> tuple[Any, list[str]]:
    """Return the arrays ``values`` and ``names`` of an archive."""
    try:
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise ValueError("it is a single array, not an .npz")
            values, names = archive["values"], archive["names"]
        if names.ndim != 1:
            raise ValueError(f"names have the shape {names.shape}")
        texts = [name.decode() if isinstance(name, bytes) else str(name) for name in names]
        return values, texts
    except (
        OSError, ValueError, KeyError, RuntimeError, EOFError, zipfile.BadZipFile, zlib.error,
    ) as error:  # fmt: skip
        raise DatasetError(f"{path.name}: no matrix with 'values' and 'names': {error}") from None


def from_simulation(*, seed: int = 0, quick: bool = False) -> TrainingData:
    """Simulate a plant; all its labelled faults lie in the last fifth, which is held out."""
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
    features: str | Sequence[str] | None = None,
    group_column: str | None = None,
    stored: Callable[[], TrainingData] | None = None,
    form: FileFormat | None = None,
) -> TrainingData:
    """Read training data from the source given on the command line.

    Parameters
    ----------
    spec : str
        ``simulated``, ``postgresql``, a file, a folder, or a glob pattern.
    seed, quick : seed and size of the simulated plant.
    features : sequence of str, or str as typed (``a,b``), optional
        Columns to use; None: all.
    group_column : str, optional
        Column whose values name the groups; it is not a feature.
    stored : callable, optional
        Returns the readings stored in PostgreSQL; passed in, since only entry points connect.
    form : FileFormat, optional
        File format.

    Raises
    ------
    DatasetError
        The data cannot be read; the message says why.
    """
    if spec in (SIMULATED, POSTGRESQL):
        _check_ignored(form, f"--data {spec}", {"time_zone"})  # it is also the clock of seasons
    if spec == SIMULATED:
        data = from_simulation(seed=seed, quick=quick)
    elif spec == POSTGRESQL:
        if stored is None:
            raise DatasetError(f"--data {POSTGRESQL}: this command reads no stored readings")
        data = stored()
    else:
        data, features = from_files(spec, features, group_column, form), None  # chosen while read
    names = LookAlikes()
    for stream in data.streams:
        for sentence in names.meet(stream.asset_id, stream.sensor_id):
            log.warning("%s: %s", data.source, sentence)
    return data if features is None else select(data, features)


def select(data: TrainingData, features: str | Sequence[str]) -> TrainingData:
    """Return the same streams with these features only.

    Raises
    ------
    TrainingError
        Names a feature that the data lack.
    """
    return data.with_features(_chosen(features, data.feature_names, "features"))


def with_known_features(
    options: FitOptions, features: Sequence[str], notes: Sequence[str] = ()
) -> FitOptions:
    """Return the options with the indicators of operating conditions as a list.

    Parameters
    ----------
    options
        They may name indicators of conditions, and features with physical limits.
    features
        Those of the data.
    notes
        Those on reading the data, which say why a column is no feature.

    Raises
    ------
    TrainingError
        Names an indicator, or a feature with physical limits, that the data lack.
    """
    _chosen(list(options.limits), features, "limit")
    if options.condition in ("auto", "none"):
        return options
    try:
        return replace(options, condition=_chosen(options.condition, features, "condition"))
    except TrainingError as error:
        unread = f"column {error.field!r} holds no number"
        why = next((note for note in notes if note.startswith(unread)), None)
        if why is None:
            raise
        raise TrainingError(f"--condition: {why}", field=error.field) from None


def with_clock(options: FitOptions, time_zone: str | None) -> FitOptions:
    """Return the options with the zone of the data's times as the clock of seasons, if named."""
    if time_zone is None or options.seasonality != "auto":
        return options
    return replace(options, seasonality=time_zone)


def _chosen(given: str | Sequence[str], features: Sequence[str], option: str) -> list[str]:
    try:
        return names_in(given, features, option)
    except DatasetError as error:
        raise TrainingError(error.message, field=error.field) from None
