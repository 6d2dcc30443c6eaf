"""What the answer of a mail server means for the mail and for the others."""

from __future__ import annotations

import smtplib

import pytest

from errors import AnomalyError, Unavailable
from notify import mail_sender
from notify.sender_interface import Refused


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (smtplib.SMTPDataError(554, b"spam"), Refused),
        (smtplib.SMTPDataError(451, b"later"), Unavailable),
        (smtplib.SMTPAuthenticationError(535, b"no"), Unavailable),
        (smtplib.SMTPRecipientsRefused({"a@b": (550, b"who\r\nis it")}), Unavailable),
        (ConnectionRefusedError("nobody there"), Unavailable),
    ],
)
def test_a_mail_server_that_refuses_the_message_is_not_away(
    error: Exception, kind: type[AnomalyError]
) -> None:
    found = mail_sender._smtp_error(error)
    assert type(found) is kind
    assert found.message.isprintable()
