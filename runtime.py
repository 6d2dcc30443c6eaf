"""Set up a process: the form of its log, whom it trusts, its signals, its end."""

from __future__ import annotations

import argparse
import ctypes
import functools
import gc
import logging
import os
import signal
import ssl
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn, ParamSpec

import orjson

from errors import AnomalyError, SettingsError

P = ParamSpec("P")

#: exit code of a command that failed
FAILED = 1
#: exit code of a command that was interrupted: 128 + SIGINT
INTERRUPTED = 130
_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


class JsonFormatter(logging.Formatter):
    """Format one JSON object per line: time, level, logger, message, action, exception."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
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


def one_line(record: logging.LogRecord) -> bool:
    """Have a message be one line of text: a name from outside with a line end begins no other."""
    message = record.getMessage()
    if not message.isprintable():
        record.msg = "".join(c if c.isprintable() else repr(c)[1:-1] for c in message)
        record.args = None
    return True


#: BentoML's name of its log handler; only a process that serves has it.
BENTOML_HANDLER = "tracehandler"


def configure_logging(level: str, as_json: bool) -> None:
    """Log to standard error: text, or one JSON object per line. Only entry points call this."""
    handler = logging.StreamHandler()
    text = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler.setFormatter(JsonFormatter() if as_json else text)
    if not as_json:
        handler.addFilter(one_line)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # kafka-python's lines repeat for every connection and attempt; what they mean is logged once,
    # by consumers.broker.connection_errors
    kafka = logging.getLogger("kafka")
    kafka.setLevel(logging.DEBUG if level == "DEBUG" else logging.WARNING)
    kafka.propagate = level == "DEBUG"
    kafka.addHandler(logging.NullHandler())
    for name in ("httpx", "httpcore", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)


def configure_service_logging(level: str, as_json: bool) -> None:
    """Bring the settings into force in BentoML's handler; without one, do nothing.

    BentoML lets its own loggers through at INFO and others at WARNING, whatever the settings are.
    """
    handlers = [h for h in logging.getLogger().handlers if h.name == BENTOML_HANDLER]
    if not handlers:
        return
    for name in ("bentoml", "db", "models"):
        logging.getLogger(name).setLevel(level)
    for handler in handlers:
        if as_json:
            handler.setFormatter(JsonFormatter())
        else:
            handler.addFilter(one_line)


def child_environment() -> dict[str, str]:
    """Return an environment in which a child can import the project from any folder."""
    root = str(Path(__file__).resolve().parent)
    paths = [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def die_with_parent() -> None:
    """Have this child terminated when its parent dies, even by ``kill -9`` (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def settle_memory() -> None:
    """Move long-lived objects out of the garbage collector's sight, and have it look less often.

    A batch of 1,000 readings makes enough objects for dozens of collections, each of which would
    walk the libraries' half a million objects: a quarter of the batch's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def tls_context(cafile: Path | None, setting: str) -> ssl.SSLContext:
    """Trust the certificates that ``cafile`` signed, else those that the system trusts.

    Raises
    ------
    SettingsError
        Names the ``setting`` whose file cannot be used.
    """
    try:
        return ssl.create_default_context(cafile=None if cafile is None else str(cafile))
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"{setting}: {cafile} cannot be used: {error}", field=setting) from None


def command_parser(
    module: str, description: str | None, epilog: str | None = None
) -> argparse.ArgumentParser:
    """Make the parser of ``python -m module``, whose texts are shown as they are written.

    Parameters
    ----------
    module
        Dotted name, as the command is typed.
    description, epilog
        Above and below the options.
    """
    return argparse.ArgumentParser(
        prog=f"python -m {module}",
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def report_errors(command: Callable[P, int]) -> Callable[P, int]:
    """Have a command's failure end in one sentence on standard error and exit code FAILED."""

    @functools.wraps(command)
    def reporting(*args: P.args, **kwargs: P.kwargs) -> int:
        try:
            return command(*args, **kwargs)
        except AnomalyError as error:
            print(f"error: {error.message}", file=sys.stderr)
            return FAILED

    return reporting


def run_command(main: Callable[[], int | None]) -> NoReturn:
    """Run a command's ``main`` as this process; Ctrl-C ends it with one word and code 130.

    A shell that starts a command in the background has it ignore SIGINT, and Python then leaves
    that as it is; so the handler is installed whatever was inherited.

    What is imported by now stays until the end: the garbage collector need not walk it.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    settle_memory()
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
