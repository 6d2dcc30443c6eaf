"""Grade the quality of data: ``python -m training.inspect --data FILE``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from config import Settings
from datasets import add_format_arguments, format_of
from runtime import command_parser, run_command
from training.cli.common import check_folders, consoles, entry
from training.data.quality import assess
from training.data.sources import load_data
from training.reports.quality_report import print_quality, write_page

EXIT_LOW = 1  # of --strict

EPILOG = """\
examples:
  python -m training.inspect --data plant.csv
  python -m training.inspect --data exports/ --json quality.json --page quality.html
  python -m training.inspect --data plant.csv --strict && python -m training.fit --data plant.csv

High: no objection; Medium: something to look at, named with its rows; Low: cannot be used
(constant, a row number, mostly missing, too few readings). training.fit prints the same grades.
"""


def parser() -> argparse.ArgumentParser:
    """Build the command-line parser."""
    made = command_parser(
        "training.inspect",
        "Grade the quality of data by asset, sensor and feature, with reasons and row"
        " numbers, before anything is fitted.",
        EPILOG,
    )
    made.add_argument("--data", required=True, metavar="FILE|FOLDER|GLOB", help="data to grade")
    made.add_argument("--features", metavar="NAME,...", help="columns to use (all)")
    made.add_argument("--json", type=Path, metavar="FILE", help="write all findings as JSON")
    made.add_argument("--page", type=Path, metavar="FILE.html", help="write a page with pictures")
    made.add_argument(
        "--strict", action="store_true",
        help=f"exit with code {EXIT_LOW} if anything is graded Low",
    )  # fmt: skip
    add_format_arguments(made)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    return entry(_run, parser().parse_args(argv))


def _run(settings: Settings, arguments: argparse.Namespace) -> int:
    out, _ = consoles()
    check_folders(json=arguments.json, page=arguments.page)
    data = load_data(arguments.data, features=arguments.features, form=format_of(arguments))
    quality = assess(data)
    print_quality(out, quality)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(quality.to_dict(), indent=1), encoding="utf-8")
    if arguments.page is not None:
        write_page(arguments.page, quality, data)
    return EXIT_LOW if arguments.strict and quality.anything_low else 0


if __name__ == "__main__":
    run_command(main)
