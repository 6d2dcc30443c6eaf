"""Train on the first part of a data set and replay the rest as the service would score it.

``python -m training.backtest --data FILE --train-until ROW|TIMESTAMP --out scores.csv``
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console

from config import Settings
from datasets import Stream, add_format_arguments, format_of, key_of
from errors import TrainingError
from models.bundles.bundle import DEFAULT
from models.detectors.base import MODEL_NAMES
from models.fitting.options import FitOptions
from models.scoring.magnitudes.tail import criticality_of
from models.scoring.maintenance.suppression import Suppression
from models.scoring.policy import ScoringPolicy
from runtime import command_parser, run_command
from schemas import CRITICALITIES
from training.cli.common import check_folders, consoles, entry, policy_of
from training.cli.fit_arguments import add_fit_arguments, count, fit_options
from training.cli.progress import ProgressDisplay
from training.data.schedule_file import Schedules, check_timed, read_schedules, suppressed
from training.data.sensors import alike
from training.data.sources import TrainingData, load_data, with_clock, with_known_features
from training.data.splits import Cut, by_asset, parse_cut, prepared, training_sizes
from training.evaluation import plots
from training.evaluation.measures import Scored, judged_on
from training.fitting.parallel_fit import Result, Task, notes_of, run_tasks
from training.reports.backtest_report import print_report

_FLEET = "fleet"


EPILOG = """\
examples:
  python -m training.backtest --data plant.csv --train-until 2000 --out scores.csv
  python -m training.backtest --data plant.csv --train-until 2026-02-01 --out s.csv --plot s.png
  python -m training.backtest --data engines.csv --train-until 60 --out s.csv --fleet

