"""Incidents written with their readings, on a real PostgreSQL."""

from __future__ import annotations

import threading
import uuid
from typing import Any, Literal

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from db.feedback_actions import withdraw
from db.incident_actions import Action, perform
from db.incident_recording import record
from db.incident_upkeep import keep_time
from db.queries.feedback import false_alarms
from db.queries.incidents import closed_persistent
from db.queries.outbox import INCIDENT_SOURCE, may_publish, orphaned_sources
from db.session import transaction
from tests.fixtures.incidents import START, row, shown, whats
from tests.fixtures.settings import SETTINGS, given

EVENT = [row(0, state="opened"), row(1, "high"), row(2, anomalous=False, state="cleared")]


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_batches_cut_anyhow_give_the_same_incidents(engine: Engine, cut: int) -> None:
    news = []
    for at in range(0, len(EVENT), cut):
        with transaction(engine) as connection:
            news += record(connection, EVENT[at : at + cut], SETTINGS, "bridge")
    with transaction(engine) as connection:
        assert shown(connection) == [("anomaly", "cleared-unacknowledged", "high", 3)]
        assert whats(connection) == ["opened", "escalated", "cleared"]
    assert news == EVENT[:2]


def test_an_open_incident_follows_its_stream_into_another_group(connection: Connection) -> None:
    record(connection, EVENT[:1], SETTINGS, "bridge")
    moved = {"group_name": "moved", "bundle_version": "2", "asset_criticality": "critical"}
    record(connection, [{**EVENT[1], **moved}], SETTINGS, "bridge")
    query = "SELECT group_name, bundle_version, asset_criticality FROM incidents"
    assert tuple(connection.execute(text(query)).one()) == ("moved", "2", "critical")


def test_a_rolled_back_batch_leaves_nothing(engine: Engine) -> None:
    with engine.connect() as connection:
        record(connection, EVENT, SETTINGS, "bridge")
        assert len(shown(connection)) == 1
        connection.rollback()
    with transaction(engine) as connection:
        assert (shown(connection), whats(connection)) == ([], [])


def test_events_join_open_and_follow_each_other(connection: Connection) -> None:
    rows = [
        *EVENT,
        row(300, event=2, state="opened"),  # within 600 s of the clearing: joins
        row(301, event=2, anomalous=False, state="cleared"),
        row(2000, event=3, state="opened"),  # later: another incident
        # another kind: what was open is over after a while, though no reading says so
        row(2001, "critical", event=4, kind="sensor_fault", state="opened"),
        row(2601, "critical", event=4, kind="sensor_fault"),
    ]
    record(connection, rows, SETTINGS, "bridge")
    assert shown(connection) == [
        ("anomaly", "cleared-unacknowledged", "high", 5),
        ("anomaly", "cleared-unacknowledged", "medium", 1),
        ("sensor_fault", "open-unacknowledged", "critical", 2),
    ]
    assert whats(connection) == [
        "opened", "escalated", "cleared", "joined", "cleared", "opened", "cleared", "opened",
    ]  # fmt: skip


@pytest.mark.parametrize("size", [1, 7, 100])
def test_impossible_and_odd_values_in_turn_are_two_open_incidents(
    connection: Connection, size: int
) -> None:
    """Each is another kind of anomaly, and so another event."""
    kinds = ("anomaly", "sensor_fault")
    readings = [row(n, event=n, kind=kinds[n % 2], state="opened") for n in range(40)]
    for at in range(0, 40, size):
        record(connection, readings[at : at + size], SETTINGS, "bridge")
    assert [(kind, state) for kind, state, _, _ in shown(connection)] == [
        (kind, "open-unacknowledged") for kind in kinds
    ]
    assert whats(connection) == ["opened", "opened"]
    over = row(160, event=39, kind="sensor_fault", anomalous=False, state="cleared")
    record(connection, [over], SETTINGS, "bridge")
    assert whats(connection) == ["opened", "opened", "cleared", "cleared"]
    query = "SELECT count(*), count(cleared_at) FROM incident_events"
    assert tuple(connection.execute(text(query)).one()) == (40, 40)


