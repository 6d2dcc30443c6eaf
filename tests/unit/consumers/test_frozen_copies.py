"""A session that froze in the middle of storing rows is ended; one that goes on sending is not."""

from __future__ import annotations

import queue
import threading

import pytest
from sqlalchemy import Engine, text

from consumers.frozen_copies import FrozenCopies
from consumers.store import BridgeStore
from db.session import make_engine, transaction
from errors import StorageUnavailable
from tests.fixtures.settings import SETTINGS
from tests.fixtures.waiting import wait_until

RECEIVED = "SELECT bytes_processed FROM pg_stat_progress_copy"


class Client:
    """A thread that stores rows by COPY, as slowly as it is told."""

    def __init__(self, engine: Engine) -> None:
        self._engine = make_engine(engine.url)
        self._rows: queue.Queue[bytes] = queue.Queue()
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._store)
        self._thread.start()

    def read(self, size: int) -> bytes:
        return self._rows.get()

    def send(self) -> None:
        """Send more than any buffer keeps, in several messages."""
        for _ in range(40):
            self._rows.put(b"a name of some length\n" * 300)

    def end(self) -> None:
        self._rows.put(b"")
        self._thread.join(20)

    def _store(self) -> None:
        try:
            with transaction(self._engine) as connection:
                cursor = connection.connection.cursor()
                cursor.copy_expert("COPY received (name) FROM STDIN", self, 1 << 18)
        except StorageUnavailable as error:
            self.error = error
        finally:
            self._engine.dispose()


@pytest.fixture
def received(engine: Engine):
    """A table, and how many bytes a COPY into it has received."""
    with transaction(engine) as connection:
        connection.execute(text("CREATE TABLE received (name text)"))

    def at() -> int:
        with transaction(engine) as connection:
            return int(connection.execute(text(RECEIVED)).scalar() or 0)

    return at


def test_a_frozen_copy_is_ended_and_one_that_goes_on_is_not(engine: Engine, received, caplog):
    looking = FrozenCopies(BridgeStore(engine, "bridge", SETTINGS), 20.0)
    client = Client(engine)
    try:
        client.send()
        wait_until(lambda: received() > 0, "the server has received rows")
        before = received()
        looking.step()
        client.send()
        wait_until(lambda: received() > before, "the server has received more")
        looking.step()
        assert not caplog.records

        def ended() -> bool:
            looking.step()
            return "sent nothing for 20 s in the middle of storing rows" in caplog.text

        wait_until(ended, "the session is ended, now that nothing more comes")
        client.send()
    finally:
        client.end()
    assert client.error is not None
    with transaction(engine) as connection:
        assert connection.execute(text("SELECT count(*) FROM received")).scalar() == 0


def test_a_database_that_is_away_is_for_others_to_report(engine: Engine, caplog):
    away = make_engine(engine.url.set(database="none"))
    FrozenCopies(BridgeStore(away, "bridge", SETTINGS), 20.0).step()
    away.dispose()
    assert not [record for record in caplog.records if record.levelname != "DEBUG"]