timestamps are ISO 8601 (2026-01-31T12:00:00Z; no offset means UTC). For other time formats, missing
columns, decimal commas and the like see docs/training.md.
"""


def parser() -> argparse.ArgumentParser:
    """Build the command-line parser."""
    made = command_parser(
        "training.backtest",
        "Train on the first part of a data set and replay the rest, reading by"
        " reading, through the service's scoring code. Labels are never trained on.",
        EPILOG,
    )
    made.add_argument(
        "--data", required=True, metavar="FILE", help="wide CSV, JSON, Parquet, or glob"
    )
    made.add_argument(
        "--train-until", required=True, metavar="ROW|TIMESTAMP",
        help="train on each asset's first ROW readings, or on those before TIMESTAMP (without an"
        " offset: a time in --time-zone, else in UTC)",
    )  # fmt: skip
    made.add_argument("--out", required=True, type=Path, metavar="FILE", help="scores, as CSV")
    made.add_argument(
        "--criticality", choices=CRITICALITIES, default="medium",
        help="criticality of every asset, which sets the false-alarm budget (medium)",
    )  # fmt: skip
    made.add_argument("--fleet", action="store_true", help="one model for all assets")
    made.add_argument("--plot", type=Path, metavar="FILE.png", help="draw the scores over time")
    made.add_argument("--features", metavar="NAME,...", help="columns to use (all)")
    made.add_argument(
        "--schedules", type=Path, metavar="FILE",
        help="TOML or JSON file of maintenance windows and machine-off conditions: their readings"
        " are not trained on and raise no alarms",
    )  # fmt: skip
    add_format_arguments(made)
    made.add_argument("--jobs", type=count, metavar="N", help="parallel fits (number of cores)")
    add_fit_arguments(made)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    return entry(_run, parser().parse_args(argv))


def _run(settings: Settings, arguments: argparse.Namespace) -> int:
    out, err = consoles()
    policy = policy_of(settings)
    check_folders(out=arguments.out, plot=arguments.plot)
    form = format_of(arguments)
    cut = parse_cut(arguments.train_until, form.time_zone)
    data = load_data(arguments.data, features=arguments.features, form=form)
    options = with_known_features(
        with_clock(fit_options(arguments), form.time_zone), data.feature_names, data.notes
    )
    check_timed(arguments.schedules, data, arguments.data)
    schedules = read_schedules(arguments.schedules)
    tasks, notes = tasks_of(data, cut, options, arguments.fleet, schedules)
    tasks = [replace(t, policy=policy, criticality=arguments.criticality) for t in tasks]
    with ProgressDisplay(err) as display:
        results, more = run_all(tasks, display, arguments.jobs)
    scored = in_order(data, cut, results, policy.threshold(arguments.criticality))
    write_scores(arguments.out, scored)
    for note in dict.fromkeys([*data.notes, *notes, *more, *notes_of(results)]):
        out.print(f"note: {note}")
    if not any(np.isfinite(one.final_score).any() for one in scored):
        raise TrainingError("no reading could be scored; see the notes")
    _say_suppressed(out, scored)
    _say_rejected(out, scored)
    print_report(out, [judged_on(one) for one in scored], policy, arguments.criticality)
    out.print(f"wrote {sum(len(s.timestamps) for s in scored):,} rows to {arguments.out}")
    if arguments.plot is not None:
        title = f"Replayed readings at criticality {arguments.criticality}"
        plots.save(plots.timeline(scored, title), arguments.plot)
        out.print(f"drew {arguments.plot}")
    return 0


def _say_suppressed(out: Console, scored: Sequence[Scored]) -> None:
    flags = [one.suppressed for one in scored if one.suppressed is not None]
    if flags:
        out.print(
            f"{sum(int(one.sum()) for one in flags):,} replayed readings lie in maintenance or are"
            " of machines that were off: they raise no alarm and do not count in these figures"
        )


def _say_rejected(out: Console, scored: Sequence[Scored]) -> None:
    """Say how many readings a service would reject, of the streams that can be scored."""
    missing = [np.isnan(one.final_score) for one in scored]
    many = sum(int(one.sum()) for one in missing if not one.all())
    if many:
        out.print(
            f"{many:,} of {sum(map(len, missing)):,} replayed readings lack more values than may be"
            " imputed and were not scored, as the service rejects them (--impute)"
        )


def tasks_of(
    data: TrainingData,
    cut: Cut,
    options: FitOptions,
    fleet: bool,
    schedules: Schedules | None = None,
) -> tuple[list[Task], list[str]]:
    """Create one task per asset (or one for all), and notes on assets that cannot be trained on.

    Suppressed readings are not trained on and raise no alarm. A back-test has no groups; windows
    and conditions of the group ``default`` apply.

    Parameters
    ----------
    data, options
        What to train on, and how.
    cut
        Where each asset's training part ends.
    fleet
        Fit one model for all assets, instead of one each.
    schedules
        Maintenance windows and off conditions, if any.

    Raises
    ------
    TrainingError
        No asset can be trained on, or no reading is left to score.
    """
    assets = by_asset(data.streams)
    cuts = {asset: training_sizes(streams, cut) for asset, streams in assets.items()}
    if all(
        k == len(stream.timestamps)
        for asset, streams in assets.items()
        for stream, k in zip(streams, cuts[asset], strict=True)
    ):
        raise TrainingError("--train-until lies after the last reading: none is left to score")
    ends = {id(s): k for asset in assets for s, k in zip(assets[asset], cuts[asset], strict=True)}
    schedules = schedules or Schedules()
    teaches, alarms = (one.in_group(DEFAULT) for one in (schedules.training, schedules.alarms))
    tasks, notes = [], []
    for name, streams in (_fleets(data) if fleet else assets).items():
        at = [ends[id(stream)] for stream in streams]
        if teaches:
            streams, at, messages = _without_suppressed(
                streams, at, data.feature_names, teaches, name
            )
            notes += messages
        try:
            ready = prepared(streams, at, data.feature_names, name, options.imputed)
        except TrainingError as error:
            notes.append(f"{error.message}: not scored")
            continue
        shared = float(max(len(assets[stream.asset_id]) for stream in streams))
        tasks.append(
            Task(
                name, ready, options, ScoringPolicy(), streams_per_asset=shared, suppression=alarms
            )
        )
    if not tasks:
        raise TrainingError(notes[0] if len(notes) == 1 else f"nothing to train on: {notes[0]}")
    return tasks, notes


def _without_suppressed(
    streams: Sequence[Stream],
    cuts: Sequence[int],
    names: list[str],
    suppression: Suppression,
    what: str,
) -> tuple[list[Stream], list[int], list[str]]:
    """Leave suppressed readings out of the training parts; return streams, cuts and a note."""
    kept, left = [], []
    for stream, cut in zip(streams, cuts, strict=True):
        out = suppressed(stream, names, suppression, DEFAULT)
        out[cut:] = False
        kept.append(stream.take(~out))
        left.append(cut - int(out.sum()))
    gone = sum(cuts) - sum(left)
    note = f"{what}: {gone:,} training readings of maintenance or machines that were off left out"
    return kept, left, [note] if gone else []


def _fleets(data: TrainingData) -> dict[str, list[Stream]]:
    """Return the streams of one fleet, or of several if machines have different sensors."""
    lots = [[data.streams[i] for i in lot] for _, lot in alike(data.streams)]
    if len(lots) == 1:
        return {_FLEET: lots[0]}
    named: dict[str, list[Stream]] = {}
    for streams in lots:
        name = f"{_FLEET}_{streams[0].asset_id}"
        while name in named:  # an asset's sensors may differ among each other, too
            name += "_2"
        named[name] = streams
    return named


def run_all(
    tasks: Sequence[Task], display: ProgressDisplay, jobs: int | None
) -> tuple[list[Result], list[str]]:
    """Run the tasks; return the results, and a note on each task that failed.

    Parameters
    ----------
    tasks
        Model sets to fit.
    display
        Shows progress.
    jobs
        Parallel fits; as many as cores if None.
    """
    results = run_tasks(tasks, display, jobs)
    notes = [f"{r.name}: {r.error.message}: not scored" for r in results if r.error is not None]
    return results, notes


def in_order(
    data: TrainingData, cut: Cut, results: Sequence[Result], threshold: float
) -> list[Scored]:
    """Return one :class:`Scored` per stream with readings after the cut, in the data's order.

    Parameters
    ----------
    data, cut
        The streams, and where each asset's training part ends.
    results
        Those of :func:`run_all`.
    threshold
        Threshold to report for streams that could not be scored.
    """
    scored = {(s.asset_id, s.sensor_id): s for result in results for s in result.scored}
    out = []
    for streams in by_asset(data.streams).values():
        for stream, k in zip(streams, training_sizes(streams, cut), strict=True):
            if k < len(stream.timestamps):
                key = key_of(stream)
                out.append(scored.get(key) or _unscored(stream, k, threshold))
    return out


def _unscored(stream: Stream, past: int, threshold: float) -> Scored:
    n = len(stream.timestamps) - past
    nothing = np.full(n, np.nan)
    labels = None if stream.labels is None else stream.labels[past:]
    return Scored(
        stream.asset_id, stream.sensor_id, stream.timestamps[past:], nothing, nothing,
        np.full(n, threshold), np.zeros(n, bool), {}, labels,
    )  # fmt: skip


def write_scores(path: Path, scored: Sequence[Scored]) -> None:
    """Write one row per reading; a score that does not exist is an empty cell.

    With schedules there is a column ``suppressed``, and if an asset has several streams a last
    column ``sensor_id``.
    """
    assets = [one.asset_id for one in scored]
    several = len(set(assets)) < len(assets)
    planned = any(one.suppressed is not None for one in scored)
    with path.open("w", newline="", encoding="utf-8") as file:
        for number, one in enumerate(scored):
            nothing = np.full(len(one.timestamps), np.nan)
            columns: dict[str, Any] = {
                "asset_id": one.asset_id,
                "timestamp": [
                    f"{t}+00:00" for t in one.timestamps.astype("datetime64[us]").astype(str)
                ],
                "final_score": one.final_score,
                "threshold": one.threshold,
                "is_anomaly": np.where(one.is_anomaly, "true", "false"),
                "criticality": [
                    criticality_of(s) if s == s else "" for s in one.final_score.tolist()
                ],
                **{name: one.detectors.get(name, nothing) for name in MODEL_NAMES},
                "log10_p": nothing if one.log10_p is None else one.log10_p,
            }
            if planned:
                flags = False if one.suppressed is None else one.suppressed
                columns["suppressed"] = np.where(flags, "true", "false")
            if several:
                columns["sensor_id"] = one.sensor_id or ""
            table = pd.DataFrame(columns, index=range(len(nothing)))
            table.replace([np.inf, -np.inf], np.nan).to_csv(
                file, header=number == 0, index=False, float_format="%.6g", lineterminator="\r\n"
            )


if __name__ == "__main__":
    run_command(main)
