"""What receivers are sent, when, how often: on a real PostgreSQL, to a real HTTP server."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from db.queries.incident_rows import SHOWN
from db.retention import drop_expired
from db.session import transaction
from notify.delivery import KEEP_UP_EVERY_S, Delivery
from notify.web_senders import sign
from tests.fixtures.receivers import WebServer
from tests.fixtures.settings import keeping
from tests.fixtures.waiting import wait_until
from tests.integration.notify.stage import HOOK, Stage
from tests.unit.notify.test_documentation import documented


def test_each_change_is_told_once_in_order_as_it_was(hooked: Stage, webhook: WebServer) -> None:
    hooked.read((0,), (1, "high"), state="opened")
    hooked.act("acknowledge")
    hooked.read((2, "critical"))
    hooked.read((3,), anomalous=False, state="cleared")
    hooked.step()
    hooked.step()
    assert webhook.received == ["opened", "escalated", "escalated", "cleared"]
    shown = [(one["version"], one["severity"], one["state"]) for one in webhook.bodies]
    assert shown == [
        (1, "medium", "open-unacknowledged"),
        (2, "high", "open-unacknowledged"),
        (4, "critical", "open-unacknowledged"),
        (5, "critical", "cleared-unacknowledged"),
    ]
    for body in webhook.bodies:
        assert set(body) == {*SHOWN.split(", "), "change"}
    ids = [headers["webhook-id"] for headers, _ in webhook.got]
    assert len(set(ids)) == 4
    assert hooked.rows("SELECT outcome, count(*) FROM notifications GROUP BY 1") == [("sent", 4)]


def test_what_people_did_is_as_it_was_then(stage: Stage, webhook: WebServer) -> None:
    stage.routes(HOOK.format(url=webhook.url) + 'changes = ["acknowledged", "unacknowledged"]')
    stage.read((0,), state="opened")
    stage.act("acknowledge", why="on it")
    stage.act("unacknowledge")
    stage.step()
    seen = [(b["state"], b["acknowledged_by"], b["change"]["who"]) for b in webhook.bodies]
    assert seen == [("open-acknowledged", "ANNA", "ANNA"), ("open-unacknowledged", None, "ANNA")]
    assert webhook.bodies[0]["change"]["why"] == "on it"


def test_only_what_a_route_asks_for(stage: Stage, webhook: WebServer) -> None:
    stage.routes(
        HOOK.format(url=webhook.url)
        + 'assets = ["PUMP_*"]\nseverity = "high"\nchanges = ["opened", "escalated"]\n'
    )
    for asset in ("PUMP_1", "FAN_1"):
        stage.read((0,), (1, "high"), state="opened", asset=asset)
    stage.step()
    assert [(b["asset_id"], b["change"]["what"]) for b in webhook.bodies] == [
        ("PUMP_1", "escalated")
    ]
    assert stage.waiting() == 0


def test_nothing_is_noted_while_nobody_is_to_be_told(stage: Stage) -> None:
    stage.read((0,), state="opened")
    assert stage.rows("SELECT count(*) FROM notifications") == [(0,)]


def test_shelved_and_suppressed_are_not_told_their_end_is(
    hooked: Stage, webhook: WebServer
) -> None:
    hooked.read((0,), state="opened", asset="A")
    hooked.read((0,), state="opened", asset="B")
    hooked.read((0,), state="opened", asset="C")
    hooked.step()
    webhook.got.clear()
    hooked.act("shelve", "A", why="swap", seconds=600)
    hooked.act("shelve", "C", why="swap", seconds=600)
    hooked.read((1,), asset="B", suppressed="w")
    hooked.read((2, "critical"), asset="A")
    hooked.read((2, "critical"), asset="B", suppressed="w")
    hooked.read((2,), asset="C", anomalous=False, state="cleared")
    hooked.step()
    assert webhook.received == []
    hooked.act("unshelve", "A")
    hooked.act("unshelve", "C")
    hooked.read((3,), asset="B", anomalous=False)
    hooked.step()
    ends = [(b["asset_id"], b["change"]["what"], b["severity"]) for b in webhook.bodies]
    assert sorted(ends) == [
        ("A", "opened", "critical"), ("B", "opened", "critical"), ("C", "cleared", "medium"),
    ]  # fmt: skip


def test_what_was_shelved_before_it_could_be_told_is_told_when_that_ends(
    hooked: Stage, webhook: WebServer
) -> None:
    hooked.read((0,), state="opened")
    hooked.act("shelve", why="swap", seconds=600)
    hooked.step()
    assert webhook.received == []
    hooked.act("unshelve")
    hooked.step()
    assert webhook.received == ["opened"]


def test_a_new_event_is_news_only_where_the_incident_had_cleared(
    hooked: Stage, webhook: WebServer
) -> None:
    hooked.read((0,), state="opened")
    hooked.read((1,), event=2)
    hooked.read((2,), event=2, anomalous=False, state="cleared")
    hooked.read((3,), event=3)
    hooked.step()
    assert webhook.received == ["opened", "cleared", "resumed"]


def test_a_failure_is_tried_again_in_order_and_other_incidents_pass(
    hooked: Stage, webhook: WebServer
) -> None:
    webhook.answer = lambda body: (500 if b'"A"' in body else 200, {})
    hooked.read((0,), (1, "high"), state="opened", asset="A")
    hooked.read((0,), (1, "high"), state="opened", asset="B")
    assert 0 < hooked.step() <= 0.5
    assert webhook.received == []
    hooked.step()
    assert [b["asset_id"] for b in webhook.bodies] == ["B", "B"]
    error, tries = hooked.rows(
        "SELECT error, tries FROM notifications WHERE settled_at IS NULL ORDER BY log_id"
    )[0]
    assert (error, tries) == ("HTTP 500 Internal Server Error", 1)
    webhook.answer = lambda body: (200, {})
    hooked.due_now()
    hooked.step()
    assert webhook.received == ["opened", "escalated"] * 2
    assert hooked.metrics.registry.get_sample_value(
        "notify_failures_total", {"receiver": "hook"}
    ) == 1.0  # fmt: skip


def test_waits_grow_and_retry_after_is_heeded(hooked: Stage, webhook: WebServer) -> None:
    webhook.answer = lambda body: (503, {})
    hooked.read((0,), state="opened")
    waits = []
    for _ in range(6):
        hooked.due_now()
        waits.append(hooked.step())
    assert waits[5] > waits[2] > waits[0]
    webhook.answer = lambda body: (429, {"Retry-After": "120"})
    hooked.due_now()
    assert hooked.step() >= 120
    at = datetime.now(UTC) + timedelta(seconds=300)
    webhook.answer = lambda body: (503, {"Retry-After": f"{at:%a, %d %b %Y %H:%M:%S GMT}"})
    hooked.due_now()
    assert 290 < hooked.step() <= 300


def test_a_message_that_is_refused_costs_no_other_a_wait(hooked: Stage, webhook: WebServer) -> None:
    webhook.answer = lambda body: (422 if b'"A"' in body else 200, {})
    hooked.read((0,), (1, "high"), state="opened", asset="A")
    hooked.read((0,), state="opened", asset="B")
    hooked.step()
    assert [b["asset_id"] for b in webhook.bodies] == ["B"]
    assert hooked.waiting() == 2


def test_gone_ends_the_receiver_and_loses_nothing(hooked: Stage, webhook: WebServer) -> None:
    webhook.answer = lambda body: (410, {})
    hooked.read((0,), state="opened")
    hooked.step()
    webhook.answer = lambda body: (200, {})
    hooked.due_now()
    hooked.step()
    assert webhook.received == []
    assert hooked.waiting() == 1
    assert hooked.rows("SELECT problem FROM notify_receivers") == [
        ("HTTP 410 Gone: it wants no more",)
    ]


def test_one_that_is_gone_stays_known_and_its_oldest_changes_are_given_up(
    hooked: Stage, webhook: WebServer
) -> None:
    webhook.answer = lambda body: (410, {})
    hooked.read((0,), state="opened")
    hooked.step()
    with transaction(hooked.engine) as connection:
        connection.execute(text("UPDATE notifications SET created_at = now() - interval '8 days'"))
        connection.execute(text("UPDATE notify_receivers SET seen_at = now() - interval '6 days'"))
    assert hooked.step() <= KEEP_UP_EVERY_S
    assert hooked.rows("SELECT outcome FROM notifications") == [("expired",)]
    drop_expired(hooked.engine, keeping(notify_retention_days=5))
    hooked.read((1, "high"))
    assert hooked.waiting() == 1


def test_one_that_hangs_delays_no_other(
    stage: Stage, webhook: WebServer, second_webhook: WebServer
) -> None:
    stage.routes(f"""
        [receivers.slow]
        type = "webhook"
        url = "{webhook.url}"
        [receivers.quick]
        type = "webhook"
        url = "{second_webhook.url}"
        [routes.both]
        receivers = ["slow", "quick"]
    """)
    webhook.delay = 60
    for number in range(20):
        stage.read((0,), state="opened", asset=f"A{number}")
    for one in stage.deliveries.values():
        one.start()
    # were the slow one waited for, each would take its time-out of 10 s
    wait_until(lambda: len(second_webhook.got) == 20, "the quick one gets all")
    assert len(webhook.got) == 0
    stage.stop.set()
    stage.deliveries["quick"].join(10)


def test_one_that_never_finishes_is_reported(
    hooked: Stage, webhook: WebServer, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.setattr("notify.delivery.STUCK_S", 0.1)
    webhook.delay = 60
    hooked.read((0,), state="opened")
    delivery = hooked.deliveries["hook"]
    delivery.start()
    failing = hooked.metrics.failing.labels("hook")

    def reported() -> bool:
        delivery.report_stuck()
        return bool(failing._value.get())

    wait_until(reported, "it is reported")
    delivery.report_stuck()
    logged = [one.getMessage() for one in caplog.records if "not finished" in one.getMessage()]
    assert logged == ["hook has not finished one message for 0.1 s; still waiting"]
    hooked.stop.set()


def test_what_was_told_while_the_database_was_away_is_not_told_again(
    hooked: Stage, webhook: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooked.read((0,), state="opened")
    with monkeypatch.context() as patch:
        # the only way to lose the database exactly between the answer and the note
        patch.setattr(
            Delivery, "_settle", lambda *_: hooked.rows("SELECT pg_terminate_backend(1/0)")
        )
        with pytest.raises(Exception, match="division"):
            hooked.step()
    hooked.step()
    hooked.step()
    assert webhook.received == ["opened"]
    assert hooked.waiting() == 0


def quiet(url: str, *, change: int = 1, unless: str = "critical") -> str:
    now = datetime.now(UTC)
    start, until = now - timedelta(minutes=5), now + timedelta(minutes=5 * change)
    return HOOK.format(url=url) + (
        f'quiet = [{{from = "{start:%H:%M:%S}", until = "{until:%H:%M:%S}",'
        f' unless_severity = "{unless}"}}]\n'
    )


def test_quiet_hours_hold_until_they_end_or_it_gets_worse(stage: Stage, webhook: WebServer) -> None:
    stage.routes(quiet(webhook.url))
    stage.read((0,), state="opened", asset="A")
    stage.read((0, "critical"), state="opened", asset="B")
    stage.read((0,), state="opened", asset="C")
    stage.step()
    assert [b["asset_id"] for b in webhook.bodies] == ["B"]
    ends = stage.rows("SELECT due_at - now() FROM notifications WHERE settled_at IS NULL")
    assert all(timedelta(minutes=4) < one < timedelta(minutes=5) for (one,) in ends)
    stage.read((1, "critical"), asset="A")
    stage.step()
    assert [(b["asset_id"], b["change"]["what"]) for b in webhook.bodies[1:]] == [
        ("A", "opened"), ("A", "escalated"),
    ]  # fmt: skip
    stage.routes(HOOK.format(url=webhook.url))  # an edit: no quiet hours any more
    stage.step()
    assert webhook.bodies[-1]["asset_id"] == "C"


def test_what_waited_too_long_is_given_up_and_old_records_go(
    hooked: Stage, webhook: WebServer
) -> None:
    hooked.read((0,), state="opened")
    with transaction(hooked.engine) as connection:
        connection.execute(text("UPDATE notifications SET created_at = now() - interval '8 days'"))
    hooked.read((1, "high"))
    hooked.step()
    assert webhook.received == ["escalated"]
    outcomes = "SELECT outcome FROM notifications ORDER BY log_id"
    assert hooked.rows(outcomes) == [("expired",), ("sent",)]
    gone = drop_expired(hooked.engine, keeping(notify_retention_days=5))
    assert gone.rows == {"notifications": 1, "notify_receivers": 0}
    assert hooked.rows(outcomes) == [("sent",)]


def test_what_still_waits_is_no_old_record(hooked: Stage, webhook: WebServer) -> None:
    hooked.read((0,), state="opened")
    with transaction(hooked.engine) as connection:
        connection.execute(text("UPDATE notifications SET created_at = now() - interval '8 days'"))
    drop_expired(hooked.engine, keeping(notify_retention_days=5, notify_wait_days=10))
    assert hooked.rows("SELECT outcome FROM notifications") == [(None,)]


def test_a_receiver_that_is_told_stays_known(hooked: Stage) -> None:
    with transaction(hooked.engine) as connection:
        connection.execute(text("UPDATE notify_receivers SET seen_at = now() - interval '6 days'"))
    hooked.step()
    assert (
        drop_expired(hooked.engine, keeping(notify_retention_days=5)).rows["notify_receivers"] == 0
    )


def test_receivers_that_no_sender_knows_any_more_are_noted_nothing(hooked: Stage) -> None:
    with transaction(hooked.engine) as connection:
        connection.execute(text("UPDATE notify_receivers SET seen_at = now() - interval '6 days'"))
    assert (
        drop_expired(hooked.engine, keeping(notify_retention_days=5)).rows["notify_receivers"] == 1
    )
    hooked.read((0,), state="opened")
    assert hooked.waiting() == 0


def test_signature_is_what_the_documentation_verifies(stage: Stage, webhook: WebServer) -> None:
    stage.routes(
        HOOK.replace("[routes.all]", 'secret = "${{HOOK_SECRET}}"\n[routes.all]').format(
            url=webhook.url
        ),
        HOOK_SECRET="whsec_c2VjcmV0IG9mIHRoZSBob29r",
    )
    stage.read((0,), state="opened")
    stage.step()
    verify = documented("verify")
    (headers, body), secret = webhook.got[0], "whsec_c2VjcmV0IG9mIHRoZSBob29r"
    assert verify(secret, headers, body) == json.loads(body)
    for wrong in (body + b" ", body.replace(b"A", b"B")):
        with pytest.raises(ValueError, match="signature"):
            verify(secret, headers, wrong)
    stamp = str(int(time.time()) - 600)
    signed = sign(b"secret of the hook", headers["webhook-id"], stamp, body)
    old = {**headers, "webhook-timestamp": stamp, "webhook-signature": signed}
    with pytest.raises(ValueError, match="old"):
        verify(secret, old, body)
