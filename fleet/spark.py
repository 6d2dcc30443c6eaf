"""Open a Spark session, ship a bundle to its workers, and hand them streams in time order."""

from __future__ import annotations

import argparse
import logging
import os
import re
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pyarrow as pa

from errors import AnomalyError, InputError, SettingsError
from fleet.spark_worker import ENVIRONMENT
from models.bundles.bundle import TWIN

log = logging.getLogger(__name__)

ROOT: Final = Path(__file__).resolve().parents[1]
#: The line of a worker's traceback that names one of our errors, or any other.
_RAISED: Final = tuple(
    re.compile(line, re.MULTILINE)
    for line in (r"^errors\.\w+: (.+)$", r"^([\w.]+(?:Error|Exception|Warning): .+)$")
)
_NEEDED: Final = "pip install 'detection-anomalies-service[spark]', and Java 17 or newer"


def add_spark_arguments(made: argparse.ArgumentParser) -> None:
    """Add the options that say where and how Spark runs."""
    made.add_argument(
        "--master", metavar="URL",
        help="where to run: local[*] (all cores of this machine, the default), spark://HOST:7077,"
        " k8s://https://HOST:443; under spark-submit leave it out",
    )  # fmt: skip
    made.add_argument(
        "--partitions", type=int, metavar="N",
        help="tasks that the streams are dealt out to (four per core)",
    )  # fmt: skip
    made.add_argument(
        "--conf", action="append", default=[], metavar="KEY=VALUE",
        help="a setting of Spark, such as spark.executor.memory=4g; may be repeated",
    )  # fmt: skip


@contextmanager
def spark_session(name: str, arguments: argparse.Namespace) -> Iterator[Any]:
    """Open a session, closed at the end; one that was there before has our settings meanwhile.

    Raises
    ------
    SettingsError
        pyspark or Java is missing, or the master cannot be reached.
    InputError
        A ``--conf`` is not KEY=VALUE.
    """
    options = dict(_pair(text) for text in arguments.conf)
    try:
        from pyspark.errors import PySparkException
        from pyspark.sql import SparkSession
    except ImportError:
        raise SettingsError(f"Apache Spark is not installed: {_NEEDED}") from None
    for chatty in ("py4j", "SQLQueryContextLogger", "DataFrameQueryContextLogger"):
        logging.getLogger(chatty).setLevel(logging.CRITICAL)  # what they say is raised as well
    warnings.filterwarnings("ignore", message="PySpark does not yet fully support pandas")
    before = SparkSession.getActiveSession()
    if before is not None:
        with _translated(), _set(before, options):
            yield before
        return
    master = arguments.master
    if master is None and "SPARK_ENV_LOADED" not in os.environ:  # spark-submit knows its own
        master = "local[*]"
    builder = SparkSession.builder.appName(name)
    for key, value in {**_settings(master), **options}.items():
        builder = builder.config(key, value)
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    try:
        session = builder.getOrCreate()
    except (PySparkException, OSError, RuntimeError) as error:
        raise SettingsError(f"Spark does not start ({str(error)[:300]}): {_NEEDED}") from None
    try:
        with _translated():
            yield session
    finally:
        session.stop()


@contextmanager
def _set(session: Any, options: Mapping[str, str]) -> Iterator[None]:
    """Give an open session our settings and ``--conf``, for a while; an executor's it keeps."""
    from pyspark.errors import PySparkException

    ours = {k: v for k, v in _settings(None).items() if session.conf.isModifiable(k)}
    kept: dict[str, str | None] = {}
    try:
        for key, value in {**ours, **options}.items():
            before = session.conf.get(key, None)
            try:
                session.conf.set(key, value)
            except PySparkException:
                raise SettingsError(
                    f"--conf {key}={value}: cannot be set in a Spark session that is open already"
                ) from None
            kept[key] = before
        yield
    finally:
        for key, was in kept.items():
            session.conf.unset(key) if was is None else session.conf.set(key, was)


@contextmanager
def _translated() -> Iterator[None]:
    """Turn what a job failed of into one sentence: the worker's own error, where it raised one."""
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    try:
        yield
    except (PySparkException, Py4JError) as error:
        raised = next(filter(None, (line.search(str(error)) for line in _RAISED)), None)
        log.debug("Spark failed", exc_info=error)
        why = raised[1][:500] if raised else first_line(error)
        raise AnomalyError(f"Spark: {why}") from None


