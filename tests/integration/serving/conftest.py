"""The service's database, a client of its API, and a browser's session with its page."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from sqlalchemy import Engine

from db.session import make_engine
from tests.fixtures.service import Service
from tests.integration.serving.page_forms import visit


@pytest.fixture
def stored(service_database_url: str) -> Iterator[Engine]:
    engine = make_engine(service_database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def page(service: Service) -> Iterator[httpx.Client]:
    with visit(service) as client:
        yield client


@pytest.fixture
def http(service: Service) -> Iterator[httpx.Client]:
    with service.client(base_url=f"{service.url}/api/v1") as client:
        yield client
