"""Maintain the database where no bridge runs, daily by cron: ``python -m db.maintain``.

Creates missing partitions of anomaly_detections and deletes what is past its retention
(RETENTION_DAYS and the similar settings). A running bridge does this itself. The command is safe
while everything runs, and can be repeated.
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Callable

from sqlalchemy import Engine

from config import MAX_DAYS, Settings, load_settings
from db.backlog import work_off
from db.migrate import migrate
from db.partitions import ensure_partitions
from db.retention import drop_expired
from db.session import database_now, in_transaction, open_engine
from runtime import command_parser, report_errors, run_command

log = logging.getLogger(__name__)

DAY_S = 86_400.0


def keep_partitions(engine: Engine, settings: Settings) -> list[str]:
    """Create the partitions of old readings and the coming ones; return their names.

    Raises
    ------
    StorageUnavailable
        See :func:`db.partitions.ensure_partitions`.
    """
    now = in_transaction(engine, database_now)
    made = list[str]()
    try:
        made += work_off(engine)
    finally:  # a failure for old readings must not delay the coming partitions
        made += ensure_partitions(
            engine, now, unit=settings.database_partition, ahead=settings.database_partitions_ahead
        )
    return made


class Maintenance:
    """Maintenance by a running bridge: partitions at each call, retention once a day.

    Parameters
    ----------
    engine : Engine
    settings : Settings
    clock : callable
        Seconds, as ``time.monotonic``.
    """

    def __init__(
        self, engine: Engine, settings: Settings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._clock = clock
        self._dropped_at: float | None = None

    def run(self) -> list[str]:
        """Do what is due; return the new partitions.

        Raises
        ------
        StorageUnavailable
            The next call does the rest.
        """
        made = keep_partitions(self._engine, self._settings)
        now = self._clock()
        if self._dropped_at is None or now - self._dropped_at >= DAY_S:
            gone = drop_expired(self._engine, self._settings)
            if gone.partitions or any(gone.rows.values()):
                log.info("%s", str(gone).replace("\n", "; "))
            self._dropped_at = now
        return made


def _maintain(engine: Engine, settings: Settings) -> str:
    migrate(engine)
    made = keep_partitions(engine, settings)
    gone = drop_expired(engine, settings)
    days = settings.retention_days
    kept = f"kept for {days} days" if days else "kept for ever (RETENTION_DAYS)"
    return f"partitions made: {', '.join(made) or 'none missing'}\ndetections are {kept}\n{gone}"


def _days(text: str) -> int:
    if not text.isdecimal() or int(text) > MAX_DAYS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of days, 0 to {MAX_DAYS}")
    return int(text)


@report_errors
def main(argv: list[str] | None = None) -> int:
    """Run the command; return 0 when all is done."""
    parser = command_parser("db.maintain", __doc__)
    parser.add_argument(
        "--retention-days",
        type=_days,
        metavar="N",
        help="of detections and dead letters, instead of the settings; 0: keep all",
    )
    arguments = parser.parse_args(argv)
    logging.basicConfig(level="WARNING", format="%(message)s")
    settings = load_settings()
    days = arguments.retention_days
    if days is not None:
        given = {"retention_days": days, "dead_letter_retention_days": days}
        settings = settings.model_copy(update=given)
    print(_maintain(open_engine(settings), settings))
    return 0


if __name__ == "__main__":
    run_command(main)
