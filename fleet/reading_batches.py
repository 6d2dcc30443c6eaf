"""Decode one stream's record batches into readings, in a Spark worker."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any, Final

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from datasets import datetimes
from errors import InputError
from fleet.frames import Form
from models.scoring.stream_work import present_features
from schemas import check_features

#: Time (None if unreadable) and features (an error if invalid) of a reading.
Point = tuple[datetime | None, dict[str, float] | InputError]
#: Spark's times have a larger range than Python's.
_FIRST: Final = np.datetime64(datetime.min, "us")
_LAST: Final = np.datetime64(datetime.max, "us")


def points_of(
    form: Form, batches: Iterable[pa.RecordBatch], name: str, begin: Callable[[list[str]], None]
) -> Iterator[Point]:
    """Yield readings without exact duplicates (the same time and features), as the bridge does.

    Parameters
    ----------
    batches : in time order, which all further steps rely on.
    name : of the stream, for people.
    begin : called before the first reading with the states that came with the readings.

    Raises
    ------
    AssertionError
        The times are not in order.
    """
    decode = {"wide": _wide, "long": _long, "stored": _stored}[form.kind]
    last: Point = (None, {})
    for point in decode(form, _ordered(batches, name, begin)):
        if point[0] is None or point[0] != last[0] or point != last:
            yield point
        last = point


def _ordered(
    batches: Iterable[pa.RecordBatch], name: str, begin: Callable[[list[str]], None]
) -> Iterator[pa.RecordBatch]:
    """Remove the state from the first batch, and check the time order of all."""
    last = np.iinfo(np.int64).min
    for batch in batches:
        states = batch.column("state").drop_null().to_pylist()
        if states:
            batch = batch.filter(pc.is_null(batch.column("state")))
            begin(states)
        known = batch.column("at").drop_null().cast(pa.int64()).to_numpy()
        if len(known):
            if known[0] < last or (np.diff(known) < 0).any():
                raise AssertionError(f"readings of {name} are not in time order")
            last = known[-1]
        if len(batch):
            yield batch


def _times(batch: pa.RecordBatch) -> list[datetime | None]:
    at = batch.column("at").to_numpy(zero_copy_only=False)
    held = (at >= _FIRST) & (at <= _LAST)  # a null is neither
    if held.all():
        return list(datetimes(at))
    times = iter(datetimes(at[held]))
    return [next(times) if is_held else None for is_held in held.tolist()]


def _wide(form: Form, batches: Iterable[pa.RecordBatch]) -> Iterator[Point]:
    names = form.names
    for batch in batches:
        columns = [batch.column(name).to_numpy(zero_copy_only=False) for name in form.columns]
        values = np.column_stack(columns).astype(np.float64, copy=False)
        whole: list[bool] = np.all(np.isfinite(values), axis=1).tolist()
        for at, row, is_whole in zip(_times(batch), values.tolist(), whole, strict=True):
            if is_whole:
                yield at, dict(zip(names, row, strict=True))
            else:
                yield at, _checked(present_features(names, row))


def _stored(form: Form, batches: Iterable[pa.RecordBatch]) -> Iterator[Point]:
    for batch in batches:
        for at, text in zip(_times(batch), batch.column("features").to_pylist(), strict=True):
            yield at, _checked(orjson.loads(text))


def _long(form: Form, batches: Iterable[pa.RecordBatch]) -> Iterator[Point]:
    """Combine the rows of one time into one reading."""
    at: datetime | None = None
    held: dict[str, Any] = {}
    twice: InputError | None = None
    for batch in batches:
        names, values = (batch.column(name).to_pylist() for name in form.columns)
        for time, name, value in zip(_times(batch), names, values, strict=True):
            if held and (time != at or time is None):
                yield at, twice or _checked(held)
                held, twice = {}, None
            at = time
            if name in held and held[name] != value:
                twice = InputError(
                    f"features.{name}: both {held[name]} and {value} at one time",
                    code="bad_features", field=f"features.{name}",
                )  # fmt: skip
            if value is not None and value == value:
                held[name] = value
    if held:
        yield at, twice or _checked(held)


def _checked(features: dict[str, Any]) -> dict[str, float] | InputError:
    try:
        return check_features(features)
    except InputError as error:
        return error
