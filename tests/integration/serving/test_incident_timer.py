"""The timer of incidents on a real database: it works off what is due, and outlives an outage."""

from __future__ import annotations

import asyncio

from sqlalchemy import Engine, text

from db.incident_recording import record
from db.incident_upkeep import CHUNK
from db.session import make_engine, transaction
from serving import metrics
from serving.database import Database
from serving.incident_timer import IncidentTimer
from tests.fixtures.incidents import row
from tests.fixtures.settings import SETTINGS


def test_all_that_is_due_is_done_chunk_by_chunk(database_url: str, engine: Engine) -> None:
    many = CHUNK + 20
    with transaction(engine) as connection:
        rows = [row(0, state="opened", asset=f"A{n}") for n in range(many)]
        record(connection, rows, SETTINGS, "bridge")
        connection.execute(text("UPDATE incidents SET seen_at = now() - interval '3 hours'"))
    before = metrics.INCIDENTS.labels("cleared")._value.get()

    async def scenario() -> None:
        database = Database(lambda: make_engine(database_url))
        timer = IncidentTimer(database, SETTINGS, every_s=0.05)
        await timer.start()  # the database is not there yet
        await asyncio.sleep(0)
        await database.start()
        while metrics.INCIDENTS.labels("cleared")._value.get() < before + many:
            await asyncio.sleep(0.02)
        await timer.stop()
        await database.stop()

    asyncio.run(asyncio.wait_for(scenario(), 60))
    with transaction(engine) as connection:
        states = connection.execute(text("SELECT state, count(*) FROM incidents GROUP BY 1")).all()
    assert [tuple(one) for one in states] == [("cleared-unacknowledged", many)]