def test_an_event_opens_when_the_service_says_so(connection: Connection) -> None:
    rows = [
        row(0, state="opened", incident={"opens": False}),
        row(1, "high", incident={"opens": False}),
        row(2, incident={"opens": True}),
        row(3, incident={"opens": True}),
    ]
    news = record(connection, rows, SETTINGS, "bridge")
    assert news == [rows[2]]
    assert shown(connection) == [("anomaly", "open-unacknowledged", "medium", 2)]


def test_a_suppressed_event_opens_only_when_it_outlasts_the_window(connection: Connection) -> None:
    rows = [
        row(0, state="opened", suppressed="w"),
        row(1, "critical", suppressed="w"),
        row(2, "high"),
    ]
    assert record(connection, rows[:2], SETTINGS, "bridge") == []
    assert shown(connection) == []
    assert record(connection, rows[2:], SETTINGS, "bridge") == rows[2:]
    # a window that begins meanwhile: a rise is written, but nobody is notified
    assert record(connection, [row(3, "critical", suppressed="w")], SETTINGS, "bridge") == []
    assert shown(connection) == [("anomaly", "suppressed", "critical", 2)]


def test_rest_joins_what_is_open_and_opens_only_what_is_severe(connection: Connection) -> None:
    assert record(connection, [row(0, "high", event="r0")], SETTINGS, "rest") == []
    assert shown(connection) == []
    record(connection, [row(0, state="opened")], SETTINGS, "bridge")
    record(connection, [row(1, event="r1"), row(1, anomalous=False, event="r2")], SETTINGS, "rest")
    assert shown(connection) == [("anomaly", "open-unacknowledged", "medium", 2)]
    record(connection, [row(2, anomalous=False, state="cleared")], SETTINGS, "bridge")
    record(connection, [row(3, event="r3")], SETTINGS, "rest")
    assert shown(connection) == [("anomaly", "cleared-unacknowledged", "medium", 3)]
    record(connection, [row(0, "critical", event="r4", asset="B")], SETTINGS, "rest")
    assert shown(connection)[1] == ("anomaly", "open-unacknowledged", "critical", 1)
    # a bundle that knows how rare a reading must be decides instead of the severity
    lasting = row(0, "critical", event="r5", asset="C", incident={"opens": True, "why": "on_delay"})
    rare = row(0, "medium", event="r6", asset="D", incident={"opens": True, "why": "at_once"})
    assert record(connection, [lasting, rare], SETTINGS, "rest") == [rare]


@pytest.mark.parametrize("source", ["bridge", "rest"])
def test_what_gets_worse_after_closing_is_open_without_its_verdict(
    connection: Connection, source: Literal["bridge", "rest"]
) -> None:
    record(connection, [row(0, state="opened"), row(0, asset="B", event=9)], SETTINGS, "bridge")
    ids = [one.id for one in connection.execute(text("SELECT id FROM incidents"))]
    said = {"verdict": "false_alarm", "fault_code": "F1", "why": "a truck"}
    perform(connection, Action("close", "ANNA", said), [(one, None) for one in ids], SETTINGS)
    assert false_alarms(connection, 30) == {"A": 1, "B": 1}
    record(connection, [row(1)], SETTINGS, source)  # no worse: the verdict stands
    assert false_alarms(connection, 30) == {"A": 1, "B": 1}
    record(connection, [row(2, "critical")], SETTINGS, source)
    query = "SELECT closed_by, verdict, fault_code, note FROM incidents WHERE asset_id = 'A'"
    assert tuple(connection.execute(text(query)).one()) == (None,) * 4
    query = "SELECT withdrawn_by, withdrawn_why FROM feedback WHERE asset_id = 'A'"
    assert tuple(connection.execute(text(query)).one()) == ("system", "escalated")
    assert false_alarms(connection, 30) == {"B": 1}


