"""Keep MLflow and BentoML from phoning home, and MLflow from talking in between or too much."""

from __future__ import annotations

import logging
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

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


def set_up_mlflow() -> None:
    """Set what must be set before MLflow is imported; what the user set wins."""
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # raised inside MLflow by the newest SQLAlchemy, while importing
    warnings.filterwarnings("ignore", message="The ``noload`` loader strategy is deprecated")


def without_login(text: str) -> str:
    """MLflow's errors repeat its address, with the name and password that may be in it."""
    return re.sub(r"(?<=://)[^/\s]*@", "", text)


@contextmanager
def silent_mlflow() -> Iterator[None]:
    """Without MLflow's notices ("Successfully registered model ..."); its errors are raised."""
    from mlflow.utils import logging_utils

    before = logging_utils.MLFLOW_LOGGING_STREAM.enabled
    logging_utils.MLFLOW_LOGGING_STREAM.enabled = False
    try:
        yield
    finally:
        logging_utils.MLFLOW_LOGGING_STREAM.enabled = before
