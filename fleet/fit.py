"""Fit a model set for each group of a fleet on Spark: ``python -m fleet.fit --help``."""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.table import Table

from config import Settings
from datasets import FileFormat, Stream
from errors import InputError, TrainingError
from fleet.frames import History, column, parquet, with_states
from fleet.group_fit import (
    COLUMNS,
    SET,
    TWIN,
    GroupPlan,
    StoredSets,
    fit_group,
    measures_of,
    unpack,
)
from fleet.spark import add_spark_arguments, ddl, kept, per_stream, spark_session
from models.bundles.bundle import Rule
from models.fitting.model_set_fit import FitReport
from models.registry.promotion import load_champion
from runtime import command_parser, run_command
from training.cli.common import consoles, entry, policy_of, registry_of
from training.cli.fit_arguments import add_fit_arguments, add_procedure_arguments, fit_options
from training.cli.progress import ProgressDisplay
from training.data.preparation import Prepared
from training.data.sources import TrainingData, with_conditions
from training.fitting.parallel_fit import Result, Task
from training.fitting.power import Power
from training.pipeline import Fitted, Request, conclude
from training.publishing.mlflow_tracking import begun_run
from training.publishing.publish import Published
from training.reports.fit_report import number

_MOST = 20
_UNKNOWN = {"rate": float("nan"), "readings": 0}
EPILOG = """\
examples:
  python -m fleet.fit --data fleet.parquet --group-by asset_id --quick    # a look around
  python -m fleet.fit --data history/ --group-by machine_type --config fit.toml
  python -m fleet.fit --data s3a://plant/2026/ --group-by sensor_id --master k8s://https://cluster:443

Each group is fitted as python -m training.fit would fit it, and comes to the same model set; all
are ONE bundle, one run of MLflow and one version. A group that cannot be fitted is named and left
out. A group's readings must fit into the memory of one task. More: docs/fleet.md.
"""


