"""Read a fleet's history as Spark frames: Parquet (wide or long), or the stored readings.

Every frame has the stream's keys, ``at`` (UTC), the feature columns described by :class:`Form`, and
``state``, which is set only in one row per stream that continues from a stored state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from datasets import RESERVED, names_in
from errors import DatasetError
from fleet.spark import first_line
from schemas import check_name

KEYS: Final = ("asset_id", "sensor_id", "feature")
#: Prefix of feature columns.
MARK: Final = "x:"
_NUMBERS: Final = {"tinyint", "smallint", "int", "bigint", "float", "double"}
_TIMES: Final = {"timestamp", "timestamp_ntz", "date"}


@dataclass(frozen=True, slots=True)
class Form:
    """The columns of a frame that hold features.

    ``wide``: one column per feature, with a prefix, since a feature may have the name of one of our
    columns. ``long``: ``name`` and ``value``, one row per feature; the rows of one time make one
    reading. ``stored``: one JSON object, ``features``.
    """

    kind: Literal["wide", "long", "stored"]
    columns: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """Return the features of a wide frame."""
        return [column.removeprefix(MARK) for column in self.columns]

    @property
    def order(self) -> list[Any]:
        """Return the columns that order a stream's rows: state first, then time, a tie-break."""
        from pyspark.sql import functions as f

        given = [column(name).asc_nulls_last() for name in self.columns]
        return [f.col("at").asc_nulls_first(), f.col("state").asc_nulls_last(), *given]


@dataclass(frozen=True, slots=True)
class History:
    """Readings as a frame, with their source and notes about the columns."""

    frame: Any
    form: Form
    source: str
    notes: list[str] = field(default_factory=list)


def parquet(
    session: Any,
    path: str,
    features: str | Sequence[str] | None = None,
    others: Sequence[str] = (),
    *,
    labels: bool = False,
) -> History:
    """Read Parquet files, wide or long.

    Parameters
    ----------
    path : file, folder or pattern, in any file system that Spark supports.
    features : columns to use; all numeric columns if absent.
    others : columns that are not features and are kept as text (such as a group).
    labels : keep the column ``label`` if it exists.

    Raises
    ------
    DatasetError
        No file can be read, or a column (named) is missing or has the wrong type.
    """
    from pyspark.errors import PySparkException
    from pyspark.sql import functions as f

    try:
        frame = session.read.parquet(path)
    except PySparkException as error:
        why = first_line(error)
        raise DatasetError(f"{path}: no readable Parquet files: {why}") from None
    types = dict(frame.dtypes)
    for name in ("asset_id", "timestamp", *others):
        if name not in types:
            raise DatasetError(f"{path}: there is no column {name!r}: {_listed(types)}", field=name)
    named = next((name for name in ("name", "feature") if types.get(name) == "string"), None)
    sensor = (
        f.coalesce(f.col("sensor_id").cast("string"), f.lit(""))
        if "sensor_id" in types
        else f.lit("")
    )
    keys = [
        f.col("asset_id").cast("string").alias("asset_id"), sensor.alias("sensor_id"),
        f.lit("").alias("feature"), _time(path, types["timestamp"]).alias("at"),
        *(column(name).cast("string").alias(name) for name in others),
        *([column("label").cast("double").alias("label")] if labels and "label" in types else []),
    ]  # fmt: skip
    if named is not None and "value" in types:
        value = f.col("value").cast("double").alias("value")
        frame = frame.select(*keys, f.col(named).alias("name"), value)
        if features is not None:
            rows = frame.select("name").where("name is not null").distinct().sort("name").collect()
            wanted = names_in(features, [row["name"] for row in rows], "features")
            frame = frame.where(f.col("name").isin(wanted))
        return History(frame, Form("long", ("name", "value")), path)
    numbers = [n for n, kind in types.items() if kind in _NUMBERS or kind.startswith("decimal")]
    known = [n for n in numbers if n not in RESERVED and n not in others]
    names = known if features is None else names_in(features, known, "features")
    if not names:
        raise DatasetError(f"{path}: there is no column of numbers: {_listed(types)}")
    for name in names:
        check_name(name, "features")
    unused = [n for n in types if n not in {*names, *RESERVED, *others}]
    notes = [f"not used as features: {', '.join(unused)}"] if unused else []
    made = frame.select(*keys, *(column(n).cast("double").alias(MARK + n) for n in names))
    return History(made, Form("wide", tuple(MARK + name for name in names)), path, notes)


def column(name: str) -> Any:
    """Return the column with exactly this name, whatever characters it contains."""
    from pyspark.sql import functions as f

    return f.col("`{}`".format(name.replace("`", "``")))


def _time(path: str, kind: str) -> Any:
    """Return the column of times, null for unreadable ones."""
    from pyspark.sql import functions as f

    if kind in _TIMES:
        return f.col("timestamp").cast("timestamp")
    if kind == "string":
        return f.try_to_timestamp(f.col("timestamp"))
    raise DatasetError(
        f"{path}: timestamp: a column of {kind} is not a time: store timestamps or ISO 8601 text",
        field="timestamp",
    )


def stored(session: Any, url: str, options: dict[str, str]) -> History:
    """Read the stored readings from Kafka in PostgreSQL, with one task per slice of time.

    ``url`` is SQLAlchemy's; Spark redacts options with this name.
    """
    from fleet.stored_readings import StoredReadings

    session.dataSource.register(StoredReadings)
    frame = session.read.format(StoredReadings.name()).options(url=url, **options).load()
    return History(frame, Form("stored", ("features",)), "readings stored in PostgreSQL")


def with_states(session: Any, history: History, path: str | None) -> Any:
    """Return the frame with one additional row per stream that has a state under ``path``.

    Raises
    ------
    DatasetError
        No states can be read.
    """
    from pyspark.errors import PySparkException
    from pyspark.sql import functions as f

    frame = history.frame.withColumn("state", f.lit(None).cast("string"))
    if path is None:
        return frame
    try:
        keys = [f.coalesce(key, f.lit("")).alias(key) for key in KEYS]
        states = session.read.parquet(path).select(*keys, "state")
    except PySparkException as error:
        why = first_line(error)
        raise DatasetError(
            f"--state-in: {path}: contains no states of an earlier run: {why}"
        ) from None
    return frame.unionByName(states, allowMissingColumns=True)


def _listed(names: Sequence[str] | dict[str, str]) -> str:
    return f"there are {', '.join(list(names)[:12])}{' ...' if len(names) > 12 else ''}"
