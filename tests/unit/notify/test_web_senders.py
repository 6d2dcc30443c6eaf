"""What a sender makes of a change and of an HTTP answer, without a receiver."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from db.queries.notifications import Change
from errors import AnomalyError, SettingsError, Unavailable
from notify import web_senders
from notify.receivers import Alertmanager
from notify.sender_interface import Ended, Refused
from notify.web_senders import AlertmanagerSender, sign
from tests.unit.notify.changes import change


def test_a_signature_is_that_of_the_standard() -> None:
    # https://github.com/standard-webhooks/standard-webhooks: the example of its specification
    key = web_senders._key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    name, stamp, body = "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", b'{"test": 2432232314}'
    assert sign(key, name, stamp, body) == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert web_senders._key("plain") == b"plain"
    for secret in ("whsec_", "whsec_???"):
        with pytest.raises(SettingsError, match="is not base64"):
            web_senders._key(secret)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, Refused), (413, Refused), (410, Ended), (404, Unavailable), (503, Unavailable)],
)
def test_a_status_says_whose_fault_it_is(status: int, kind: type[AnomalyError]) -> None:
    assert type(web_senders._http_error(httpx.Response(status))) is kind


def test_a_redirect_says_where_it_leads_and_keeps_secrets() -> None:
    def reason(location: str) -> str:
        request = httpx.Request("POST", "http://plant.example/hooks/s3cret")
        headers = {"Location": location}
        return web_senders._http_error(
            httpx.Response(301, headers=headers, request=request)
        ).message

    found = reason("https://me:pass@plant.example:8443/hooks/s3cret?token=1")
    assert found == (
        "HTTP 301 Moved Permanently: a redirect to https://plant.example:8443, not followed (url)"
    )
    assert "redirect to http://plant.example," in reason("/login")


@pytest.mark.parametrize(
    ("header", "lowest", "highest"),
    [
        ("", 0, 0),
        ("7", 7, 7),
        ("-7", 0, 0),
        ("9" * 30, web_senders.LONGEST_RETRY_AFTER_S, web_senders.LONGEST_RETRY_AFTER_S),
        ("soon", 0, 0),
        (format_datetime(datetime(2020, 1, 1, tzinfo=UTC), usegmt=True), 0, 0),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_bounded(
    header: str, lowest: float, highest: float
) -> None:
    assert lowest <= web_senders._seconds(header) <= highest


def test_retry_after_a_date_is_the_time_until_then() -> None:
    header = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    assert 3500 < web_senders._seconds(header) <= 3600


@pytest.fixture
def sender() -> AlertmanagerSender:
    receiver = Alertmanager(url="https://a.example", repeat_s=60)
    return AlertmanagerSender(receiver, "https://plant.example/{id}")


def test_an_alert_stands_until_it_is_not_sent_again(sender: AlertmanagerSender) -> None:
    (alert,) = sender.alerts([change(sensor_id="S1")])
    assert alert["labels"]["asset"] == "TEST"
    assert alert["labels"]["sensor"] == "S1"
    assert "feature" not in alert["labels"]
    left = alert["endsAt"] - datetime.now(UTC)
    assert timedelta(seconds=230) < left <= timedelta(seconds=240)
    assert alert["generatorURL"].startswith("https://plant.example/")


@pytest.mark.parametrize(
    "ended",
    [
        change("cleared", state="cleared-unacknowledged"),
        change("shelved", state="open-acknowledged", state_now="shelved"),
        change("closed", state="closed"),
    ],
    ids=lambda one: one.what,
)
def test_an_alert_that_is_over_ends_when_it_did(sender: AlertmanagerSender, ended: Change) -> None:
    (alert,) = sender.alerts([ended])
    assert alert["endsAt"] == ended.at


def test_a_rise_in_severity_ends_the_alert_before(sender: AlertmanagerSender) -> None:
    before, now = sender.alerts([change("escalated", before={"severity": "low"})])
    assert (before["labels"]["severity"], now["labels"]["severity"]) == ("low", "high")
    assert before["endsAt"] < now["endsAt"]


def test_of_two_changes_of_one_alert_the_later_counts(sender: AlertmanagerSender) -> None:
    opened = change("opened")
    incident = {**opened.incident, "state": "cleared-acknowledged"}
    cleared = change("cleared", **incident)
    (alert,) = sender.alerts([opened, cleared])
    assert alert["endsAt"] == cleared.at
