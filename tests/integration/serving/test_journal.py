"""REST's journal: what each JOURNAL_REST stores, what the answer says, and one bad row alone."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from sqlalchemy import Engine, event, text

from config import JournalMode
from db.session import make_engine, transaction
from serving.database import Database
from serving.detection.journal import Journal
from tests.fixtures.settings import given


def result(asset: str, *, anomalous: bool, **metadata: Any) -> dict[str, Any]:
    return {
        "asset_id": asset,
        "sensor_id": None,
        "timestamp": "2026-01-01T00:00:00+00:00",
        "scores": [],
        "final_score": 0.9 if anomalous else 0.1,
        "is_anomaly": anomalous,
        "criticality": "critical" if anomalous else "low",
        "features": {"rms": 1.0},
        "metadata": metadata,
    }


def stored(engine: Engine) -> dict[str, str]:
    with transaction(engine) as connection:
        rows = connection.execute(text("SELECT asset_id, id FROM anomaly_detections")).all()
    return {asset: str(row_id) for asset, row_id in rows}


def keep(url: str, mode: JournalMode, *batches: list[dict[str, Any]]) -> None:
    """Store the batches as concurrent requests would."""

    async def scenario() -> None:
        database = Database(lambda: make_engine(url), quick_s=30)
        await database.start()
        await database.opened.wait()
        journal = Journal(database, given(journal_rest=mode))
        await asyncio.gather(*(journal.store(batch) for batch in batches))
        await database.stop()

    asyncio.run(asyncio.wait_for(scenario(), 60))


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("anomalies", {"odd"}), ("all", {"odd", "plain"}), ("none", set())],
)
def test_a_mode_stores_what_it_names_and_the_answer_says_so(
    database_url: str, engine: Engine, mode: JournalMode, expected: set[str]
) -> None:
    odd, plain = result("odd", anomalous=True), result("plain", anomalous=False)
    refused = {"error": {"code": "invalid_input", "message": "no", "field": None}}
    keep(database_url, mode, [odd, refused, plain])
    found = stored(engine)
    assert set(found) == expected
    for one in (odd, plain):
        assert one["metadata"]["stored"] is (one["asset_id"] in expected)
        assert one["metadata"].get("detection_id") == found.get(one["asset_id"])
    assert set(refused) == {"error"}


def test_a_row_that_postgresql_refuses_costs_no_other_request(
    database_url: str, engine: Engine
) -> None:
    # no result is like this; the journal does not rely on it
    bad = result("bad", anomalous=True) | {"criticality": None}
    good = [result(f"good-{number}", anomalous=True) for number in range(3)]
    keep(database_url, "anomalies", [good[0]], [bad], [good[1], good[2]])
    assert set(stored(engine)) == {"good-0", "good-1", "good-2"}
    assert bad["metadata"]["stored"] is False
    assert all(one["metadata"]["stored"] for one in good)


@pytest.mark.parametrize("late", ["before the commit", "in the commit"])
def test_what_is_said_to_be_stored_is_what_is_stored(
    database_url: str, engine: Engine, late: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that answers too late: rolled back and false, or, at the COMMIT, null."""
    own = make_engine(database_url)
    blocked, go_on = threading.Event(), threading.Event()

    def wait(*_: Any) -> None:
        blocked.set()
        assert go_on.wait(30)

    one = result("one", anomalous=True)
    waiting = asyncio.wait

    async def until_blocked(tasks: Any, timeout: float) -> Any:
        """The time is over once the server hangs, however busy the machine was until then."""
        assert await asyncio.to_thread(blocked.wait, 30)
        return await waiting(tasks, timeout=timeout)

    async def scenario() -> None:
        database = Database(lambda: own, quick_s=0.05)
        await database.start()
        await database.opened.wait()
        monkeypatch.setattr("serving.database.asyncio.wait", until_blocked)
        event.listen(own, "begin" if late.startswith("b") else "commit", wait)
        await Journal(database, given(journal_rest="all")).store([one])
        assert blocked.is_set()
        go_on.set()
        await asyncio.to_thread(database._quick.shutdown, True)  # the late thread has ended
        await database.stop()

    asyncio.run(asyncio.wait_for(scenario(), 60))
    if late == "before the commit":
        assert one["metadata"]["stored"] is False
        assert "detection_id" not in one["metadata"]
        assert stored(engine) == {}
    else:
        assert one["metadata"]["stored"] is None
        assert stored(engine) == {"one": one["metadata"]["detection_id"]}


def test_a_connection_lost_in_the_commit_leaves_the_outcome_open(
    database_url: str, engine: Engine
) -> None:
    own = make_engine(database_url)

    def lose(connection: Any) -> None:
        connection.connection.driver_connection.close()

    one = result("one", anomalous=True)

    async def scenario() -> None:
        database = Database(lambda: own, quick_s=30)
        await database.start()
        await database.opened.wait()
        event.listen(own, "commit", lose)
        await Journal(database, given(journal_rest="all")).store([one])
        event.remove(own, "commit", lose)
        await database.stop()

    asyncio.run(asyncio.wait_for(scenario(), 60))
    assert one["metadata"]["stored"] is None
    assert "detection_id" in one["metadata"]


def test_a_severe_anomaly_opens_an_incident_in_the_same_transaction(
    database_url: str, engine: Engine
) -> None:
    event = {
        "id": "7d444840-9dc0-11d1-b245-5ffdce74fad2", "kind": "anomaly", "state": "opened",
        "started_at": "2026-01-01T00:00:00+00:00",
    }  # fmt: skip
    severe = result("severe", anomalous=True, event=event)
    mild = result("mild", anomalous=True, event={**event, "id": event["id"][:-1] + "3"})
    keep(database_url, "anomalies", [severe, mild | {"criticality": "medium"}])
    with transaction(engine) as connection:
        found = connection.execute(text("SELECT id::text, asset_id, peak FROM incidents")).all()
    assert [(one.id, one.asset_id) for one in found] == [(event["id"], "severe")]
    assert found[0].peak["detection_id"] == severe["metadata"]["detection_id"]
