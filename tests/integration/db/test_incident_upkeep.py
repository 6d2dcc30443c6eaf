"""What time does to stored incidents (silence, shelving, closing, retention), and forgetting."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text

from config import Settings
from db.feedback_actions import give_feedback
from db.forget import forget, main
from db.incident_actions import Action, perform
from db.incident_recording import record
from db.incident_upkeep import keep_time
from db.queries.feedback import false_alarms
from db.retention import drop_expired
from db.session import transaction
from errors import InputError
from tests.fixtures.incidents import START, row, shown, whats
from tests.fixtures.settings import SETTINGS, keeping

UPKEEP = Settings(
    _env_file=None, event_silence_s=7200, incident_close_after_s=3600,
    kafka_topic_incidents="incidents", max_shelve_s=1e6,
)  # fmt: skip
UNPUBLISHED = UPKEEP.model_copy(update={"kafka_topic_incidents": ""})


def age(connection: Connection, **intervals: str) -> None:
    """Set columns of every incident back."""
    for column, interval in intervals.items():
        connection.execute(
            text(f"UPDATE incidents SET {column} = now() - CAST(:i AS interval)"), {"i": interval}
        )


def act(connection: Connection, verb: str, who: str = "ANNA", **arguments: Any) -> None:
    ids = connection.execute(text("SELECT id FROM incidents")).scalars()
    action = Action(verb, who, arguments)
    done = perform(connection, action, [(one, None) for one in ids], UNPUBLISHED)
    assert not done.errors


@pytest.fixture
def incident(connection: Connection) -> Connection:
    record(connection, [row(0, state="opened"), row(60, "high")], SETTINGS, "bridge")
    return connection


def test_silence_clears_at_the_streams_own_time(incident: Connection) -> None:
    assert keep_time(incident, UPKEEP) == {"cleared": 0, "unshelved": 0, "closed": 0}
    age(incident, seen_at="2 hours 1 second")
    assert keep_time(incident, UPKEEP) == {"cleared": 1, "unshelved": 0, "closed": 0}
    cleared = incident.execute(text("SELECT cleared_at FROM incidents")).scalar_one()
    assert cleared == START + timedelta(seconds=60 + 7200)
    assert whats(incident) == ["opened", "escalated", "cleared"]
    assert incident.execute(text("SELECT count(*) FROM outbox")).scalar_one() == 1
    left = "SELECT count(*) FROM incident_events WHERE cleared_at IS NULL"
    assert incident.execute(text(left)).scalar_one() == 0
    # the event goes on: so does its incident
    record(incident, [row(9000)], SETTINGS, "bridge")
    assert shown(incident) == [("anomaly", "open-unacknowledged", "high", 3)]


def test_a_suppressed_stream_that_stopped_is_listed_again(incident: Connection) -> None:
    record(incident, [row(61, suppressed="w")], SETTINGS, "bridge")
    age(incident, seen_at="3 hours")
    keep_time(incident, UPKEEP)
    assert shown(incident)[0][1] == "cleared-unacknowledged"


def test_shelving_ends_by_itself(incident: Connection) -> None:
    act(incident, "shelve", why="swap", seconds=60)
    assert keep_time(incident, UPKEEP) == {"cleared": 0, "unshelved": 0, "closed": 0}
    age(incident, shelved_until="1 second")
    assert keep_time(incident, UPKEEP) == {"cleared": 0, "unshelved": 1, "closed": 0}
    assert shown(incident)[0][1] == "open-unacknowledged"
    assert whats(incident)[-2:] == ["shelved", "unshelved"]


def test_what_is_cleared_and_acknowledged_is_closed_as_system(incident: Connection) -> None:
    record(incident, [row(62, anomalous=False, state="cleared")], SETTINGS, "bridge")
    age(incident, updated_at="2 hours")
    assert keep_time(incident, UPKEEP) == {"cleared": 0, "unshelved": 0, "closed": 0}
    act(incident, "acknowledge")
    assert keep_time(incident, UPKEEP) == {"cleared": 0, "unshelved": 0, "closed": 0}
    age(incident, updated_at="2 hours")
    assert keep_time(incident, UPKEEP) == {"cleared": 0, "unshelved": 0, "closed": 1}
    closed = incident.execute(text("SELECT closed_by, state FROM incidents")).one()
    assert tuple(closed) == ("system", "closed")


def test_one_process_keeps_time(engine: Engine) -> None:
    with transaction(engine) as first, transaction(engine) as second:
        assert keep_time(first, UPKEEP) is not None
        assert keep_time(second, UPKEEP) is None


def test_retention_drops_what_is_over_and_leaves_a_tombstone(engine: Engine) -> None:
    with transaction(engine) as connection:
        record(connection, [row(0, state="opened", asset="over")], SETTINGS, "bridge")
        over = row(1, anomalous=False, state="cleared", asset="over")
        record(connection, [over], SETTINGS, "bridge")
        record(connection, [row(0, state="opened", asset="open")], SETTINGS, "bridge")
        age(connection, updated_at="40 days")
        record(connection, [row(0, state="opened", asset="young")], SETTINGS, "bridge")
    gone = drop_expired(
        engine, keeping(incident_retention_days=30, kafka_topic_incidents="incidents")
    )
    assert gone.rows["incidents"] == 1
    with transaction(engine) as connection:
        left = connection.execute(text("SELECT asset_id FROM incidents ORDER BY seq")).scalars()
        assert list(left) == ["open", "young"]
        assert whats(connection) == ["opened", "opened"]
        message = connection.execute(text("SELECT value FROM outbox")).one()
    assert message.value is None


def test_a_name_is_forgotten_everywhere(engine: Engine) -> None:
    with transaction(engine) as connection:
        record(connection, [row(0, state="opened")], SETTINGS, "bridge")
        act(connection, "acknowledge")
        act(connection, "assign", "BEN", assignee="ANNA")
        act(connection, "comment", "BEN", why="Anna heard it, Annabel did not; ask 'ANNA'.")
        act(connection, "close", why="said ANNA", verdict="confirmed")
        pseudonym, changed = forget(connection, "ANNA", "incidents")
        assert changed["incidents"] == 1
    with transaction(engine) as connection:
        everything = connection.execute(
            text("""
                SELECT (SELECT string_agg(i::text, ' ') FROM incidents i) || ' '
                    || (SELECT string_agg(l::text, ' ') FROM incident_log l)
            """)
        ).scalar_one()
        assert "ANNA" not in everything
        assert "Anna " not in everything
        assert f"{pseudonym} heard it, Annabel did not" in everything
        assert everything.count("BEN") == 2
        again = bytes(connection.execute(text("SELECT value FROM outbox")).scalar_one())
        assert pseudonym.encode() in again
        assert b"ANNA" not in again
        with pytest.raises(InputError):
            forget(connection, "system")


def test_the_command_says_what_it_did(
    database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    assert main(["NOBODY"]) == 1
    assert "'NOBODY' is nowhere" in capsys.readouterr().err


def test_retention_drops_old_feedback_with_the_incidents(engine: Engine) -> None:
    with transaction(engine) as connection:
        record(connection, [row(0, state="opened", asset="A")], SETTINGS, "bridge")
        for asset in ("old", "young"):
            feedback = {
                "asset_id": asset, "sensor_id": None, "feature": None, "verdict": "unsure",
                "fault_code": None, "note": None, "created_by": "ANNA", "client_token": None,
                "starts_at": START, "ends_at": START,
            }  # fmt: skip
            give_feedback(connection, feedback)
        connection.execute(
            text("UPDATE feedback SET created_at = now() - interval '31 days'"
                 " WHERE asset_id = 'old'")
        )  # fmt: skip
    assert "feedback" not in drop_expired(engine, keeping()).rows
    assert drop_expired(engine, keeping(incident_retention_days=30)).rows["feedback"] == 1
    with transaction(engine) as connection:
        left = connection.execute(text("SELECT asset_id FROM feedback")).scalars()
        assert list(left) == ["young"]


def test_feedback_outlives_its_incident(engine: Engine) -> None:
    with transaction(engine) as connection:
        record(connection, [row(0, state="opened"), row(1, state="cleared", anomalous=False)],
               SETTINGS, "bridge")  # fmt: skip
        act(connection, "close", verdict="false_alarm")
        assert false_alarms(connection, 30) == {"A": 1}
        age(connection, updated_at="40 days")
    assert drop_expired(engine, keeping(incident_retention_days=30)).rows["incidents"] == 1
    with transaction(engine) as connection:
        kept = connection.execute(text("SELECT incident_id, asset_id FROM feedback")).one()
        assert tuple(kept) == (None, "A")
        assert false_alarms(connection, 30) == {"A": 1}
