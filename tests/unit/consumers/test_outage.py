"""An outage is logged once at its start and once at its end, with a back-off in between."""

from __future__ import annotations

import logging
import time

from consumers.outage import Outage
from errors import Unavailable


def test_trouble_is_said_once_and_its_end_once(caplog):
    notices = []
    outage = Outage("service", lambda what, code: notices.append((what, code)))
    with caplog.at_level(logging.WARNING):
        waits = [outage.record_failure(Unavailable("away")) for _ in range(12)]
        outage.record_success()
        outage.record_success()
    assert len(caplog.records) == 2
    assert notices == [("service", "unavailable"), ("service", None)]
    assert waits[0] <= 0.2
    assert 5 <= waits[-1] <= 10


def test_an_answer_asked_for_before_the_trouble_does_not_end_it():
    notices = []
    outage = Outage("service", lambda what, code: notices.append(code))
    begun = time.monotonic()
    outage.record_failure(Unavailable("away"))
    outage.record_success(begun)
    assert notices == ["unavailable"]
    outage.record_success(time.monotonic())
    assert notices == ["unavailable", None]


def test_answered_queries_do_not_end_an_outage_of_writing(monkeypatch):
    notices = []
    outage = Outage("database", lambda what, code: notices.append(code))
    outage.record_failure(Unavailable("read-only"), writing=True)
    outage.record_success(reading=True)
    assert notices == ["unavailable"]
    outage.record_success()
    assert notices == ["unavailable", None]
    outage.record_failure(Unavailable("read-only"), writing=True)
    monkeypatch.setattr("consumers.outage.WRITE_SILENCE", 0.0)  # nothing is left to be written
    outage.record_success(reading=True)
    assert notices == ["unavailable", None, "unavailable", None]


def test_a_database_that_is_read_only_has_failed_in_writing_whoever_says_so():
    notices = []
    outage = Outage("database", lambda what, code: notices.append(code))
    outage.record_failure(Unavailable("read-only", code="storage_read_only"))
    outage.record_success(reading=True)
    assert notices == ["storage_read_only"]


def test_trouble_waits_at_least_as_long_as_asked():
    assert Outage("service", lambda *_: None).record_failure(Unavailable("busy"), 42.0) == 42.0


def test_retry_after_of_the_service_is_kept():
    assert Outage("x", lambda *_: None).record_failure(Unavailable("busy"), asked=3.0) == 3.0
