"""Restart streams after an overhaul: ``python -m db.streams reset``.

The learnt state of a stream (baseline, level, tail, window, open event) describes the machine
before the overhaul. The request is stored as a row; a running bridge applies it to the stream's
next reading, even if it has the state in memory. Stored readings stay.

For example:
  python -m db.streams reset PUMP_001 --why 'new bearing'   # all its streams
  python -m db.streams reset PUMP_001 --sensor S1
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence

from config import load_settings
from db.authors import add_author_arguments, author_of
from db.migrate import open_migrated
from db.queries.schedules import request_reset
from db.session import transaction
from runtime import command_parser, report_errors, run_command
from schemas import check_name


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("db.streams", __doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    reset = commands.add_parser("reset", help="restart an asset's streams")
    reset.add_argument("asset_id", nargs="+")
    reset.add_argument("--sensor", metavar="SENSOR_ID", help="only streams of this sensor")
    add_author_arguments(reset, "the request")
    return parser


@report_errors
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return 0 if done, 1 if part of the request failed."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(level="WARNING", format="%(message)s")
    assets = [check_name(name, "asset_id") for name in arguments.asset_id]
    sensor = check_name(arguments.sensor, "--sensor") if arguments.sensor is not None else None
    who, why = author_of(arguments)
    with transaction(open_migrated(load_settings())) as connection:
        for asset in assets:
            request_reset(connection, asset, sensor, who, why)
    what = "its" if len(assets) == 1 else "their"
    which = f"sensor {sensor}" if sensor else f"all {what} streams"
    print(f"{', '.join(assets)}: {which} restart with {what} next reading")
    return 0


if __name__ == "__main__":
    run_command(main)
