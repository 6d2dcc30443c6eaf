"""What processes of several packages set up for themselves: their log's form, their end."""

from __future__ import annotations

import ctypes
import logging
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NoReturn

import orjson

#: exit code of a command that was interrupted: 128 + SIGINT
INTERRUPTED = 130
_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, action, exception."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        action = getattr(record, "action", None)
        if action:
            line["action"] = action
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


def die_with_parent() -> None:
    """In a child: be terminated when the parent dies, even by ``kill -9`` (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def run_command(main: Callable[[], int | None]) -> NoReturn:
    """Run a command's ``main`` as this process; Ctrl-C ends it with one word and code 130.

    A shell that starts a command in the background has it ignore SIGINT, and Python then leaves
    that as it is; so the handler is installed whatever was inherited.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
