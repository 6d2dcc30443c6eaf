"""Train the detectors and their calibration as one bundle: ``python -m training.fit --help``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from config import Settings
from datasets import add_format_arguments, format_of
from errors import InputError, TrainingError
from runtime import command_parser, run_command
from schemas import parse_timestamp
from training.cli.common import consoles, entry, policy_of
from training.cli.fit_arguments import (
    add_fit_arguments,
    add_procedure_arguments,
    count,
    fit_options,
)
from training.cli.progress import ProgressDisplay
from training.data.quality import assess
from training.data.schedule_file import check_timed, read_schedules
from training.data.sources import (
    POSTGRESQL,
    SIMULATED,
    TrainingData,
    load_data,
    with_clock,
    with_known_features,
)
from training.pipeline import Outcome, train
from training.reports.fit_report import print_budgets, print_fit, print_power, print_published
from training.reports.notes import shown
from training.reports.quality_report import print_quality
from training.request import Request

EPILOG = """\
examples:
  python -m training.fit --quick                         small sizes, simulated data: a look around
  python -m training.fit --data plant.csv                all streams of a file, one model set
  python -m training.fit --data plant.csv --group-by sensor_id --models isolation_forest
  python -m training.fit --data postgresql --since 2026-01-01 --config fit.toml
  python -m training.fit --data new.parquet --groups groups.toml --only vibration --promote false

data forms: a wide CSV, JSON or Parquet file or a workbook with asset_id, timestamp, one column per
feature, and optionally sensor_id and label (never trained on), also compressed; a folder or a glob
pattern of such files; an .npz with `values` (n, d) and `names`; simulated; postgresql (the readings
stored so far). How other files are read: docs/training.md, and `python -m training.inspect`.
"""


def parser() -> argparse.ArgumentParser:
    """Build the command-line parser."""
    made = command_parser(
        "training.fit",
        "Train the detectors and their calibration as one bundle, register it in"
        " MLflow, promote it if it is not worse, and import it into the Bento store.",
        EPILOG,
    )
    made.add_argument(
        "--data", default=SIMULATED, metavar="FILE|GLOB|simulated|postgresql",
        help="what to train on (simulated)",
    )  # fmt: skip
    made.add_argument("--features", metavar="NAME,...", help="columns to use (all)")
    add_format_arguments(made)
    made.add_argument(
        "--since", type=_time,
        help="with postgresql: readings from this time on (the last TRAIN_STORED_DAYS days)",
    )  # fmt: skip
    made.add_argument("--until", type=_time, help="with postgresql: readings before this time")
    made.add_argument(
        "--keep-events", action="store_true",
        help="with postgresql: also train on the readings of lasting alarms",
    )  # fmt: skip
    made.add_argument(
        "--keep-suppressed", action="store_true",
        help="with postgresql: also train on readings in maintenance windows and of machines off",
    )  # fmt: skip
    made.add_argument(
        "--schedules", type=Path, metavar="FILE",
        help="TOML or JSON file of maintenance windows and machine-off conditions whose readings"
        " are left out",
    )  # fmt: skip
    made.add_argument("--group-by", metavar="COLUMN", help="one model set for each of its values")
    made.add_argument("--groups", type=Path, metavar="FILE",
                      help="TOML file of patterns that assign streams to groups")  # fmt: skip
    made.add_argument("--only", metavar="GROUP", help="retrain only this group, keep the others")
    add_procedure_arguments(made, refuse="stop", auto="if it is not worse")
    made.add_argument("--jobs", type=count, metavar="N", help="parallel fits (number of cores)")
    made.add_argument("--no-native", action="store_true",
                      help="do not log the detectors as sklearn and pytorch models")  # fmt: skip
    made.add_argument("--job", metavar="ID", help=argparse.SUPPRESS)
    add_fit_arguments(made)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    return entry(_run, parser().parse_args(argv))


def _run(settings: Settings, arguments: argparse.Namespace) -> int:
    if arguments.job is not None:
        # imported late: nothing else here needs the database
        from training.rest_job import run_job

        return run_job(settings, arguments.job, parser())
    out, err = consoles()
    request = request_of(settings, arguments)
    data = request.data
    err.print(
        f"training on {data.source}: streams {len(data.streams):,}, readings {data.rows:,},"
        f" features {len(data.feature_names):,}"
    )
    quality = assess(data)
    print_quality(err, replace(quality, notes=quality.notes[len(data.notes) :]))
    request = replace(request, quality=quality.to_dict())
    with ProgressDisplay(err) as display:
        outcome = train(request, settings, display)
    show(out, settings, outcome)
    return 0


def request_of(settings: Settings, arguments: argparse.Namespace) -> Request:
    """Build the request from the command line and read its data."""
    _check_stored_only(arguments)
    options = fit_options(arguments)
    form = format_of(arguments)

    def stored() -> TrainingData:
        from training.data.postgres import stored_data

        return stored_data(
            settings, arguments.since, arguments.until,
            keep_events=arguments.keep_events, keep_suppressed=arguments.keep_suppressed,
        )  # fmt: skip

    recipe: dict[str, Any] = {
        "data": _named(arguments.data),
        "features": arguments.features,
        "format": form.to_dict(),
        "group_column": arguments.group_by,
        "seed": options.seed,
        "quick": arguments.quick,
    }
    if arguments.schedules is not None:
        recipe["schedules"] = str(arguments.schedules.absolute())
    data = load_data(
        arguments.data, seed=options.seed, quick=arguments.quick,
        features=arguments.features, group_column=arguments.group_by, stored=stored, form=form,
    )  # fmt: skip
    check_timed(arguments.schedules, data, arguments.data)
    return Request(
        data=data,
        options=with_known_features(
            with_clock(options, form.time_zone), data.feature_names, data.notes
        ),
        group_by=arguments.group_by,
        groups_file=arguments.groups,
        only=arguments.only,
        missing=arguments.missing,
        holdout=arguments.holdout,
        refit=not arguments.no_refit,
        promote=arguments.promote,
        jobs=arguments.jobs,
        native=not (arguments.no_native or arguments.quick),
        recipe=recipe,
        suppression=read_schedules(arguments.schedules).training,
    )


def _check_stored_only(arguments: argparse.Namespace) -> None:
    """Reject options that are about stored readings for other data, which would ignore them."""
    if arguments.data == POSTGRESQL:
        return
    for name in ("since", "until", "keep_events", "keep_suppressed"):
        if getattr(arguments, name):
            option = name.replace("_", "-")
            raise TrainingError(
                f"--{option} needs --data {POSTGRESQL}, not {arguments.data}", field=option
            )


def show(out: Console, settings: Settings, outcome: Outcome) -> None:
    """Print the notes and tables at the end.

    Parameters
    ----------
    out
        Console to print on.
    settings
        Give the budgets, and whether the registry is MLflow.
    outcome
        Outcome of the training.
    """
    trained, published = outcome.trained, outcome.published
    for note in shown(outcome.notes, kept=trained.run_id is not None):
        out.print(f"note: {note}")
    policy = policy_of(settings)
    print_fit(out, policy, trained.results, trained.measured)
    print_power(out, trained.results)
    print_budgets(out, policy, trained.measured)
    print_published(out, settings, trained.bundle.version, published)


def _named(data: str) -> str:
    # absolute, since the version is used later from other working directories
    return data if data in (SIMULATED, POSTGRESQL) else str(Path(data).absolute())


def _time(text: str) -> datetime:
    try:
        return parse_timestamp(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(error.message) from None


if __name__ == "__main__":
    run_command(main)
