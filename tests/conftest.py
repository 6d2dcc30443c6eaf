"""What every test shares: the fixtures that start the real servers, and quiet libraries.

The servers are real: PostgreSQL (embedded wheel), a Kafka-protocol broker, MLflow, `bentoml
serve`. A server that cannot be started fails the test; nothing is skipped silently.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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


@pytest.fixture(autouse=True)
def _environment_as_before() -> Iterator[None]:
    """Take back what a test changed in the environment, which later tests' processes inherit.

    MLflow sets the address of its server there, and with it where those register their models.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    yield
    for name in [name for name in os.environ if not name.startswith("PYTEST_")]:
        if name not in kept:
            del os.environ[name]
    os.environ.update(kept)


# Tests that mostly fit models, or start servers of their own: they share none with the others.
APART = (
    *(f"tests/integration/{part}/" for part in ("fleet", "models", "training")),
    *(f"tests/acceptance/test_{part}" for part in ("bento_build", "demo", "readme", "training")),
)


def is_unit(nodeid: str) -> bool:
    """Return whether a test starts no server: such tests may run side by side."""
    return nodeid.startswith("tests/unit/")


def shares_servers(nodeid: str) -> bool:
    """Return whether a test uses the session's servers, which one process should start."""
    return not is_unit(nodeid) and not nodeid.startswith(APART)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run unit tests first: they are the quickest to say what is wrong.

    Side by side, one process begins with the tests that share servers: they can't be parted, and
    would be left alone at the end.
    """
    items.sort(key=lambda item: not is_unit(item.nodeid))
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: not shares_servers(item.nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Return what shares out tests to the processes of ``pytest -n 2``, as `make test` starts.

    All tests of the service, the bridge and the page run one after the other in one process, whose
    servers they have in common. Beside them run, file by file, the unit tests and then those that
    share no server; whichever process is free takes the next file.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ServersBesideFiles(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return "servers" if shares_servers(nodeid) else nodeid.partition("::")[0]

    config.option.loadscopereorder = False  # the order of pytest_collection_modifyitems
    return ServersBesideFiles(config, log)