def parser() -> argparse.ArgumentParser:
    """Make the command line."""
    made = command_parser(
        "fleet.fit",
        "Fit the detectors and their calibration for each group of a fleet, one group a"
        " task of Spark, and register them as one bundle.",
        EPILOG,
    )
    made.add_argument("--data", required=True, metavar="PATH", help="wide Parquet files")
    made.add_argument(
        "--group-by", required=True, metavar="COLUMN",
        help="one model set for each of its values: asset_id, sensor_id or any other column",
    )  # fmt: skip
    made.add_argument("--features", metavar="NAME,...", help="columns to use (all numbers)")
    add_procedure_arguments(made, refuse="leave the group out", auto="if it is the first")
    add_spark_arguments(made)
    add_fit_arguments(made)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit code."""
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
        options = with_conditions(options, history.form.names)
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
            done = assembled(rows, plan, about)
            request = Request(
                sample(history), options, group_by=by, promote=arguments.promote, native=False,
                recipe=recipe, **settled,
            )  # fmt: skip
            with ProgressDisplay(err, quiet=True) as board:
                trained, published, kept = conclude(
                    request, done, settings, registry, board, champion, run_id
                )
    notes = [champion.problem] if champion.problem else []
    notes += [note for row in rows for note in row.notes] + kept
    for note in dict.fromkeys(notes):
        out.print(f"note: {note}", highlight=False)
    show(out, rows, trained.bundle.version, published, settings)
    return 0


def wide(session: Any, arguments: argparse.Namespace) -> History:
    """Read the table, with the column of groups and the labels.

    Raises
    ------
    InputError
        It is not wide.
    """
    by, keys = arguments.group_by, ("asset_id", "sensor_id")
    others = [] if by in keys else [by]
    history = parquet(session, arguments.data, arguments.features, others, labels=True)
    if history.form.kind != "wide":
        raise InputError(f"{arguments.data}: a fit takes wide tables: one column per feature")
    return history


def overview(history: History, by: str) -> tuple[dict[str, int], int, dict[str, Any]]:
    """Count streams by asset, and groups; and what is known of the data before the fit."""
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
    """Return the frame of fitted groups: lazily."""
    frame = with_states(session, history, None)
    by = plan.by

    def work(key: tuple[pa.Scalar, ...], table: pa.Table) -> pa.Table:
        value = key[0].as_py()
        return fit_group(plan, None if value is None else str(value), table)

    order = ["asset_id", "sensor_id", *history.form.order]
    return per_stream(frame, [by], order, into, work, ddl(COLUMNS))


@dataclass(slots=True)
class GroupRow:
    """What a worker said of one group; ``folder`` holds its model sets."""

    name: str
    about: Mapping[str, Any]
    folder: Path | None

    @property
    def notes(self) -> list[str]:
        """Return what was found out, and why it could not be fitted."""
        more = [f"{self.error}: left out"] if self.about["error"] else []
        return [*self.about["notes"], *more, *self.about.get("result_notes", ())]

    @property
    def error(self) -> str:
        """Return why it could not be fitted."""
        error = str(self.about["error"])
        return error if error.startswith("group ") else f"group {self.name!r}: {error}"


def collected(frame: Any, scratch: Path) -> list[GroupRow]:
    """Fit all groups; their model sets go to disk one by one, so that memory stays small."""
    with kept(frame) as frame:
        frame.count()  # all at once; what follows only fetches
        rows = []
        for place, row in enumerate(frame.toLocalIterator()):
            content = row["content"]
            folder = None if content is None else unpack(bytes(content), scratch / str(place))
            rows.append(GroupRow(row["name"], json.loads(row["about"]), folder))
    # as a training on one machine orders them: by group, and within it by place
    order = {row.name: place for place, row in enumerate(rows)}
    return sorted(rows, key=lambda row: (row.about["group"], order[row.name]))


@dataclass(slots=True)
class FittedElsewhere(Task):
    """A task whose readings stayed where they were fitted."""

    told: list[list[Any]] = field(default_factory=list)

    def statistics(self) -> list[list[Any]]:
        """Return what the worker counted."""
        return self.told


class StoredResults(Sequence[Result]):
    """Results whose model sets are read as they are asked for."""

    def __init__(self, rows: Sequence[GroupRow], sets: StoredSets, twins: StoredSets) -> None:
        self._rows, self._sets, self._twins = rows, sets, twins

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, place: Any) -> Any:
        row = self._rows[place]
        about = row.about
        return Result(
            row.name, self._sets[row.name], FitReport(**about["report"]),
            self._twins.get(row.name), about["power"] and Power.from_dict(about["power"]),
            notes=list(about["result_notes"]),
        )  # fmt: skip

    def __iter__(self) -> Iterator[Result]:
        return (self[place] for place in range(len(self)))


def assembled(rows: Sequence[GroupRow], plan: GroupPlan, about: dict[str, Any]) -> Fitted:
    """Return what was fitted, as a training on one machine hands it on.

    Raises
    ------
    TrainingError
        No group could be fitted; the first one's error.
    """
    good = [row for row in rows if row.folder is not None]
    if not good:
        raise TrainingError(rows[0].error)
    folders = {row.name: row.folder for row in good if row.folder is not None}
    sets, twins = StoredSets(folders, SET), StoredSets(folders, TWIN)
    tasks = []
    for row in good:
        prepared = Prepared(list(row.about["features"]), [], [])
        task = FittedElsewhere(row.name, prepared, plan.options, plan.policy)
        task.told = row.about["statistics"]
        tasks.append(task)
    measured = {row.name: m for row in good if (m := measures_of(row.about)) is not None}
    prints = [row.about["fingerprint"] for row in rows if row.about["fingerprint"]]
    digest = hashlib.sha256("".join(one["sha256"] for one in prints).encode()).hexdigest()
    fingerprint = {**about, "sha256": digest}
    results = StoredResults(good, sets, twins)
    return Fitted(tasks, results, sets, twins, measured, fingerprint, _rules(rows))


def _rules(rows: Sequence[GroupRow]) -> list[Rule]:
    """Return the rules of all groups: those of streams set apart within one come first."""
    own: list[Rule] = []
    apart: list[Rule] = []
    for row in rows:
        for rule in map(Rule.from_dict, row.about["rules"]):
            (own if rule.group == row.about["group"] else apart).append(rule)
    return apart + sorted(own, key=lambda rule: (rule.group, rule.asset_id, rule.sensor_id))


def sample(history: History) -> TrainingData:
    """Return a few readings, as the registered model's example."""
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
    """Print the groups that alarm most on held-out readings, and where the bundle is."""
    good = [(row.name, row.about) for row in rows if row.folder is not None]
    table = Table(title=f"Fitted {len(good):,} of {len(rows):,} groups", title_justify="left")
    for name in ("group", "streams", "readings", "seconds", "held out", "alarms per 1,000"):
        table.add_column(name, justify="left" if name == "group" else "right")
    figures = [(n, a["report"], (a["measures"] or {"alarms": _UNKNOWN})["alarms"]) for n, a in good]
    figures.sort(key=lambda one: -np.nan_to_num(one[2]["rate"], nan=-1.0))
    for name, report, alarms in figures[:_MOST]:
        cells = (report["streams"], report["rows"], round(report["seconds"]), alarms["readings"])
        table.add_row(name, *(f"{cell:,}" for cell in cells), number(1000 * alarms["rate"]))
    out.print(table)
    if len(good) > _MOST:
        out.print(f"... and {len(good) - _MOST:,} that alarm less: groups.csv in MLflow")
    where = "MLflow" if settings.mlflow_enabled else "the file registry"
    out.print(f"bundle {bundle}: version {published.version} in {where}, {published.message}")


if __name__ == "__main__":
    run_command(main)
