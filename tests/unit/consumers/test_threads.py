"""A thread of the bridge that ends unasked is a defect, and is logged."""

from __future__ import annotations

import logging
import threading

import pytest

from consumers.threads import PartThread


def test_a_thread_that_was_stopped_has_not_died():
    stop = threading.Event()

    def work() -> None:
        stop.wait()

    thread = PartThread("claims", work)
    assert not thread.died  # it has not begun
    thread.start()
    assert not thread.died
    stop.set()
    thread.stop(10.0)
    assert not thread.is_alive()
    assert not thread.died


def test_one_that_fails_is_logged_and_has_died(caplog: pytest.LogCaptureFixture):
    def work() -> None:
        raise RuntimeError("out of order")

    thread = PartThread("claims", work)
    with caplog.at_level(logging.ERROR, "consumers.bridge"):
        thread.start()
        thread.join(10.0)
    assert thread.died
    assert str(thread.failure) == "out of order"
    assert [(r.getMessage(), vars(r)["action"]) for r in caplog.records] == [
        ("claims ends: a defect", "defect")
    ]


def test_one_that_ends_of_itself_has_died_too():
    thread = PartThread("claims", lambda: None)
    thread.start()
    thread.join(10.0)
    assert thread.died
    assert thread.failure is None
