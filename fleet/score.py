"""Score the history of a whole fleet on Spark: ``python -m fleet.score --help``."""

from __future__ import annotations

import argparse
import posixpath
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from rich.console import Console

from config import Settings
from db.assets import list_assets
from db.queries.schedules import off_conditions, resets, windows
from db.session import connect_args, database_url, opened, transaction
from errors import InputError, NoModel, SettingsError
from fleet.frames import KEYS, History, parquet, stored, with_states
from fleet.spark import add_spark_arguments, kept, per_stream, ship, spark_session, tasks
from fleet.stream_scoring import READING, SCHEMA, Plan, score_stream
from models.registry.base import CHAMPION
from models.scoring.maintenance.suppression import Suppression
from runtime import command_parser, run_command
from schemas import CRITICALITIES, parse_timestamp
from training.cli.common import consoles, entry, policy_of, registry_of
from training.cli.printed_table import new_table
from training.data.schedule_file import read_schedules
from training.data.sources import POSTGRESQL

#: Counts of a stream's day, and the other columns of its row.
COUNTS = ("readings", "anomalies", "incidents", "errors")
_FIRST_OF = ("bundle_version", "error_code", "error")
_MAX_LISTED = 10  # streams, and errors, printed
_EVER = datetime(1, 1, 2, tzinfo=UTC)
EPILOG = """\
examples:
  python -m fleet.score --data history/ --out scored/            # the champion, all cores
  python -m fleet.score --data january.parquet --out scored/ --state-out states/01
  python -m fleet.score --data february.parquet --out scored/ --state-in states/01 \\
      --state-out states/02                                      # equals both months at once
  python -m fleet.score --data postgresql --since 2026-01-01 --bundle 12 --out scored/
  python -m fleet.score --data s3a://plant/2026/*/ --out s3a://plant/scored/ \\
      --master k8s://https://cluster:443 --conf spark.executor.instances=50

data: Parquet, wide (asset_id, timestamp, optionally sensor_id, one column per feature) or long
(name and value instead of the feature columns; the rows of one time make one reading); or the
readings stored in PostgreSQL. The output below --out is partitioned by day (UTC); a run replaces
only the days for which it has readings:
  readings/  one row per reading, as the service would have answered it
  streams/   one row per stream and day: readings, anomalies, incidents, errors
  errors/    the rows with errors, and the reasons
More: docs/fleet.md.
"""


def parser() -> argparse.ArgumentParser:
    """Make the command line."""
    made = command_parser(
        "fleet.score",
        "Score a history with a registered bundle as the service would have: with the same"
        " scores, thresholds, events and incidents, on all cores that Spark has.",
        EPILOG,
    )
    made.add_argument("--data", required=True, metavar="PATH|postgresql", help="what to score")
    made.add_argument("--out", required=True, metavar="PATH", help="folder of the results")
    made.add_argument(
        "--bundle",
        default=CHAMPION,
        metavar="champion|VERSION",
        help="bundle to score with (champion)",
    )
    made.add_argument("--features", metavar="NAME,...", help="columns to use (all numbers)")
    made.add_argument("--since", metavar="TIME", help="with postgresql: readings from this time on")
    made.add_argument("--until", metavar="TIME", help="with postgresql: readings before this time")
    made.add_argument(
        "--state-in", metavar="PATH", help="continue from the states of an earlier run"
    )
    made.add_argument("--state-out", metavar="PATH", help="store the states for a later run")
    made.add_argument(
        "--schedules", metavar="postgresql|FILE|none",
        help="maintenance windows and machine-off conditions: a file of them, or the service's"
        " database with resets and criticality of assets (so with --data postgresql, else none)",
    )  # fmt: skip
    made.add_argument(
        "--criticality", choices=CRITICALITIES, default="medium",
        help="criticality of assets that the schedules do not contain (medium)",
    )  # fmt: skip
    add_spark_arguments(made)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    return entry(_run, parser().parse_args(argv))


def _run(settings: Settings, arguments: argparse.Namespace) -> int:
    out, err = consoles()
    if arguments.state_in is not None and _same_folder(arguments.state_in, arguments.state_out):
        raise InputError("--state-out: must differ from --state-in, which is read until the end")
    folder, version = bundle_of(settings, arguments.bundle)
    planned = planned_of(settings, arguments)
    began = time.monotonic()
    with spark_session("fleet.score", arguments) as session:
        history = _history(session, settings, arguments)
        name = ship(session, folder)
        policy = policy_of(settings)
        plan = Plan(name, version, history.form, policy, arguments.criticality, **planned)
        for note in history.notes:
            err.print(f"note: {note}")
        into = tasks(session, arguments)
        err.print(
            f"scoring {history.source} with bundle version {version}, on"
            f" {session.sparkContext.master}, {into} tasks"
        )
        frame = with_states(session, history, arguments.state_in)
        rows = scored(frame, plan, into)
        days, errors = write(session, rows, into, arguments.out, arguments.state_out)
        show(out, days, errors, arguments.out, time.monotonic() - began)
    return 0


def _same_folder(one: str, other: str | None) -> bool:
    """Return whether two paths, of any file system, are written differently at most."""
    return other is not None and posixpath.normpath(one) == posixpath.normpath(other)


def bundle_of(settings: Settings, wanted: str) -> tuple[Path, str]:
    """Return the folder of a registered bundle, and its version.

    Raises
    ------
    NoModel
        There is no champion.
    NotFound, BundleError
        The version does not exist or is damaged.
    """
    registry = registry_of(settings)
    version = registry.alias(CHAMPION) if wanted == CHAMPION else wanted
    if version is None:
        raise NoModel("there is no champion: train one (python -m training.fit), or name a version")
    return registry.fetch(version, settings.var_dir / "bundles"), version


