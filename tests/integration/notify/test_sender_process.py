"""The sender and ``notify.test`` as processes: election, kill, stop, check, drain."""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Callable

import httpx
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text

from db.queries.notifications import SENDER_LOCK
from db.session import transaction
from deploy.processes import free_port
from tests.fixtures.receivers import MailServer, WebServer
from tests.fixtures.waiting import wait_until
from tests.integration.notify.stage import HOOK, Stage
from tests.integration.notify.test_senders import MAIL, NO_TLS

TOKEN_HOOK = """
[receivers.hook]
type = "webhook"
url = "{url}"
headers = {{ Authorization = "Bearer ${{HOOK_TOKEN}}" }}
[routes.all]
receivers = ["hook"]
"""


def leads(process: object) -> Callable[[], bool]:
    return lambda: "sending to" in process.text  # type: ignore[attr-defined]


def test_another_takes_over_from_one_that_is_killed_and_nothing_is_lost(
    hooked: Stage, webhook: WebServer
) -> None:
    first = hooked.start()
    try:
        wait_until(leads(first), "the first sender leads")
        second = hooked.start()
        try:
            hooked.read((0,), state="opened", asset="A")
            wait_until(lambda: webhook.received == ["opened"], "the first change is sent")
            webhook.delay = 300  # killed while the receiver has not answered
            hooked.read((1, "high"), asset="A")
            wait_until(lambda: len(webhook.times) == 2, "the second is under way")
            assert not leads(second)()
            first.kill()
            webhook.delay = 0
            wait_until(leads(second), "the second sender leads")
            hooked.read((2, "critical"), asset="A")
            wait_until(lambda: len(webhook.received) >= 3, "the rest is sent")
            assert second.stop() == 0
        finally:
            second.kill()
    finally:
        first.kill()
    ids = [headers["webhook-id"] for headers, _ in webhook.got]
    assert list(dict.fromkeys(b["version"] for b in webhook.bodies)) == [1, 2, 3]
    assert len(set(ids)) == 3
    assert hooked.waiting() == 0


def test_only_one_of_several_sends(hooked: Stage, webhook: WebServer) -> None:
    senders = [hooked.start() for _ in range(3)]
    try:
        # before that the others may not heed SIGTERM yet
        wait_until(lambda: all("store: " in one.text for one in senders), "all have begun")
        wait_until(lambda: any(leads(one)() for one in senders), "one leads")
        for number in range(30):
            hooked.read((0,), state="opened", asset=f"A{number}")
        wait_until(lambda: hooked.waiting() == 0, "all are sent")
        assert sum(leads(one)() for one in senders) == 1
        assert [one.stop() for one in senders] == [0, 0, 0]
    finally:
        for one in senders:
            one.kill()
    assert len(webhook.got) == 30


def test_a_lost_database_session_ends_the_lead_and_it_is_taken_up_again(
    hooked: Stage, webhook: WebServer
) -> None:
    sender = hooked.start()
    try:
        wait_until(leads(sender), "it leads")
        with transaction(hooked.engine) as connection:
            connection.execute(text("""
                SELECT pg_terminate_backend(pid) FROM pg_locks
                WHERE locktype = 'advisory' AND objid = :objid
                  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
            """), {"objid": SENDER_LOCK & 0xFFFF_FFFF})  # fmt: skip
        wait_until(lambda: sender.text.count("sending to") == 2, "it leads again")
        assert "the lock is lost" in sender.text
        hooked.read((0,), state="opened")
        wait_until(lambda: webhook.received == ["opened"], "it sends")
        assert sender.stop() == 0
    finally:
        sender.kill()


def test_stop_finishes_what_is_under_way(hooked: Stage, webhook: WebServer) -> None:
    sender = hooked.start()
    try:
        wait_until(leads(sender), "it leads")
        answered = threading.Event()
        webhook.answer = lambda body: (200 if answered.wait(60) else 500, {})
        hooked.read((0,), (1, "high"), state="opened")
        wait_until(lambda: webhook.times, "the first is under way")
        sender.process.send_signal(signal.SIGTERM)
        threading.Timer(1.0, answered.set).start()  # by then it has learned that it is to stop
        assert sender.wait() == 0
    finally:
        sender.kill()
    assert webhook.received == ["opened"]
    assert hooked.waiting() == 1


def test_an_edit_is_taken_up_and_one_with_an_error_is_not(
    hooked: Stage, webhook: WebServer, second_webhook: WebServer
) -> None:
    sender = hooked.start()
    try:
        wait_until(leads(sender), "it leads")
        hooked.path.write_text("nonsense")
        wait_until(lambda: "stay in use" in sender.text, "the error is logged")
        hooked.read((0,), state="opened", asset="A")
        wait_until(lambda: webhook.received == ["opened"], "the old route holds")
        hooked.path.write_text(HOOK.format(url=second_webhook.url))
        wait_until(lambda: sender.text.count("sending to") == 2, "the edit is taken up")
        hooked.read((0,), state="opened", asset="B")
        wait_until(lambda: second_webhook.received == ["opened"], "the new route holds")
        assert sender.text.count("stay in use") == 1
        assert sender.stop() == 0
    finally:
        sender.kill()


