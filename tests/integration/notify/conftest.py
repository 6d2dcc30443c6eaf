"""Where notifications are tested."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.fixtures.receivers import WebServer
from tests.integration.notify.stage import HOOK, Stage


@pytest.fixture
def stage(engine: Engine, database_url: str, tmp_path: Path) -> Stage:
    """A database with the current schema, and no routes yet."""
    return Stage(engine, database_url, tmp_path)


@pytest.fixture
def hooked(stage: Stage, webhook: WebServer) -> Iterator[Stage]:
    """Everything goes to ``webhook``."""
    stage.routes(HOOK.format(url=webhook.url))
    yield stage
    stage.stop.set()