def test_a_verdict_stays_where_the_same_fault_comes_back_each_morning(
    connection: Connection,
) -> None:
    """The machine stops at night: each morning the incident is open, and ANNA closes it again."""
    off, verdicts = {"by": "off"}, ("confirmed", "false_alarm", None)
    record(connection, [row(0, state="opened")], SETTINGS, "bridge")
    [incident] = connection.execute(text("SELECT id FROM incidents")).scalars()
    for day, verdict in enumerate(verdicts, start=1):
        perform(
            connection, Action("close", "ANNA", {"verdict": verdict}), [(incident, None)], SETTINGS
        )
        night = row(day * 86400, suppressed=off)
        record(connection, [night, row(day * 86400 + 3600)], SETTINGS, "bridge")
        assert shown(connection)[0][1] == "open-unacknowledged"
    query = "SELECT verdict FROM feedback WHERE withdrawn_at IS NULL ORDER BY created_at, id"
    given_verdicts = list(connection.execute(text(query)).scalars())
    assert sorted(given_verdicts) == ["confirmed", "false_alarm"]
    query = "SELECT why FROM incident_log WHERE what = 'resumed' ORDER BY id"
    whys = list(connection.execute(text(query)).scalars())
    assert whys == ["the verdict on the time before stays"] * 2 + [None]


def test_reopening_undoes_the_last_closing_only(engine: Engine) -> None:
    def act(*given: Any) -> Any:
        with transaction(engine) as connection:
            return perform(connection, Action(*given), [(incident, None)], SETTINGS)

    with transaction(engine) as connection:
        record(connection, [row(0, state="opened"), row(1, suppressed={"by": "off"})], SETTINGS,
               "bridge")  # fmt: skip
        [incident] = connection.execute(text("SELECT id FROM incidents")).scalars()
    [confirmed] = act("close", "ANNA", {"verdict": "confirmed"}).feedback.values()
    with transaction(engine) as connection:
        record(connection, [row(3600)], SETTINGS, "bridge")
    assert act("close", "BEN", {}).feedback == {}  # what ANNA said is not BEN's
    act("reopen", "BEN")
    act("close", "BEN", {"verdict": "expected"})
    with transaction(engine) as connection:
        withdraw(connection, confirmed["id"], "ANNA", None)
        query = "SELECT verdict, closed_by FROM incidents"
        assert tuple(connection.execute(text(query)).one()) == ("expected", "BEN")
        query = "SELECT verdict FROM feedback WHERE withdrawn_at IS NULL"
        assert list(connection.execute(text(query)).scalars()) == ["expected"]


def test_two_transactions_at_once_open_one_incident(engine: Engine) -> None:
    first_in, go_on = threading.Event(), threading.Event()

    def first() -> None:
        with transaction(engine) as connection:
            record(connection, [row(0, "critical", event=1)], SETTINGS, "bridge")
            first_in.set()
            go_on.wait(30)

    def second() -> None:
        with transaction(engine) as connection:
            record(connection, [row(1, "critical", event=2)], SETTINGS, "rest")

    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    threads[0].start()
    assert first_in.wait(30)
    threads[1].start()
    wait_for_lock(engine)
    go_on.set()
    for thread in threads:
        thread.join(30)
    with transaction(engine) as connection:
        assert shown(connection) == [("anomaly", "open-unacknowledged", "critical", 2)]


def wait_for_lock(engine: Engine) -> None:
    """Until a transaction waits for another one's lock."""
    for _ in range(3000):
        with transaction(engine) as connection:
            waits = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            if connection.execute(text(waits)).scalar_one():
                return
        threading.Event().wait(0.01)
    raise AssertionError("nobody waits")


def test_a_flood_of_opening_events_holds_few_locks(engine: Engine) -> None:
    rows = [row(0, "high", event=n, asset=f"A{n}", state="opened") for n in range(3000)]
    with transaction(engine) as connection:
        assert len(record(connection, rows, SETTINGS, "bridge")) == 3000
        held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
        assert connection.execute(text(held)).scalar_one() <= 128


