"""Fit a model set for each group of a fleet on Spark: ``python -m fleet.fit --help``."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from datetime import UTC
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from rich.console import Console

from config import Settings
from datasets import FileFormat, Stream
from errors import InputError, TrainingError
from fleet.fitted_groups import GroupRow, assembled, collected, held_back
from fleet.frames import History, column, parquet, with_states
from fleet.group_fit import COLUMNS, GroupPlan, fit_group
from fleet.spark import add_spark_arguments, ddl, per_stream, spark_session
from models.registry.promotion import load_champion
from runtime import command_parser, run_command
from training.cli.common import consoles, entry, policy_of, registry_of
from training.cli.fit_arguments import add_fit_arguments, add_procedure_arguments, fit_options
from training.cli.printed_table import new_table
from training.cli.progress import ProgressDisplay
from training.data.sources import TrainingData, with_known_features
from training.pipeline import conclude
from training.publishing.mlflow_tracking import begun_run
from training.publishing.publish import Published
from training.reports.fit_report import number, print_published
from training.reports.notes import shown
from training.request import Request

_MAX_LISTED = 20  # groups printed
_UNKNOWN = {"rate": float("nan"), "readings": 0}
EPILOG = """\
examples:
  python -m fleet.fit --data fleet.parquet --group-by asset_id --quick    # a quick trial
  python -m fleet.fit --data history/ --group-by machine_type --config fit.toml
  python -m fleet.fit --data s3a://plant/2026/ --group-by sensor_id --master k8s://https://cluster:443