_OPTIMIZER = "org.apache.spark.sql.catalyst.optimizer"


def _settings(master: str | None) -> dict[str, str]:
    found = {
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",  # not Impala's INT96
        "spark.sql.caseSensitive": "true",  # current and Current are two features
        "spark.sql.sources.partitionOverwriteMode": "dynamic",
        # It would put another sort, by the keys alone, above ours where a key is one value (of a
        # table `feature`, and `sensor_id` where there is none): not stable once it spills to disk,
        # so that a long stream lost its order.
        "spark.sql.optimizer.excludedRules": f"{_OPTIMIZER}.FoldablePropagation",
        "spark.ui.enabled": "false",  # it has no key; --conf turns it on
        "spark.ui.showConsoleProgress": str(sys.stderr.isatty()).lower(),
        "spark.log.level": "ERROR",
        # records alone bound a batch: for its bytes Spark would ask every column after every row
        "spark.sql.execution.arrow.maxRecordsPerBatch": "4000",
        "spark.sql.execution.arrow.maxBytesPerBatch": f"{2**31 - 1}b",
        # where the code is not installed, workers of this machine find it as this process does
        "spark.executorEnv.PYTHONPATH": str(ROOT),
        **{f"spark.executorEnv.{name}": value for name, value in ENVIRONMENT.items()},
    }
    if master is not None:
        found["spark.master"] = master
        if master.startswith("local"):  # nothing outside this machine has business with it
            os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    return found


def first_line(error: Exception) -> str:
    """Return the first line of an error of Spark's, whose others are a stack of Java's."""
    return next(iter(str(error).splitlines()), repr(error))[:300]


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key.startswith("spark."):
        raise InputError(f"--conf: {text!r} is not spark.KEY=VALUE", field="conf")
    return key, value


def ddl(columns: Mapping[str, str]) -> str:
    """Return a schema as Spark reads it; ``columns`` are names and Spark's types."""
    return ", ".join(f"`{name}` {kind}" for name, kind in columns.items())


def arrow(columns: Mapping[str, str]) -> pa.Schema:
    """Return the same schema as Arrow's."""
    kinds = {
        "string": pa.string(), "double": pa.float64(), "boolean": pa.bool_(), "date": pa.date32(),
        "timestamp": pa.timestamp("us", "UTC"), "binary": pa.binary(),
    }  # fmt: skip
    return pa.schema([(name, kinds[kind]) for name, kind in columns.items()])


def tasks(session: Any, arguments: argparse.Namespace) -> int:
    """Return into how many tasks the streams are dealt out."""
    return arguments.partitions or 4 * int(session.sparkContext.defaultParallelism)


def ship(session: Any, folder: Path) -> str:
    """Send a bundle's folder to every worker, once per machine; return its name there.

    Without its hold-out twin, which scores nothing. What is sent stays until the session stops:
    a worker that starts late fetches it, too.
    """
    from pyspark import SparkFiles

    name = f"bundle-{uuid4()}"
    packed = Path(SparkFiles.getRootDirectory()) / f"{name}.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted(folder.rglob("*")):
            inside = path.relative_to(folder)
            if path.is_file() and inside.parts[0] != TWIN:
                archive.write(path, inside)
    session.sparkContext.addArchive(f"{packed}#{name}")
    return name


@contextmanager
def kept(frame: Any) -> Iterator[Any]:
    """Keep on the workers' disks what a frame comes to, so that it is computed once."""
    from pyspark import StorageLevel

    frame = frame.persist(StorageLevel.DISK_ONLY)
    try:
        yield frame
    finally:
        frame.unpersist()


def per_stream(
    frame: Any, keys: Sequence[str], order: Sequence[Any], into: int, work: Callable[..., Any],
    schema: str,
) -> Any:  # fmt: skip
    """Apply ``work`` to each stream's record batches, lazily and in order: one shuffle, one sort.

    Parameters
    ----------
    frame : DataFrame
    keys : columns that name a stream.
    order : columns that its rows are sorted by; rows of one stream never leave their task.
    into : number of tasks.
    work : ``(key, iterator of RecordBatch) -> iterator of RecordBatch``, with these annotations.
    schema : of what it yields, as DDL.
    """
    dealt = frame.repartition(into, *keys).sortWithinPartitions(*keys, *order)
    return dealt.groupBy(*keys).applyInArrow(work, schema)