def planned_of(settings: Settings, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the schedules as fields of a :class:`fleet.stream_scoring.Plan`."""
    wanted = arguments.schedules or (POSTGRESQL if arguments.data == POSTGRESQL else "none")
    if wanted == "none":
        return {}
    if wanted != POSTGRESQL:
        return {"suppression": read_schedules(Path(wanted)).alarms}
    asked = defaultdict(list)
    with opened(settings) as engine, transaction(engine) as connection:
        for row in resets(connection, None):
            asked[row["asset_id"], row["sensor_id"]].append((row["requested_at"], row["id"]))
        planned = windows(connection, _EVER, limit=None), off_conditions(connection)
        return {
            "suppression": Suppression.from_rows(*planned, "alarms"),
            "criticality": list_assets(connection),
            "resets": dict(asked),
        }


def _history(session: Any, settings: Settings, arguments: argparse.Namespace) -> History:
    if arguments.data != POSTGRESQL:
        if arguments.since or arguments.until:
            raise InputError("--since and --until need --data postgresql")
        return parquet(session, arguments.data, arguments.features)
    if arguments.features:
        raise InputError("--features needs Parquet: stored readings are scored with all features")
    if settings.database_pooler:
        raise SettingsError(
            "DATABASE_POOLER: must be false, because workers need sessions", field="DATABASE_POOLER"
        )
    url = database_url(settings)
    options = {name: str(value) for name, value in connect_args(settings, url).items()}
    bounds = {"since": arguments.since, "until": arguments.until}
    for name, value in bounds.items():
        if value:
            parse_timestamp(value, f"--{name}")
    return stored(
        session, url.update_query_dict(options).render_as_string(hide_password=False),
        {name: value for name, value in bounds.items() if value},
    )  # fmt: skip


def scored(frame: Any, plan: Plan, into: int) -> Any:
    """Return the lazy frame of scored readings, days and states."""

    def work(
        key: tuple[pa.Scalar, ...], batches: Iterator[pa.RecordBatch]
    ) -> Iterator[pa.RecordBatch]:
        yield from score_stream(plan, tuple(part.as_py() for part in key), batches)

    return per_stream(frame, KEYS, plan.form.order, into, work, SCHEMA)


def write(session: Any, rows: Any, into: int, out: str, state_out: str | None) -> tuple[Any, Any]:
    """Write the tables; return those of this run's days and of all failed streams.

    The states are written last, so their presence means that everything else is complete.

    Parameters
    ----------
    rows : from :func:`scored`; ``into`` is their number of tasks.
    out, state_out : folders of tables and states.
    """
    from pyspark.sql import functions as f

    with ExitStack() as stack:
        rows = stack.enter_context(kept(rows))
        readings = rows.where("state is null").select("day", *READING)
        _by_day(readings, f"{out}/readings")
        days = readings.groupBy("day", *KEYS).agg(
            f.count("*").alias("readings"), f.count_if("is_anomaly").alias("anomalies"),
            f.count("incident").alias("incidents"), f.count("error").alias("errors"),
            *(f.first(name, ignorenulls=True).alias(name) for name in _FIRST_OF),
        )  # fmt: skip
        days = stack.enter_context(kept(days.coalesce(into)))  # few rows need few tasks
        _by_day(days, f"{out}/streams")
        # from all existing days, so that errors of days scored again are replaced
        failed = session.read.parquet(f"{out}/streams").where("errors > 0")
        whole(failed.coalesce(1), f"{out}/errors")
        if state_out is not None:
            whole(rows.where("state is not null").select(*KEYS, "state"), state_out)
        totals = days.agg(
            f.countDistinct(f.struct(*KEYS)).alias("streams"),
            f.countDistinct("day").alias("days"), *(f.sum(name).alias(name) for name in COUNTS),
        ).first()  # fmt: skip
        worst = days.where("errors > 0").orderBy(f.desc("errors"), *KEYS)
        return totals, worst.limit(_MAX_LISTED + 1).collect()


def _by_day(frame: Any, path: str) -> None:
    frame.write.mode("overwrite").partitionBy("day").parquet(path)


def whole(frame: Any, path: str) -> None:
    """Write a table that replaces the existing one."""
    frame.write.mode("overwrite").option("partitionOverwriteMode", "static").parquet(path)


def show(out: Console, totals: Any, errors: Sequence[Any], where: str, seconds: float) -> None:
    """Print the final table and the failed streams."""
    table = new_table("Scored", ("streams", "days", *COUNTS, "seconds", "readings/s"))
    counts = [totals[name] or 0 for name in ("streams", "days", *COUNTS)]
    rate = (totals["readings"] or 0) / max(seconds, 1e-9)
    table.add_row(*(f"{count:,}" for count in counts), f"{seconds:.1f}", f"{rate:,.0f}")
    out.print(table)
    for row in errors[:_MAX_LISTED]:
        name = " / ".join(row[key] for key in KEYS if row[key]) or "(no asset_id)"
        out.print(f"failed: {name}, {row['day']}: {row['errors']:,} readings: {row['error']}")
    if len(errors) > _MAX_LISTED:
        out.print(f"... and more: {where}/errors")
    out.print(f"wrote {where}")


if __name__ == "__main__":
    run_command(main)
