"""What every test shares: the fixtures that start the real servers, and quiet libraries.

The servers are real: PostgreSQL (embedded wheel), a Kafka-protocol broker, MLflow, `bentoml
serve`. A server that cannot be started fails the test; nothing is skipped silently.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Before any library that reads them is imported.
os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "1")
# Two threads a process on two cores only fight each other when several servers run at once.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Started in the background by a shell, the suite inherits SIGINT as ignored; what is tested here
# ends on SIGINT whatever was inherited.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples in each run, wherever it is; none is held to a time on a busy machine.
# `pytest --hypothesis-profile=default` draws others.
settings.register_profile(
    "suite", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("suite")

# All of them before any is imported: they import one another, in whatever order.
pytest.register_assert_rewrite("tests.fixtures")

ROOT = Path(__file__).resolve().parent.parent

pytest_plugins = [
    f"tests.fixtures.{path.stem}"
    for path in sorted((Path(__file__).parent / "fixtures").glob("*.py"))
    if path.stem != "__init__"
]
