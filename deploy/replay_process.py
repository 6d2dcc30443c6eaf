"""Run ``consumers.replay`` as a child process, and parse its log."""

from __future__ import annotations

import re
import sys
from datetime import timedelta
from pathlib import Path

from deploy.processes import Child


def replay_command(file: Path, rate: float, limit: int | None) -> list[str]:
    """Return the command that sends ``file`` with present times, at a rate (0: unlimited).

    Parameters
    ----------
    file
        Wide CSV or Parquet.
    rate
        Readings per second; 0: unlimited.
    limit
        Maximum number of readings; None: all.
    """
    command = [sys.executable, "-m", "consumers.replay", str(file), "--shift-to-now"]
    if rate > 0:
        command += ["--rate", str(rate)]
    if limit is not None:
        command += ["--limit", str(limit)]
    return command


def sent(sender: Child) -> int | None:
    """Return the number of records in the last line of the log; None while it is sending."""
    if sender.process.poll() is None:
        return None
    return int(_reported(sender, r"^sent (\d+) records$"))


def shift_of(sender: Child) -> timedelta:
    """Return the time shift that ``consumers.replay`` reports."""
    return timedelta(seconds=float(_reported(sender, r"^times are moved by (-?[\d.]+) s$")))


def _reported(sender: Child, pattern: str) -> str:
    found = re.search(pattern, sender.log.read_text(), re.MULTILINE)
    return found[1] if found else "0"
