"""``python -m db.maintain``: coming partitions made, rows past the retention dropped."""

from __future__ import annotations

import argparse
import logging
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine, text

from config import load_settings
from db.migrate import migrate
from db.partitions import DEFAULT, Unit, drop_partitions, ensure_partitions
from db.retry import retried
from db.session import open_engine, transaction
from errors import AnomalyError
from process import run_command

__all__ = ["Maintained", "drop_expired", "ensure_partitions", "main"]

#: Rows deleted in one transaction: short enough that nobody waits for it.
CHUNK = 5000


@dataclass(frozen=True, slots=True)
class Maintained:
    """What went: partitions by name, rows of the default partition, dead letters."""

    partitions: list[str]
    detections: int
    dead_letters: int


def drop_expired(engine: Engine, now: datetime, retention_days: int) -> Maintained:
    """Drop what is older than the retention; 0 days: nothing.

    Whole partitions go by the time stamps they hold. Rows of the default partition and dead
    letters go by ``created_at``, so that a replay of old data is not dropped at once.
    """
    if retention_days <= 0:
        return Maintained([], 0, 0)
    before = now.astimezone(UTC) - timedelta(days=retention_days)
    partitions = drop_partitions(engine, before)
    return Maintained(
        partitions, _thin(engine, DEFAULT, before), _thin(engine, "dead_letters", before)
    )


def _thin(engine: Engine, table: str, before: datetime) -> int:
    """Delete rows stored before a time, in chunks; how many."""
    delete = text(f"""
        DELETE FROM {table} WHERE ctid = ANY(ARRAY(
            SELECT ctid FROM {table} WHERE created_at < :before LIMIT :chunk
            FOR UPDATE SKIP LOCKED
        ))
    """)  # noqa: S608 (constants)

    def chunk() -> int:
        with transaction(engine) as connection:
            return connection.execute(delete, {"before": before, "chunk": CHUNK}).rowcount

    total = 0
    while deleted := retried(chunk):
        total += deleted
    return total


def _maintain(engine: Engine, unit: Unit, ahead: int, retention_days: int) -> str:
    now = datetime.now(UTC)
    migrate(engine)
    made = ensure_partitions(engine, now, unit=unit, ahead=ahead)
    gone = drop_expired(engine, now, retention_days)
    kept = f"kept for {retention_days} days" if retention_days else "kept for ever (RETENTION_DAYS)"
    return (
        f"partitions made: {', '.join(made) or 'none missing'}\n"
        f"detections are {kept}\n"
        f"partitions dropped: {', '.join(gone.partitions) or 'none'}\n"
        f"rows dropped: {gone.detections} detections of the default partition, "
        f"{gone.dead_letters} dead letters"
    )


def _days(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of days, 0 or more")
    return int(text)


def main(argv: list[str] | None = None) -> int:
    """Entry point; 0 when all is done."""
    parser = argparse.ArgumentParser(
        prog="python -m db.maintain",
        description="Make the coming partitions of anomaly_detections and drop what is past "
        "RETENTION_DAYS. Run it daily; it is safe while everything runs, and twice.",
    )
    parser.add_argument(
        "--retention-days", type=_days, metavar="N", help="instead of the setting; 0: keep all"
    )
    arguments = parser.parse_args(argv)
    logging.basicConfig(level="WARNING", format="%(message)s")
    try:
        settings = load_settings()
        days = arguments.retention_days
        print(
            _maintain(
                open_engine(settings),
                settings.database_partition,
                settings.database_partitions_ahead,
                settings.retention_days if days is None else days,
            )
        )
    except AnomalyError as error:
        print(f"error: {error.message}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    run_command(main)
