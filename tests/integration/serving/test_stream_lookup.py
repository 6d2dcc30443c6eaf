"""Look-ups of concurrent requests are made together, and each gets only what it asked for."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from uuid import uuid4

from sqlalchemy import Engine

from db.queries.stream_states import StoredState, save_states
from db.session import make_engine, transaction
from schemas import stream_key
from serving.database import Database
from serving.detection.planning import StoredContext
from serving.detection.stream_lookup import StreamLookup
from serving.requests.detect import Item
from tests.fixtures.settings import SETTINGS

AT = datetime(2026, 1, 1, tzinfo=UTC)


def item(asset: str) -> Item:
    return Item(asset, {"rms": 1.0}, timestamp=AT)


def test_a_request_learns_nothing_of_the_others_streams(database_url: str, engine: Engine) -> None:
    assets = [f"A{number}" for number in range(30)]
    topic = uuid4()
    with transaction(engine) as connection:
        states = [
            StoredState(stream_key(asset, None), topic, 0, {"bundle": asset}, AT, 0, asset)
            for asset in assets
        ]
        save_states(connection, states)

    async def scenario() -> list[StoredContext]:
        database = Database(lambda: make_engine(database_url), quick_s=30)
        await database.start()
        await database.opened.wait()
        lookup = StreamLookup(database, SETTINGS)
        found = await asyncio.gather(*(lookup.find([item(asset)]) for asset in assets))
        await database.stop()
        return found

    for asset, known in zip(assets, asyncio.run(scenario()), strict=True):
        assert list(known.stored) == [(asset, "", "")]
        assert known.stored[asset, "", ""].state == {"bundle": asset}
        assert known.criticality == {asset: "medium"}
