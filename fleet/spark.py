"""Open a Spark session, send a bundle to its workers, and pass them streams in time order."""

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
#: The line of a worker's traceback that names one of our errors, or any other error.
_RAISED: Final = tuple(
    re.compile(line, re.MULTILINE)
    for line in (r"^errors\.\w+: (.+)$", r"^([\w.]+(?:Error|Exception|Warning): .+)$")
)
_NEEDED: Final = "pip install 'detection-anomalies-service[spark]', and Java 17 or newer"


def add_spark_arguments(made: argparse.ArgumentParser) -> None:
    """Add the options for where and how Spark runs."""
    made.add_argument(
        "--master", metavar="URL",
        help="where to run: local[*] (all cores of this machine, the default), spark://HOST:7077,"
        " k8s://https://HOST:443; under spark-submit leave it out",
    )  # fmt: skip
    made.add_argument(
        "--partitions", type=int, metavar="N",
        help="number of tasks that the streams are divided into (four per core)",
    )  # fmt: skip
    made.add_argument(
        "--conf", action="append", default=[], metavar="KEY=VALUE",
        help="a setting of Spark, such as spark.executor.memory=4g; may be repeated",
    )  # fmt: skip


@contextmanager
def spark_session(name: str, arguments: argparse.Namespace) -> Iterator[Any]:
    """Open a session and close it at the end; an existing one gets our settings meanwhile.

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
        logging.getLogger(chatty).setLevel(logging.CRITICAL)  # their errors are also raised
    warnings.filterwarnings("ignore", message="PySpark does not yet fully support pandas")
    before = SparkSession.getActiveSession()
    if before is not None:
        with _translated(), _set(before, options):
            yield before
        return
    master = arguments.master
    if master is None and "SPARK_ENV_LOADED" not in os.environ:  # spark-submit sets its own
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
    """Apply our settings and ``--conf`` to an open session, except those of its executors."""
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
                    f"--conf {key}={value}: cannot be set in a Spark session that is already open"
                ) from None
            kept[key] = before
        yield
    finally:
        for key, was in kept.items():
            session.conf.unset(key) if was is None else session.conf.set(key, was)


@contextmanager
def _translated() -> Iterator[None]:
    """Translate a job's failure to one sentence: the worker's own error if it raised one."""
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
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",  # instead of Impala's INT96
        "spark.sql.caseSensitive": "true",  # current and Current are different features
        "spark.sql.sources.partitionOverwriteMode": "dynamic",
        # If a key column is constant (`feature` of a table, or an absent `sensor_id`), this rule
        # would add a sort by the keys alone above ours. That sort is not stable once it spills to
        # disk, so a long stream would lose its order.
        "spark.sql.optimizer.excludedRules": f"{_OPTIMIZER}.FoldablePropagation",
        "spark.ui.enabled": "false",  # it has no access control; --conf turns it on
        "spark.ui.showConsoleProgress": str(sys.stderr.isatty()).lower(),
        "spark.log.level": "ERROR",
        # limit batches by records only: to count bytes Spark would query every column per row
        "spark.sql.execution.arrow.maxRecordsPerBatch": "4000",
        "spark.sql.execution.arrow.maxBytesPerBatch": f"{2**31 - 1}b",
        # without an installed project, local workers find the code as this process does
        "spark.executorEnv.PYTHONPATH": str(ROOT),
        **{f"spark.executorEnv.{name}": value for name, value in ENVIRONMENT.items()},
    }
    if master is not None:
        found["spark.master"] = master
        if master.startswith("local"):  # only this machine needs to connect
            os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    return found


def first_line(error: Exception) -> str:
    """Return the first line of a Spark error; the other lines are a Java stack trace."""
    return next(iter(str(error).splitlines()), repr(error))[:300]


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key.startswith("spark."):
        raise InputError(f"--conf: {text!r} is not spark.KEY=VALUE", field="conf")
    return key, value


def ddl(columns: Mapping[str, str]) -> str:
    """Return a schema as DDL; ``columns`` are names and Spark types."""
    return ", ".join(f"`{name}` {kind}" for name, kind in columns.items())


def arrow(columns: Mapping[str, str]) -> pa.Schema:
    """Return the same schema for Arrow."""
    kinds = {
        "string": pa.string(), "double": pa.float64(), "boolean": pa.bool_(), "date": pa.date32(),
        "timestamp": pa.timestamp("us", "UTC"), "binary": pa.binary(),
    }  # fmt: skip
    return pa.schema([(name, kinds[kind]) for name, kind in columns.items()])


def tasks(session: Any, arguments: argparse.Namespace) -> int:
    """Return the number of tasks that the streams are divided into."""
    return arguments.partitions or 4 * int(session.sparkContext.defaultParallelism)


def ship(session: Any, folder: Path) -> str:
    """Send a bundle's folder to every worker, once per machine; return its name there.

    The hold-out twin is left out, because it does not score. The files stay until the session
    stops, so that a worker that starts late can fetch them, too.
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
    """Persist a frame's result on the workers' disks, so that it is computed only once."""
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
    keys : columns that identify a stream.
    order : columns that sort its rows; rows of one stream never leave their task.
    into : number of tasks.
    work : ``(key, iterator of RecordBatch) -> iterator of RecordBatch``, with these annotations.
    schema : of its result, as DDL.
    """
    dealt = frame.repartition(into, *keys).sortWithinPartitions(*keys, *order)
    return dealt.groupBy(*keys).applyInArrow(work, schema)
