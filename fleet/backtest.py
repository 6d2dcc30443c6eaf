"""Count the alarms of a scored history at several budgets: ``python -m fleet.backtest --help``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from config import Settings
from db.incident_lifecycle import reopen_gap
from db.queries.feedback import feedback_spans
from db.session import opened, transaction
from errors import DatasetError, InputError
from fleet.frames import KEYS
from fleet.score import bundle_of, whole
from fleet.spark import (
    add_spark_arguments,
    arrow,
    ddl,
    first_line,
    per_stream,
    ship,
    spark_session,
    tasks,
)
from fleet.spark_worker import shipped
from fleet.what_if import Exposure, Fault, draw, show, what_if
from models.scoring.alarms.bursts import Burst
from models.scoring.policy import ScoringPolicy
from runtime import command_parser, run_command
from schemas import check_name, parse_timestamp
from training.cli.common import check_folders, consoles, entry, policy_of
from training.cli.fit_arguments import count
from training.data.sources import POSTGRESQL

#: Budgets to try, as multiples of the present ones.
FACTORS: Final = (0.25, 0.5, 1.0, 2.0, 4.0)
COLUMNS: Final = {
    "factor": "double", **dict.fromkeys((*KEYS, "event_id", "why"), "string"),
    "opened_at": "timestamp", "last_at": "timestamp", "peak_log10_p": "double",
}  # fmt: skip
_FAULT: Final = ["asset_id", "start", "end"]
EPILOG = """\
examples:
  python -m fleet.backtest --scores scored/ --out what_if/
  python -m fleet.backtest --scores scored/ --out what_if/ --faults faults.csv --plot what_if.png
  python -m fleet.backtest --scores scored/ --out what_if/ --faults postgresql --operators 3

