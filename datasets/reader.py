"""Read a wide file: as a whole, split into streams, or row after row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC
from pathlib import Path

import numpy as np
import numpy.typing as npt

from datasets.columns import Chunk
from datasets.files import open_file
from datasets.types import Dataset, Reading, Stream
from errors import DatasetError


def load(path: Path | str, feature_names: Sequence[str] | None = None) -> Dataset:
    """Read a whole file, split into streams (in order of first appearance).

    Raises
    ------
    DatasetError
        The file cannot be read, or a column is missing or bad; it is named.
    """
    names, chunks = open_file(Path(path), feature_names)
    parts: dict[tuple[str, str | None], list[tuple[Chunk, npt.NDArray[np.intp]]]] = {}
    for chunk in chunks:
        rows: dict[tuple[str, str | None], list[int]] = {}
        for row, key in enumerate(zip(chunk.assets, chunk.sensors, strict=True)):
            rows.setdefault(key, []).append(row)
        for key, numbers in rows.items():
            parts.setdefault(key, []).append((chunk, np.asarray(numbers)))
    if not parts:
        raise DatasetError(f"{Path(path).name}: holds no rows")
    return Dataset(names, [_join(key, pieces) for key, pieces in parts.items()])


def readings(path: Path | str, feature_names: Sequence[str] | None = None) -> Iterator[Reading]:
    """Stream a file's rows in file order; memory does not grow with the file.

    Raises
    ------
    DatasetError
        At the first ``next``, or at the row at fault, which is numbered.
    """
    names, chunks = open_file(Path(path), feature_names)
    for chunk in chunks:
        times = chunk.times.astype("datetime64[us]").tolist()
        for row, values in enumerate(chunk.values.tolist()):
            features = {
                name: value
                for name, value in zip(names, values, strict=True)
                if value == value  # an empty cell is NaN: not measured, so not sent
            }
            yield Reading(
                chunk.assets[row],
                chunk.sensors[row],
                times[row].replace(tzinfo=UTC),
                features,
                None if chunk.labels is None else int(chunk.labels[row]),
            )


def _join(key: tuple[str, str | None], pieces: list[tuple[Chunk, npt.NDArray[np.intp]]]) -> Stream:
    times = np.concatenate([chunk.times[rows] for chunk, rows in pieces])
    order = np.argsort(times, kind="stable")
    labels = [chunk.labels[rows] for chunk, rows in pieces if chunk.labels is not None]
    return Stream(
        key[0],
        key[1],
        times[order],
        np.concatenate([chunk.values[rows] for chunk, rows in pieces])[order],
        np.concatenate(labels)[order] if labels else None,
    )