def test_drain_sends_what_waits_and_says_who_does_not_take_it(
    hooked: Stage, webhook: WebServer
) -> None:
    hooked.read((0,), (1, "high"), state="opened")
    done = hooked.run("--drain")
    assert (done.code, webhook.received) == (0, ["opened", "escalated"]), done.text
    webhook.answer = lambda body: (500, {})
    hooked.read((2, "critical"))
    done = hooked.run("--drain")
    assert done.code == 4, done.text
    assert "hook rejects" in done.text
    assert "HTTP 500" in done.text


def test_check_names_what_is_wrong(
    stage: Stage, webhook: WebServer, mail_server: MailServer
) -> None:
    stage.path.write_text(TOKEN_HOOK.format(url=webhook.url))
    missing = stage.run("--check")
    assert missing.code == 2
    assert "receiver 'hook': headers.Authorization: ${HOOK_TOKEN} is not set" in missing.text
    well = stage.run("--check", HOOK_TOKEN="t0ps3cret")
    assert well.code == 0, well.text
    assert "hook (webhook http://127.0.0.1): reached" in well.text
    assert "NOT signed" in well.text
    assert webhook.got == []
    stage.path.write_text(
        TOKEN_HOOK.format(url="http://127.0.0.1:1/x") + MAIL.format(
            port=mail_server.port, more=NO_TLS
        ).replace("routes.all", "routes.mails")
    )  # fmt: skip
    unreachable = stage.run("--check", HOOK_TOKEN="t0ps3cret")
    assert unreachable.code == 1
    assert "hook (webhook http://127.0.0.1): FAILED: ConnectError" in unreachable.text
    assert "mail (email 127.0.0.1): reached: SMTP 250" in unreachable.text
    gone = stage.run("--check", NOTIFY_ROUTES=str(stage.folder / "none.toml"))
    assert gone.code == 2
    assert "none.toml: No such file or directory" in gone.text
    off = stage.run("--check", NOTIFY_ROUTES="")
    assert (off.code, off.text) == (0, "routes: off (NOTIFY_ROUTES is empty)\n")
    assert "t0ps3cret" not in missing.text + well.text + unreachable.text


def test_check_names_who_did_not_take_what_waits(hooked: Stage, webhook: WebServer) -> None:
    webhook.answer = lambda body: (503, {})
    hooked.read((0,), state="opened")
    hooked.step()
    done = hooked.run("--check")
    assert done.code == 1
    assert re.search(r"hook: FAILED: 1 changes wait, .* HTTP 503", done.text)


def test_failures_are_in_the_metrics(hooked: Stage, webhook: WebServer) -> None:
    port = free_port()
    webhook.answer = lambda body: (500, {})
    sender = hooked.start(NOTIFY_METRICS_PORT=str(port))

    def metrics() -> dict[str, float]:
        try:
            url = f"http://127.0.0.1:{port}/metrics"
            page = httpx.get(url, trust_env=False, timeout=60).text
        except httpx.TransportError:
            return {}
        return {
            sample.name: sample.value
            for family in text_string_to_metric_families(page)
            for sample in family.samples
        }

    try:
        wait_until(lambda: metrics().get("notify_leader") == 1, "it leads")
        assert metrics()["notify_failing"] == 0
        hooked.read((0,), state="opened")
        wait_until(
            lambda: metrics()["notify_failing"] == 1 and metrics()["notify_waiting"] == 1,
            "it fails",
        )
        assert metrics()["notify_failures_total"] >= 1
        webhook.answer = lambda body: (200, {})
        wait_until(lambda: metrics()["notify_sent_total"] == 1, "it sends")
        wait_until(
            lambda: metrics()["notify_failing"] == 0 and metrics()["notify_waiting"] == 0, "is well"
        )
        assert sender.stop() == 0
    finally:
        sender.kill()


def test_test_message_goes_through_each_receiver_of_a_route(
    stage: Stage, webhook: WebServer
) -> None:
    stage.path.write_text(
        TOKEN_HOOK.format(url=webhook.url).replace('["hook"]', '["hook", "mail"]')
        + MAIL.format(port=1, more=NO_TLS).replace("[routes.all]", "[routes.mails]")
    )
    sent = stage.run("all", module="notify.test", HOOK_TOKEN="t0ps3cret")
    assert sent.code == 1
    assert "hook (webhook http://127.0.0.1): sent\n" in sent.text
    assert "mail (email 127.0.0.1): FAILED: ConnectionRefusedError" in sent.text
    (body,) = webhook.bodies
    assert (body["asset_id"], body["kind"]) == ("TEST", "test")
    assert webhook.got[0][0]["authorization"] == "Bearer t0ps3cret"
    unknown = stage.run("al", module="notify.test", HOOK_TOKEN="t0ps3cret")
    assert unknown.code == 2
    assert "there is no 'al', only all, mails" in unknown.text
    listed = stage.run("--list", module="notify.test", HOOK_TOKEN="t0ps3cret")
    assert listed.code == 0
    assert re.search(r"^all +\* +\* +\* +low +opened, .* hook \(webhook", listed.text, re.MULTILINE)
    assert "t0ps3cret" not in sent.text + unknown.text + listed.text