def test_a_changed_incident_goes_to_its_topic_whole(connection: Connection) -> None:
    record(connection, EVENT, given(kafka_topic_incidents="incidents"), "bridge")
    found = connection.execute(text("SELECT target_topic, key, value FROM outbox")).one()
    incident = connection.execute(text("SELECT id::text FROM incidents")).scalar_one()
    assert (found.target_topic, bytes(found.key).decode()) == ("incidents", incident)
    assert b'"state":"cleared-unacknowledged"' in bytes(found.value)
    # a reading that changes no state is no message
    record(connection, [row(10, event=9, state="opened"), row(11, event=9)],
           given(kafka_topic_incidents="incidents"), "bridge")  # fmt: skip
    record(connection, [row(12, event=9)], given(kafka_topic_incidents="incidents"), "bridge")
    assert connection.execute(text("SELECT count(*) FROM outbox")).scalar_one() == 2


def test_messages_left_for_a_topic_of_another_name_find_a_publisher(engine: Engine) -> None:
    with transaction(engine) as connection:
        record(connection, EVENT, given(kafka_topic_incidents="renamed since"), "bridge")
    with transaction(engine) as connection:
        assert orphaned_sources(connection, "input", None, 3600.0) == []
        assert orphaned_sources(connection, "input", None, 0.0) == [INCIDENT_SOURCE]


def test_one_transaction_publishes_incidents_at_a_time(engine: Engine) -> None:
    with transaction(engine) as first, transaction(engine) as second:
        assert may_publish(first, [INCIDENT_SOURCE])
        assert not may_publish(second, [INCIDENT_SOURCE])
        assert may_publish(second, [(uuid.uuid4(), 0)])


@pytest.fixture
def logged(engine: Engine) -> Engine:
    with transaction(engine) as connection:
        record(connection, EVENT, SETTINGS, "bridge")
    return engine


@pytest.mark.parametrize("rewrite", ["UPDATE incident_log SET who = 'x'", "DELETE FROM incidents"])
def test_the_log_cannot_be_rewritten(logged: Engine, rewrite: str) -> None:
    with pytest.raises(DBAPIError, match="append-only"), logged.begin() as connection:
        connection.execute(text(rewrite))


def lasting(second: float, **more: Any) -> dict[str, Any]:
    """A reading at the level that a stream settled at: no anomaly, its event named."""
    given = row(second, anomalous=False, **more)
    given["metadata"]["event"] |= {"persistent": True, "persistent_since": given["timestamp"]}
    given["metadata"]["event"]["incident"] = {"opens": True, "at": None, "persistent": True}
    return given


def test_a_lasting_event_stays_open_beneath_another_that_opens_its_own(
    connection: Connection,
) -> None:
    beneath = {**lasting(0)["metadata"]["event"], "state": "ongoing"}
    another = [row(20 + i, event=2, state="opened" if i == 0 else "ongoing") for i in range(3)]
    another.append(row(23, event=2, anomalous=False, state="cleared"))
    for one in another:
        one["metadata"]["event"]["on_top_of"] = [beneath]
    record(connection, [row(0, state="opened"), row(1), lasting(10), *another], SETTINGS, "bridge")
    query = "SELECT persistent, state, cleared_at IS NULL FROM incidents ORDER BY seq"
    assert [tuple(one) for one in connection.execute(text(query))] == [
        (True, "open-unacknowledged", True), (False, "cleared-unacknowledged", False),
    ]  # fmt: skip
    assert whats(connection) == ["opened", "persistent", "opened", "cleared"]
    record(connection, [lasting(30), lasting(31, state="cleared")], SETTINGS, "bridge")
    assert whats(connection)[4:] == ["cleared"]


