"""Set up MLflow and BentoML: no telemetry, short time-outs, few messages."""

from __future__ import annotations

import logging
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "BENTOML_DO_NOT_TRACK": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # the default of seven retries keeps a caller waiting for minutes on a server that is down
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}


#: How SQLAlchemy's advice begins, which precedes what the database said.
_ADVICE = "(raised as a result of"


def set_up_mlflow() -> None:
    """Set environment variables before MLflow is imported; the user's values take precedence."""
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # raised inside MLflow by the newest SQLAlchemy, while importing
    warnings.filterwarnings("ignore", message="The ``noload`` loader strategy is deprecated")


def without_login(text: str) -> str:
    """Remove the user name and password from URLs, which MLflow's errors repeat."""
    return re.sub(r"(?<=://)[^/\s]*@", "", text)


def sqlite_file(uri: str | None) -> Path | None:
    """Return the file of a tracking URI; None if it names a server."""
    prefix = "sqlite:///"
    return Path(uri.removeprefix(prefix)) if uri is not None and uri.startswith(prefix) else None


def first_sentence(error: Exception) -> str:
    """Return what an error of MLflow or its storage says, in one line without a password.

    SQLAlchemy puts a line of advice for programmers before the database's own words.
    """
    lines = [line.strip() for line in str(error).splitlines()]
    said = [line for line in lines if line and not line.startswith(_ADVICE)]
    return without_login(next(iter(said), type(error).__name__))[:300]


@contextmanager
def silent_mlflow() -> Iterator[None]:
    """Suppress MLflow's notices ("Successfully registered model ..."), but not its errors."""
    from mlflow.utils import logging_utils

    before = logging_utils.MLFLOW_LOGGING_STREAM.enabled
    logging_utils.MLFLOW_LOGGING_STREAM.enabled = False
    try:
        yield
    finally:
        logging_utils.MLFLOW_LOGGING_STREAM.enabled = before