faults: CSV or Parquet with asset_id, start, end (ISO 8601), or the periods that people confirmed
over REST (postgresql). A fault is found if an incident of its asset was open during it; its lead is
the time from the incident's opening to the fault's end. More: docs/fleet.md.
"""


def parser() -> argparse.ArgumentParser:
    """Make the command line."""
    made = command_parser(
        "fleet.backtest",
        "Count the incidents that a scored history would have opened, per asset and"
        " month and per operator and day, at the present and at other budgets (what if).",
        EPILOG,
    )
    made.add_argument("--scores", required=True, metavar="PATH", help="output of fleet.score")
    made.add_argument(
        "--out", required=True, metavar="PATH", help="incidents/ and what_if/ (Parquet)"
    )
    made.add_argument("--faults", metavar="FILE|postgresql", help="confirmed faults")
    made.add_argument("--plot", type=Path, metavar="FILE.png", help="draw it")
    made.add_argument(
        "--operators", type=count, metavar="N", help="number of operators (OPERATOR_POSITIONS)"
    )
    add_spark_arguments(made)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    return entry(_run, parser().parse_args(argv))


def _run(settings: Settings, arguments: argparse.Namespace) -> int:
    out, err = consoles()
    policy, operators = policy_of(settings), arguments.operators or settings.operator_positions
    check_folders(plot=arguments.plot)
    faults = faults_of(settings, arguments.faults)
    with spark_session("fleet.backtest", arguments) as session:
        exposure = exposure_of(session, arguments.scores)
        err.print(
            f"{exposure.asset_days:,} asset-days scored with bundle version {exposure.version}"
        )
        folder, version = bundle_of(settings, exposure.version)
        name, gap = ship(session, folder), settings.reopen_gap_s
        frame = incidents(session, arguments, name, version, policy, gap)
        whole(frame, f"{arguments.out}/incidents")
        found = session.read.parquet(f"{arguments.out}/incidents").toArrow()
        rows = [what_if(found, f, exposure, policy, operators, faults) for f in FACTORS]
        made = session.createDataFrame(pa.Table.from_pylist(rows))
        whole(made.coalesce(1), f"{arguments.out}/what_if")
    show(out, rows, exposure, operators)
    if arguments.plot is not None:
        draw(rows, found, exposure, operators, arguments.plot)
        out.print(f"drew {arguments.plot}")
    out.print(f"wrote {arguments.out}")
    return 0


def faults_of(settings: Settings, wanted: str | None) -> list[Fault]:
    """Read confirmed faults.

    Raises
    ------
    InputError, DatasetError
        The file cannot be read or has an invalid row; the error names it.
    """
    if wanted is None:
        return []
    if wanted == POSTGRESQL:
        with opened(settings) as engine, transaction(engine) as connection:
            spans = feedback_spans(connection, None)
        return [
            Fault(s.asset_id, s.starts_at, s.ends_at) for s in spans if s.verdict == "confirmed"
        ]
    try:
        read = pa.parquet.read_table if wanted.endswith(".parquet") else _read_csv
        rows = read(wanted).select(_FAULT).to_pylist()
    except (OSError, KeyError, pa.ArrowException) as error:
        raise DatasetError(f"--faults: {wanted}: {str(error)[:300]}") from None
    found = []
    for number_, row in enumerate(rows, 1):
        try:
            asset = row["asset_id"]
            asset = check_name(asset if asset is None else str(asset), "asset_id")
            start, end = (parse_timestamp(row[name], name) for name in ("start", "end"))
            if end < start:
                raise InputError(f"end: {end.isoformat()} is before start, {start.isoformat()}")
        except InputError as error:
            raise InputError(f"--faults: row {number_}: {error.message}", field="faults") from None
        found.append(Fault(asset, start, end))
    return found


def _read_csv(path: str) -> pa.Table:
    # as texts: else the asset 007 is the number 7, which no asset is called
    kinds = dict.fromkeys(_FAULT, pa.string())
    return pa.csv.read_csv(path, convert_options=pa.csv.ConvertOptions(column_types=kinds))


def exposure_of(session: Any, scores: str) -> Exposure:
    """Count the scored readings.

    Raises
    ------
    DatasetError
        There are no scores, or they come from several bundles.
    """
    from pyspark.errors import PySparkException
    from pyspark.sql import functions as f

    try:
        days = session.read.parquet(f"{scores}/streams").where("readings > errors")
    except PySparkException as error:
        why = first_line(error)
        raise DatasetError(f"--scores: {scores}: is not output of fleet.score: {why}") from None
    found = days.agg(
        f.countDistinct("asset_id", "day").alias("asset_days"),
        f.countDistinct("day").alias("days"), f.min("day").alias("first"),
        f.max("day").alias("last"),
        f.collect_set("bundle_version").alias("versions"),
    ).first()  # fmt: skip
    versions = sorted(found["versions"])
    if not versions:
        raise DatasetError(f"--scores: {scores}: contains no scored reading")
    if len(versions) > 1:
        raise DatasetError(
            f"--scores: {scores}: scored with {len(versions)} bundles"
            f" ({', '.join(versions)[:200]}): score all days with one"
        )
    kinds = f.get_json_object("metadata", "$.asset_criticality")
    readings = session.read.parquet(f"{scores}/readings").where("error is null")
    # the newest: an asset whose criticality was changed counts once
    newest = f.max_by(kinds, "timestamp").alias("criticality")
    by = readings.groupBy("asset_id").agg(newest).groupBy("criticality").count().collect()
    assets = {row["criticality"]: row["count"] for row in by}
    return Exposure(
        versions[0], found["asset_days"], found["days"], found["first"], found["last"], assets
    )


def incidents(
    session: Any, arguments: argparse.Namespace, name: str, version: str, policy: ScoringPolicy,
    reopen_gap_s: float,
) -> Any:  # fmt: skip
    """Return the incidents of each stream at each budget, from the readings of events."""
    from pyspark.sql import functions as f

    readings = session.read.parquet(f"{arguments.scores}/readings").where("event_id is not null")
    known = [
        f.get_json_object("metadata", f"$.{key}").alias(key)
        for key in ("group", "asset_criticality")
    ]
    blank = [f.coalesce(key, f.lit("")).alias(key) for key in KEYS]
    frame = readings.select(
        *blank, "timestamp", "event_id", "log10_p", "is_anomaly", "suppressed", *known
    )

    def work(
        key: tuple[pa.Scalar, ...], batches: Iterator[pa.RecordBatch]
    ) -> Iterator[pa.RecordBatch]:
        rows = (row for batch in batches for row in batch.to_pylist())
        replay = _Replay(policy, name, version, reopen_gap_s)
        stream = {part: value.as_py() for part, value in zip(KEYS, key, strict=True)}
        made = [{**one, **stream} for one in replay.run(rows)]
        yield pa.RecordBatch.from_pylist(made, schema=arrow(COLUMNS))

    return per_stream(
        frame, KEYS, [f.col("timestamp")], tasks(session, arguments), work, ddl(COLUMNS)
    )


class _Replay:
    """Apply the service's rule for opening incidents, at each budget."""

    def __init__(self, policy: ScoringPolicy, name: str, version: str, gap_s: float) -> None:
        self._bundle, self._gap_s = shipped(name, version), gap_s
        self._policies = [
            replace(policy, incident_budgets={k: v * f for k, v in policy.incident_budgets.items()})
            for f in FACTORS
        ]

    def run(self, rows: Iterator[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return the incidents of one stream from its events' readings, in time order."""
        found: list[dict[str, Any]] = []
        bursts: list[Burst] = []
        held: list[dict[str, Any] | None] = [None] * len(FACTORS)  # newest incident per budget
        event = None
        for row in rows:
            rates = self._bundle.model_set(row["group"]).bursts
            if row["event_id"] != event:
                event = row["event_id"]
                bursts = [Burst(event) for _ in FACTORS]
            gap = reopen_gap(self._gap_s, rates.interval_s if rates is not None else 0.0)
            at, rarity = row["timestamp"], -row["log10_p"]
            for i, (burst, policy) in enumerate(zip(bursts, self._policies, strict=True)):
                if row["suppressed"] is not None:
                    burst.restart()
                    continue
                rule = policy.opening_rule(rates, row["asset_criticality"])
                incident = burst.take(rarity, row["is_anomaly"], at, rule)
                last = held[i]
                if "why" in incident and (
                    last is None or (at - last["last_at"]).total_seconds() > gap
                ):
                    last = held[i] = {
                        "factor": FACTORS[i], "event_id": event, "why": incident["why"],
                        "opened_at": at, "peak_log10_p": -rarity,
                    }  # fmt: skip
                    found.append(last)
                if last is not None and incident["opens"]:
                    last["last_at"] = at
                    last["peak_log10_p"] = min(last["peak_log10_p"], -rarity)
        return found


if __name__ == "__main__":
    run_command(main)
