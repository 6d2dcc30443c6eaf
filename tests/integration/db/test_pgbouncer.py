"""PgBouncer in transaction mode, three sessions for many clients: all that we do works."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import Engine, text

from config import Settings
from consumers.store import BatchCommit, BridgeStore
from db.leadership import Leadership
from db.maintain import Maintenance
from db.migrate import migrate
from db.queries.history import HistoryFilter, history
from db.queries.offsets import OffsetAdvance
from db.queries.readings import ReadingFilter, export_readings
from db.queries.stream_states import StoredState
from db.session import open_engine, transaction
from errors import StorageUnavailable
from tests.fixtures.settings import SETTINGS
from tests.fixtures.tools import needs
from tests.integration.readings import row

pytestmark = needs("pgbouncer", "pgbouncer")
CLIENTS = 8
BATCHES = 5


@pytest.fixture
def engine(pooled: Callable[[str], str], empty_database_url: str) -> Iterator[Engine]:
    settings = Settings(
        _env_file=None, database_url=pooled(empty_database_url), database_pooler=True
    )
    engine = open_engine(settings)
    yield engine
    engine.dispose()


def test_without_the_setting_the_refusal_names_it(
    pooled: Callable[[str], str], empty_database_url: str
) -> None:
    engine = open_engine(Settings(_env_file=None, database_url=pooled(empty_database_url)))
    with pytest.raises(StorageUnavailable, match="DATABASE_POOLER=true") as refused:
        migrate(engine)
    engine.dispose()
    assert refused.value.code == "storage_refused"


def test_time_outs_and_zone_hold_for_each_transaction_and_no_other_client(
    engine: Engine, pooled: Callable[[str], str], empty_database_url: str
) -> None:
    names = ("statement_timeout", "idle_in_transaction_session_timeout", "timezone")

    def shown(one: Engine) -> list[str]:
        with transaction(one) as connection:
            return [str(connection.execute(text(f"SHOW {name}")).scalar_one()) for name in names]

    settings = Settings(
        _env_file=None, database_url=pooled(empty_database_url), database_pooler=True,
        database_statement_timeout_s=0.05,
    )  # fmt: skip
    impatient = open_engine(settings)
    for _ in range(2):
        assert shown(engine) == ["1min", "20s", "UTC"]
        assert shown(impatient)[0] == "50ms"
    with (
        pytest.raises(StorageUnavailable, match="DATABASE_STATEMENT_TIMEOUT_S"),
        transaction(impatient) as connection,
    ):
        connection.execute(text("SELECT pg_sleep(30)"))
    impatient.dispose()


def test_many_bridges_and_readers_share_three_sessions(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ThreadPoolExecutor(CLIENTS) as pool:
        assert len(set(pool.map(lambda _: migrate(engine), range(CLIENTS)))) == 1
    maintenance = [Maintenance(engine, Settings(_env_file=None)) for _ in range(2)]
    now = datetime.now(UTC)
    # the same months for both, even if one begins in between
    monkeypatch.setattr("db.maintain.database_now", lambda _: now)

    def bridge(number: int) -> int:
        store, topic = BridgeStore(engine, f"bridge {number}", SETTINGS), UUID(int=number + 1)
        claim = store.claim(topic, 0, "topic")
        for batch in range(BATCHES):
            first = 100 * batch
            times = [now + timedelta(seconds=first + n) for n in range(100)]
            key = ("A", "S", "")
            commit = BatchCommit(
                moves=[OffsetAdvance(topic, 0, claim.epoch, first or None, first + 100)],
                detections=[
                    row(first + n, topic_id=topic, timestamp=at.isoformat(), metadata={})
                    for n, at in enumerate(times)
                ],
                states={(topic, 0): [StoredState(key, topic, 0, {}, times[-1], 5, "v", times[0])]},
                outbox=[{"topic_id": topic, "partition": 0, "target_topic": "out",
                         "key": b"A", "value": b"{}"}],
            )  # fmt: skip
            store.commit(commit)
            assert len(store.load_streams(topic, 0, {key: now})[key].window) == 5
        return first + 100

    def read(_: int) -> int:
        with transaction(engine) as connection:
            # A cursor at the server lasts as long as the transaction.
            found = len(list(export_readings(connection, ReadingFilter(), batch=50)))
            return found + history(connection, HistoryFilter(is_anomaly=None), limit=5).total

    with ThreadPoolExecutor(CLIENTS) as pool:
        maintainer = [pool.submit(one.run) for one in maintenance]
        stored = list(pool.map(bridge, range(CLIENTS)))
        list(pool.map(read, range(CLIENTS)))
        made = [name for one in maintainer for name in one.result(60)]
    assert len(made) == len(set(made)) == 4
    assert read(0) == 2 * sum(stored) == 2 * CLIENTS * BATCHES * 100


def test_one_of_several_leads_through_the_pooler(engine: Engine) -> None:
    first, second = Leadership(engine, 0x7777), Leadership(engine, 0x7777)
    assert first.try_acquire()
    assert not second.try_acquire()
    assert first.confirm()
    with transaction(engine) as connection:  # others still get sessions
        connection.execute(text("SELECT 1"))
    first.release()
    assert second.try_acquire()
    second.release()
