"""The circuit breaker before the database, without one: what is down fails at once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy import Engine

from db.session import make_engine
from errors import SchemaTooNew, SettingsError, StorageUnavailable
from serving import database as module
from serving.database import Database


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(), 20))


def test_before_it_is_there_every_call_fails_at_once() -> None:
    database = Database(lambda: make_engine("postgresql+psycopg2://nobody@127.0.0.1:1/none"))

    async def scenario() -> None:
        for call in (database.run, database.quick):
            with pytest.raises(StorageUnavailable, match="not connected yet"):
                await call(lambda _: 1)
        await database.stop()

    run(scenario)
    status = database.status()
    assert (status["available"], status["problem"]) == (False, "not connected yet")
    assert status["since"]


def test_it_tries_until_it_can_be_reached_and_says_why_not(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "PROBE_S", 0.0)
    alone = logging.Logger("database")  # nobody else's handlers and levels
    alone.addHandler(caplog.handler)
    monkeypatch.setattr(module, "log", alone)
    tried: list[int] = []

    def opener() -> Engine:
        tried.append(1)
        raise StorageUnavailable("no route to the host")

    database = Database(opener)

    async def scenario() -> None:
        await database.start()
        while len(tried) < 3:
            await asyncio.sleep(0)
        await database.stop()

    run(scenario)
    assert database.status()["problem"] == "no route to the host"
    assert caplog.text.count("no route to the host") == 1  # logged once, not with each try


def test_a_wrong_setting_ends_the_tries() -> None:
    tried: list[int] = []

    def opener() -> Engine:
        tried.append(1)
        raise SettingsError("DATABASE_URL: cannot be parsed")

    database = Database(opener)

    async def scenario() -> None:
        await database.start()
        assert database._task is not None
        await database._task
        await database.stop()

    run(scenario)
    assert (len(tried), database.status()["problem"]) == (1, "DATABASE_URL: cannot be parsed")


def test_a_schema_that_is_too_new_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """After an upgrade was undone by restoring the database, the service had to be restarted."""
    monkeypatch.setattr(module, "PROBE_S", 0.0)
    monkeypatch.setattr(module, "probe", lambda _: None)
    refused = [SchemaTooNew("requires a program that knows revision 9999")] * 3

    def opener() -> Engine:
        if refused:
            raise refused.pop()
        return make_engine("postgresql+psycopg2://nobody@127.0.0.1:1/none")

    database = Database(opener)

    async def scenario() -> None:
        await database.start()
        await asyncio.wait_for(database.opened.wait(), 10)
        await database.stop()

    run(scenario)
    assert database.available
