"""Each sender against a real receiver: a mail server, Alertmanager, what Apprise posts to."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest

from errors import SettingsError, Unavailable
from tests.fixtures.receivers import Alertmanager, MailServer, WebServer
from tests.fixtures.tools import needs
from tests.integration.notify.stage import Stage
from tests.integration.tls import certificates

MAIL = """
[receivers.mail]
type = "email"
host = "127.0.0.1"
port = {port}
sender = "plant@example.org"
to = ["anna@example.org", "bert@example.org"]
{more}
[routes.all]
receivers = ["mail"]
"""
NO_TLS = 'tls = "none"'


def test_mail_says_what_happened_as_text_and_as_escaped_html(
    stage: Stage, mail_server: MailServer
) -> None:
    stage.routes(
        'link = "https://plant.example/i/{{id}}?a=1&b"\n'.replace("{{id}}", "{id}")
        + MAIL.format(port=mail_server.port, more=NO_TLS)
    )
    stage.read((0, "high"), state="opened", asset='<b>"PUMP"</b>\r\nBcc: x@y.z')
    stage.step("mail")
    (mail,) = mail_server.mails
    assert mail["To"] == "anna@example.org, bert@example.org"
    assert mail["Bcc"] is None
    assert mail["Subject"] == '[high] <b>"PUMP"</b> Bcc: x@y.z: opened'
    text, page = (part.get_content() for part in mail.iter_parts())
    assert "severity: high" in text
    assert "<b>" not in page
    assert "&lt;b&gt;&quot;PUMP&quot;&lt;/b&gt;" in page
    assert "?a=1&amp;b" in page


def test_mails_of_an_incident_are_one_thread(stage: Stage, mail_server: MailServer) -> None:
    stage.routes(MAIL.format(port=mail_server.port, more=NO_TLS))
    stage.read((0,), (1, "high"), state="opened")
    stage.step("mail")
    first, second = mail_server.mails
    assert first["References"] == second["References"]
    assert first["Message-ID"] != second["Message-ID"]


def test_after_an_outage_people_get_one_mail(stage: Stage, mail_server: MailServer) -> None:
    stage.routes(MAIL.format(port=mail_server.port, more=NO_TLS))
    for number in range(21):
        stage.read((number,), state="opened", asset=f"ASSET_{number}")
    stage.step("mail")
    (mail,) = mail_server.mails
    assert mail["Subject"] == "21 changes of 21 incidents"
    text = mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert all(f"[medium] ASSET_{number}: opened" in text for number in range(21))
    assert stage.waiting() == 0
    stage.read((30,), state="opened", asset="LATER")
    stage.step("mail")
    assert mail_server.mails[1]["Subject"] == "[medium] LATER: opened"


def test_a_rejected_summary_is_divided_to_find_the_change_at_fault(
    stage: Stage, mail_server: MailServer
) -> None:
    stage.routes(MAIL.format(port=mail_server.port, more=NO_TLS))
    mail_server.rejected_text = "LOTTERY"
    for name in ("LOTTERY", *map(str, range(20))):
        stage.read((0,), (1, "high"), state="opened", asset=f"ASSET_{name}")
    stage.step("mail")
    subjects = [mail["Subject"] for mail in mail_server.mails]
    expected = [f"[{of}] ASSET_{n}: {what}" for n in range(20)
                for of, what in (("medium", "opened"), ("high", "escalated"))]  # fmt: skip
    assert subjects == expected
    assert stage.waiting() == 2  # the escalation waits for the opening before it


def test_mail_by_starttls_with_a_login(stage: Stage, tmp_path: Path) -> None:
    made = certificates(tmp_path / "tls")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(made.certificate, made.key)
    login = 'user = "anomalies"\npassword = "${PASSWORD}"\n'
    trusted = login + f'cafile = "{made.authority}"'
    with MailServer(tls_context=context, require_starttls=True, auth_required=True) as server:
        stage.routes(MAIL.format(port=server.port, more=trusted), PASSWORD="right")
        stage.read((0,), state="opened")
        stage.step("mail")
        assert server.logins == [("anomalies", "right")]
        assert len(server.mails) == 1
        for more, password, why in ((trusted, "wr0ng-one", "535"), (login, "right", "(cafile)")):
            stage.routes(MAIL.format(port=server.port, more=more), PASSWORD=password)
            stage.read((1, "high"), asset=why, state="opened")
            stage.step("mail")
            ((problem,),) = stage.rows("SELECT problem FROM notify_receivers")
            assert why in problem
            assert password not in problem
        assert len(server.mails) == 1
    assert stage.waiting() == 2


def test_a_refused_recipient_costs_the_others_nothing(
    stage: Stage, mail_server: MailServer, caplog: pytest.LogCaptureFixture
) -> None:
    stage.routes(MAIL.format(port=mail_server.port, more=NO_TLS))
    mail_server.refuses = {"bert@example.org"}
    stage.read((0,), state="opened")
    stage.step("mail")
    assert len(mail_server.mails) == 1
    assert "bert@example.org is refused: SMTP 550 no such mailbox" in caplog.text
    mail_server.refuses.add("anna@example.org")
    stage.read((1, "high"))
    stage.step("mail")
    assert stage.waiting() == 1
    assert stage.rows("SELECT problem FROM notify_receivers") == [
        ("SMTPRecipientsRefused 550 no such mailbox",)
    ]


def test_an_odd_goodbye_does_not_repeat_a_mail(stage: Stage, mail_server: MailServer) -> None:
    stage.routes(MAIL.format(port=mail_server.port, more=NO_TLS))
    mail_server.goodbye = "421 too many connections"
    stage.read((0,), state="opened")
    stage.step("mail")
    assert len(mail_server.mails) == 1
    assert stage.waiting() == 0
    assert stage.rows("SELECT problem FROM notify_receivers") == [(None,)]


ALERTS = """
link = "https://plant.example/i/{{id}}"
[receivers.am]
type = "alertmanager"
url = "{url}"
[routes.all]
severity = "medium"
receivers = ["am"]
changes = ["opened"]
quiet = [{{from = "00:00", until = "00:00"}}]
"""


def labelled(alerts: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return sorted((one["labels"]["asset"], one["labels"]["severity"]) for one in alerts)


@needs("prometheus-alertmanager", "prometheus-alertmanager")
def test_alertmanager_is_told_the_state(stage: Stage, alertmanager: Alertmanager) -> None:
    stage.routes(ALERTS.format(url=alertmanager.url))
    stage.read((0,), state="opened", asset="A")
    stage.read((0, "low"), state="opened", asset="SMALL")
    stage.step("am")
    (alert,) = alertmanager.alerts()
    assert alert["labels"].items() >= {
        "alertname": "AnomalyIncident", "asset": "A", "severity": "medium", "group": "g",
    }.items()  # fmt: skip
    assert alert["generatorURL"] == f"https://plant.example/i/{alert['labels']['incident']}"
    stage.read((1, "high"), asset="A")
    stage.step("am")
    assert labelled(alertmanager.alerts()) == [("A", "high")]
    stage.act("shelve", "A", why="swap", seconds=60)
    stage.step("am")
    assert alertmanager.alerts() == []
    stage.act("unshelve", "A")
    stage.step("am")
    assert labelled(alertmanager.alerts()) == [("A", "high")]
    stage.read((2,), asset="A", anomalous=False, state="cleared")
    stage.step("am")
    assert alertmanager.alerts() == []
    assert stage.waiting() == 0


@needs("prometheus-alertmanager", "prometheus-alertmanager")
def test_alertmanager_is_told_again_though_it_forgot(
    stage: Stage, alertmanager: Alertmanager
) -> None:
    stage.read((0,), state="opened", asset="BEFORE")
    stage.routes(ALERTS.format(url=alertmanager.url))
    stage.step("am")
    # what stood before anybody was notified is sent as well: it is the state
    assert labelled(alertmanager.alerts()) == [("BEFORE", "medium")]
    assert not stage.deliveries["am"].failed


def test_what_ended_is_sent_again_for_five_minutes(stage: Stage, webhook: WebServer) -> None:
    stage.routes(ALERTS.format(url=webhook.url))
    stage.read((0,), state="opened", asset="A")
    stage.read((1,), asset="A", anomalous=False, state="cleared")
    delivery = stage.deliveries["am"]
    for _ in range(3):
        delivery._repeat_at = 0.0  # the next repetition is due
        stage.step("am")
    ends = [body[0]["endsAt"] for body in webhook.bodies]
    assert len(ends) == 4  # the change itself, then three times
    assert len(set(ends)) == 1
    stage.read((2,), asset="B", state="opened")
    stage.step("am")
    age = "UPDATE notifications SET settled_at = now() - interval '301 seconds' RETURNING 1"
    stage.rows(age)
    webhook.got.clear()
    delivery._repeat_at = 0.0
    stage.step("am")
    assert [[one["labels"]["asset"] for one in body] for body in webhook.bodies] == [["B"]]


def test_others_by_apprise_and_its_address_stays_secret(
    stage: Stage, webhook: WebServer, caplog: pytest.LogCaptureFixture
) -> None:
    toml = """
        [receivers.chat]
        type = "apprise"
        url = "${CHAT}"
        [routes.all]
        receivers = ["chat"]
    """
    address = webhook.url.replace("http://", "json://user:t0ken-of-chat@")
    stage.routes(toml, CHAT=address)
    stage.read((0, "high"), state="opened", asset="PUMP")
    stage.step("chat")
    (body,) = webhook.bodies
    assert body["title"] == "[high] PUMP: opened"
    assert "severity: high" in body["message"]
    webhook.answer = lambda _: (403, {})
    stage.read((1, "critical"), asset="PUMP")
    stage.step("chat")
    ((problem,),) = stage.rows("SELECT problem FROM notify_receivers")
    assert "403" in problem
    assert "t0ken" not in problem + caplog.text + repr(stage.deliveries)


def test_a_receiver_that_is_not_there_says_so(stage: Stage) -> None:
    stage.routes(MAIL.format(port=1, more=NO_TLS))
    stage.read((0,), state="opened")
    assert stage.step("mail") > 0
    assert "refused" in stage.rows("SELECT problem FROM notify_receivers")[0][0]
    with pytest.raises(Unavailable):
        stage.deliveries["mail"]._sender.check()


def test_a_token_with_a_line_end_is_taken_without_it_and_never_shown(
    stage: Stage, webhook: WebServer, caplog: pytest.LogCaptureFixture
) -> None:
    toml = f"""
        [receivers.hook]
        type = "webhook"
        url = "{webhook.url}"
        headers = {{ Authorization = "Bearer ${{TOKEN}}" }}
        [routes.all]
        receivers = ["hook"]
    """
    stage.routes(toml, TOKEN="t0p-secret\n")
    stage.read((0,), state="opened")
    stage.step()
    assert webhook.got[0][0]["authorization"] == "Bearer t0p-secret"
    stage.routes(toml, TOKEN="t0p\nsecret")
    stage.read((1, "high"))
    stage.step()
    ((problem,),) = stage.rows("SELECT problem FROM notify_receivers")
    assert "header" in problem
    assert "secret" not in problem + caplog.text
    with pytest.raises(SettingsError) as caught:
        stage.routes(toml, TOKEN="t0p-sécret")
    assert "receiver 'hook'" in caught.value.message
    assert "cret" not in caught.value.message
