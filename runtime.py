"""Set up a process: log format, trusted certificates, signals, exit codes."""

from __future__ import annotations

import argparse
import ctypes
import difflib
import errno
import functools
import gc
import logging
import os
import re
import signal
import ssl
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, ParamSpec

import orjson

from errors import AnomalyError, SettingsError

if TYPE_CHECKING:
    from wsgiref.simple_server import WSGIServer

    from prometheus_client import CollectorRegistry

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
    """Escape line breaks in a message, so that a name from outside cannot forge a log line."""
    message = record.getMessage()
    if not message.isprintable():
        record.msg = "".join(c if c.isprintable() else repr(c)[1:-1] for c in message)
        record.args = None
    return True


#: BentoML's name of its log handler; only a process that serves has it.
BENTOML_HANDLER = "tracehandler"


def configure_logging(level: str, as_json: bool) -> None:
    """Log to standard error as text or as JSON lines. Only entry points call this."""
    handler = logging.StreamHandler()
    text = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler.setFormatter(JsonFormatter() if as_json else text)
    if not as_json:
        handler.addFilter(one_line)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # kafka-python logs every connection and attempt; consumers.broker.connection_errors logs each
    # problem once instead
    kafka = logging.getLogger("kafka")
    kafka.setLevel(logging.DEBUG if level == "DEBUG" else logging.WARNING)
    kafka.propagate = level == "DEBUG"
    kafka.addHandler(logging.NullHandler())
    # their lines hold addresses, which may be secrets: a chat's webhook has its token in the path
    for name in ("httpx", "httpcore", "urllib3", "oauthlib", "requests_oauthlib"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)


def configure_service_logging(level: str, as_json: bool) -> None:
    """Apply the log settings to BentoML's handler, if the process has it.

    By itself BentoML logs its own loggers at INFO and others at WARNING.
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
    """Let the kernel terminate this process when its parent dies, even by ``kill -9`` (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def settle_memory() -> None:
    """Exclude long-lived objects from garbage collection, and collect less often.

    A batch of 1,000 readings triggers dozens of collections. Traversing the half a million objects
    of the libraries each time would take a quarter of the batch's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def one_blas_thread() -> None:
    """Limit BLAS, as far as it is loaded, to one thread in this process.

    The matrices of a batch are small: further threads wait for one another and spin meanwhile
    (measured in the service: 2.4 times the CPU per reading, and slower). Requests, tasks and fits
    use the cores instead.
    """
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)


def tls_context(cafile: Path | None, setting: str) -> ssl.SSLContext:
    """Make a TLS context that trusts the CA of ``cafile``, or without one the system's CAs.

    Raises
    ------
    SettingsError
        The file cannot be used; the error names the ``setting``.
    """
    try:
        return ssl.create_default_context(cafile=None if cafile is None else str(cafile))
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"{setting}: {cafile} cannot be used: {error}", field=setting) from None


def serve_metrics(
    port: int, registry: CollectorRegistry, setting: str
) -> tuple[WSGIServer, threading.Thread]:
    """Answer Prometheus on a port; return the server and its thread.

    Parameters
    ----------
    port
        The port; 0 chooses a free one.
    registry
        The metrics.
    setting
        Name of the setting or option that the port comes from.

    Raises
    ------
    SettingsError
        The port is in use or none.
    """
    from prometheus_client import start_http_server

    try:
        return start_http_server(port, registry=registry)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SettingsError(f"{setting}: port {port}: {reason}", field=setting) from None


def at_least(least: int) -> Callable[[str], int]:
    """Return a parser of whole numbers of at least ``least`` for a command line."""

    def parse(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"{text} is not {least} or more")
        return value

    parse.__name__ = "whole number"
    return parse


class _CommandParser(argparse.ArgumentParser):
    """Reports a wrong call in two lines; argparse would list all options before them."""

    def error(self, message: str) -> NoReturn:
        unknown = re.match(r"unrecognized arguments: (--[\w-]+)", message)
        options = list(self._option_string_actions)
        near = difflib.get_close_matches(unknown[1], options, cutoff=0.75) if unknown else []
        if near:
            message += f" (did you mean {near[0]}?)"
        self.exit(2, f"{self.prog}: error: {message}\n{self.prog} --help lists the options\n")


def command_parser(
    module: str, description: str | None, epilog: str | None = None
) -> argparse.ArgumentParser:
    """Make the parser of ``python -m module``; its help keeps the line breaks of the texts.

    Parameters
    ----------
    module
        Dotted name, as typed in the command.
    description, epilog
        Texts above and below the list of options.
    """
    parser = _CommandParser(
        prog=f"python -m {module}",
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    # no option begins with a digit, so "-200,-999" is a value, as "-200" alone is
    parser._negative_number_matcher = re.compile(r"-\.?\d")
    return parser


def report_errors(command: Callable[P, int]) -> Callable[P, int]:
    """Report an error of a command in one sentence on standard error, with exit code FAILED."""

    @functools.wraps(command)
    def reporting(*args: P.args, **kwargs: P.kwargs) -> int:
        try:
            return command(*args, **kwargs)
        except AnomalyError as error:
            print(f"error: {error.message}", file=sys.stderr)
            return FAILED

    return reporting


def run_command(main: Callable[[], int | None]) -> NoReturn:
    """Run a command's ``main`` and exit; Ctrl-C prints "interrupted" and exits with code 130.

    A shell makes background commands ignore SIGINT, and Python keeps this; so SIGINT's handler
    is always installed. Everything imported so far is excluded from garbage collection. A file
    that cannot be opened is reported in one sentence.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    settle_memory()
    if "numpy" in sys.modules:
        one_blas_thread()
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except OSError as error:  # a file that cannot be written or read, or a full disk
        if error.strerror is None or (error.filename is None and error.errno != errno.ENOSPC):
            raise
        where = "" if error.filename is None else f"{os.fspath(error.filename)}: "
        print(f"error: {where}{error.strerror}", file=sys.stderr)
        sys.exit(FAILED)