@pytest.mark.parametrize("mark", ["late", "not_scored"])
def test_a_reading_that_only_tells_of_the_lasting_event_beneath_does_not_end_the_one_on_top(
    connection: Connection, mark: str
) -> None:
    another, after, aside = row(20, event=2, state="opened"), row(21, event=2), lasting(5)
    beneath = {**aside["metadata"]["event"], "state": "ongoing"}
    for one in (another, after):
        one["metadata"]["event"]["on_top_of"] = [beneath]
    aside["metadata"][mark] = True
    readings = [row(0, state="opened"), lasting(10), another, aside, after]
    record(connection, readings, SETTINGS, "bridge")
    assert whats(connection) == ["opened", "persistent", "opened"]


def test_an_event_that_another_follows_keeps_its_own_start(connection: Connection) -> None:
    readings = [row(10 * n, event=n, state="opened") for n in (1, 2, 3)]
    record(connection, readings, SETTINGS, "bridge")
    query = "SELECT started_at, cleared_at FROM incident_events ORDER BY started_at"
    seconds = [
        tuple(None if at is None else (at - START).total_seconds() for at in one)
        for one in connection.execute(text(query))
    ]
    assert seconds == [(10, 20), (20, 30), (30, None)]


def test_an_event_that_joins_one_that_lasted_does_not_last_by_itself(
    connection: Connection,
) -> None:
    over = [row(0, state="opened"), lasting(10), lasting(20, state="cleared")]
    record(connection, [*over, row(40, event=3, state="opened")], SETTINGS, "bridge")
    assert whats(connection) == ["opened", "persistent", "cleared", "joined"]
    assert connection.execute(text("SELECT persistent FROM incidents")).scalar_one() is False


def test_a_lasting_event_that_ends_beneath_another_is_cleared(connection: Connection) -> None:
    another = row(20, event=2, state="opened")
    another["metadata"]["event"]["on_top_of"] = [lasting(0, state="cleared")["metadata"]["event"]]
    record(connection, [row(0, state="opened"), lasting(10), another], SETTINGS, "bridge")
    assert whats(connection) == ["opened", "persistent", "cleared", "joined"]  # soon after it


def test_a_lasting_event_that_silence_cleared_goes_on_with_its_next_reading(
    connection: Connection,
) -> None:
    record(connection, [row(0, state="opened"), lasting(10)], SETTINGS, "bridge")
    connection.execute(text("UPDATE incidents SET seen_at = now() - interval '1 day'"))
    keep_time(connection, given(event_silence_s=60))
    assert shown(connection)[0][1] == "cleared-unacknowledged"
    record(connection, [lasting(900)], SETTINGS, "bridge")
    assert shown(connection)[0][1] == "open-unacknowledged"
    assert whats(connection)[-2:] == ["cleared", "resumed"]


def test_bridges_are_told_of_lasting_events_that_people_closed(connection: Connection) -> None:
    record(connection, [row(0, state="opened"), lasting(10)], SETTINGS, "bridge")
    record(connection, [row(0, state="opened", asset="B")], SETTINGS, "bridge")
    assert closed_persistent(connection) == {}
    ids = list(connection.execute(text("SELECT id FROM incidents")).scalars())
    close = Action("close", "ANNA", {"verdict": "expected"})
    perform(connection, close, [(one, None) for one in ids], SETTINGS)
    event = lasting(0)["metadata"]["event"]["id"]
    assert closed_persistent(connection) == {("A", "", ""): [event]}
    perform(connection, Action("reopen", "ANNA"), [(one, None) for one in ids], SETTINGS)
    assert closed_persistent(connection) == {}


def test_a_lasting_event_that_is_forgotten_is_cleared_by_what_follows(
    connection: Connection,
) -> None:
    """As after a reset: the stream knows nothing of the lasting event any more."""
    record(connection, [row(0, state="opened"), lasting(1)], SETTINGS, "bridge")
    record(connection, [row(300, event=2, state="opened")], SETTINGS, "bridge")
    assert whats(connection) == ["opened", "persistent", "cleared", "joined"]  # soon after it
    record(connection, [row(301, event=2, anomalous=False, state="cleared")], SETTINGS, "bridge")
    assert [state for _, state, _, _ in shown(connection)] == ["cleared-unacknowledged"]