Each group is fitted as by python -m training.fit, with the same model set as result; all groups
make ONE bundle, one MLflow run and one version. A group that cannot be fitted is reported and left
out. A group's readings must fit into the memory of one task. More: docs/fleet.md.
"""


def parser() -> argparse.ArgumentParser:
    """Make the command line."""
    made = command_parser(
        "fleet.fit",
        "Fit the detectors and their calibration for each group of a fleet, with one Spark"
        " task per group, and register them as one bundle.",
        EPILOG,
    )
    made.add_argument("--data", required=True, metavar="PATH", help="wide Parquet files")
    made.add_argument(
        "--group-by", required=True, metavar="COLUMN",
        help="one model set for each of its values: asset_id, sensor_id or any other column",
    )  # fmt: skip
    made.add_argument("--features", metavar="NAME,...", help="columns to use (all numbers)")
    add_procedure_arguments(made, refuse="leave the group out", auto="if it is not worse")
    add_spark_arguments(made)
    add_fit_arguments(made)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    return entry(_run, parser().parse_args(argv))


def _run(settings: Settings, arguments: argparse.Namespace) -> int:
    out, err = consoles()
    options, policy, registry = fit_options(arguments), policy_of(settings), registry_of(settings)
    champion = load_champion(registry, settings.var_dir / "bundles")
    by = arguments.group_by
    settled = {
        "missing": arguments.missing, "holdout": arguments.holdout,
        "refit": not arguments.no_refit,
    }  # fmt: skip
    with spark_session("fleet.fit", arguments) as session, tempfile.TemporaryDirectory() as scratch:
        history = wide(session, arguments)
        options = with_known_features(options, history.form.names)
        streams, groups, about = overview(history, by)
        for note in history.notes:
            err.print(f"note: {note}")
        err.print(
            f"fitting {groups:,} groups by {by}: {sum(streams.values()):,} streams,"
            f" {about['rows']:,} readings of {history.source}, on {session.sparkContext.master}"
        )
        labelled = "label" in history.frame.columns
        plan = GroupPlan(by, tuple(history.form.names), labelled, options, policy, streams, settled)
        recipe = {
            "data": history.source, "features": arguments.features,
            "format": FileFormat().to_dict(), "group_column": by, "seed": options.seed,
            "quick": False,
        }  # fmt: skip
        with begun_run(registry, about) as run_id:
            into = arguments.partitions or groups
            rows = collected(fitted(session, history, plan, into), Path(scratch))
            compares = arguments.promote == "auto" and champion.version is not None
            held = held_back(session, history, plan, rows) if compares else {}
            done = assembled(rows, plan, about, held)
            request = Request(
                sample(history), options, group_by=by, promote=arguments.promote, native=False,
                recipe=recipe, **settled,
            )  # fmt: skip
            with ProgressDisplay(err, quiet=True) as display:
                trained, published, kept = conclude(
                    request, done, settings, registry, display, champion, run_id
                )
    notes = [*([champion.problem] if champion.problem else []), *done.notes, *kept]
    for note in shown(notes, kept=run_id is not None):
        out.print(f"note: {note}", highlight=False)
    show(out, rows, trained.bundle.version, published, settings)
    return 0


def wide(session: Any, arguments: argparse.Namespace) -> History:
    """Read the table, including group column and labels.

    Raises
    ------
    InputError
        It is not wide.
    """
    by, keys = arguments.group_by, ("asset_id", "sensor_id")
    others = [] if by in keys else [by]
    history = parquet(session, arguments.data, arguments.features, others, labels=True)
    if history.form.kind != "wide":
        raise InputError(f"{arguments.data}: fleet.fit needs a wide table: one column per feature")
    return history


def overview(history: History, by: str) -> tuple[dict[str, int], int, dict[str, Any]]:
    """Return the number of streams per asset, the number of groups, and facts about the data."""
    from pyspark.sql import functions as f

    keys = ["asset_id", "sensor_id"]
    counted = history.frame.groupBy(*dict.fromkeys([*keys, by])).agg(
        f.count("*").alias("n"), f.min("at").alias("start"), f.max("at").alias("end")
    )
    found = counted.collect()
    if not found:
        raise TrainingError(f"{history.source}: holds no rows")
    streams: dict[str, int] = {}
    for asset in {(row["asset_id"], row["sensor_id"]) for row in found}:
        streams[asset[0]] = streams.get(asset[0], 0) + 1
    times = [row[name] for row in found for name in ("start", "end") if row[name] is not None]
    about = {
        "source": history.source, "rows": sum(row["n"] for row in found), "streams": len(found),
        "features": len(history.form.columns), "start": str(min(times, default=None)),
        "end": str(max(times, default=None)),
    }  # fmt: skip
    return streams, len({row[by] for row in found}), about


def fitted(session: Any, history: History, plan: GroupPlan, into: int) -> Any:
    """Return the lazy frame of fitted groups."""
    frame = with_states(session, history, None)
    by = plan.by

    def work(key: tuple[pa.Scalar, ...], table: pa.Table) -> pa.Table:
        value = key[0].as_py()
        return fit_group(plan, None if value is None else str(value), table)

    order = ["asset_id", "sensor_id", *history.form.order]
    return per_stream(frame, [by], order, into, work, ddl(COLUMNS))


def sample(history: History) -> TrainingData:
    """Return a few readings as example of the registered model."""
    known, columns = history.frame.where("at is not null"), map(column, history.form.columns)
    first = known.select("asset_id", "sensor_id", "at", *columns).limit(5).collect()
    streams = [
        Stream(
            row[0], row[1] or None,
            np.array([row[2].astimezone(UTC).replace(tzinfo=None)], "datetime64[us]"),
            np.array([row[3:]], np.float64),
        )
        for row in first
    ]  # fmt: skip
    return TrainingData(history.form.names, streams, history.source)


def show(
    out: Console, rows: Sequence[GroupRow], bundle: str, published: Published, settings: Settings
) -> None:
    """Print the groups with the most alarms on held-out readings, and the bundle's location."""
    good = [(row.name, row.about) for row in rows if row.folder is not None]
    columns = ("group", "streams", "readings", "seconds", "held out", "alarms per 1,000")
    table = new_table(f"Fitted {len(good):,} of {len(rows):,} groups", columns, columns[:1])
    figures = [(n, a["report"], (a["measures"] or {"alarms": _UNKNOWN})["alarms"]) for n, a in good]
    figures.sort(key=lambda one: -np.nan_to_num(one[2]["rate"], nan=-1.0))
    for name, report, alarms in figures[:_MAX_LISTED]:
        cells = (report["streams"], report["rows"], round(report["seconds"]), alarms["readings"])
        table.add_row(name, *(f"{cell:,}" for cell in cells), number(1000 * alarms["rate"]))
    out.print(table)
    if len(good) > _MAX_LISTED:
        out.print(f"... and {len(good) - _MAX_LISTED:,} with fewer alarms: groups.csv in MLflow")
    print_published(out, settings, bundle, published)


if __name__ == "__main__":
    run_command(main)
