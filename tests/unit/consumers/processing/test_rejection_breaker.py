"""The bridge pauses when nearly all streams are refused; fewer do not hold the others up."""

from __future__ import annotations

import logging
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from consumers.processing import rejection_breaker as module
from consumers.processing.rejection_breaker import (
    Judgement,
    MisconfigurationError,
    RejectionBreaker,
)
from consumers.records.parsing import Rejection
from tests.fixtures.settings import given


def judged(
    refused: int, healthy: int, times: int, reason: str = "missing_features"
) -> dict[int, list[Judgement]]:
    """Streams in turn, ``times`` records of each, in one partition."""
    streams: list[Judgement] = [((f"BAD_{n}", "", ""), reason) for n in range(refused)]
    streams += [((f"GOOD_{n}", "", ""), None) for n in range(healthy)]
    return {0: streams * times}


def test_judged_on_a_full_window_only():
    breaker = RejectionBreaker(given(refusal_window=1000))
    breaker.check(judged(10, 0, 99))
    with pytest.raises(MisconfigurationError, match="10 of the 10 streams"):
        breaker.check(judged(10, 0, 100))
    RejectionBreaker(given(refusal_window=1000, refusal_pause=False)).check(judged(10, 0, 100))


@pytest.mark.parametrize(("refused", "healthy"), [(9, 1), (19, 1), (50, 50), (95, 5), (1, 1)])
def test_healthy_streams_do_not_wait_for_those_that_lost_a_feature(refused, healthy):
    breaker = RejectionBreaker(given(refusal_window=1000))
    for _ in range(20):
        batch = judged(refused, healthy, 1000 // (refused + healthy))
        breaker.check(batch)
        breaker.note(batch)


@pytest.mark.parametrize(("refused", "healthy"), [(100, 0), (99, 1), (1, 0)])
def test_nearly_all_streams_refused_is_the_set_up(refused, healthy):
    breaker = RejectionBreaker(given(refusal_window=1000))
    with pytest.raises(MisconfigurationError) as caught:
        breaker.check(judged(refused, healthy, 1000 // (refused + healthy)))
    assert caught.value.code == "refused_missing_features"


def test_one_stream_that_is_refused_now_and_then_is_not_the_set_up():
    breaker = RejectionBreaker(given(refusal_window=100))
    good, bad = (("A", "", ""), None), (("A", "", ""), "missing_features")
    breaker.check({0: [good, bad] * 100})


def test_many_records_of_one_refused_stream_do_not_speak_for_the_others():
    breaker = RejectionBreaker(given(refusal_window=1000))
    noisy: list[Judgement] = [(("NOISY", "", ""), "no_group")] * 990
    breaker.check({0: noisy + judged(0, 10, 1)[0]})


def test_one_partition_that_fills_the_window_does_not_speak_for_the_others():
    now = [0.0]
    breaker = RejectionBreaker(given(refusal_window=100), clock=lambda: now[0])
    refused = judged(20, 0, 100)  # a backlog: far more than a window in one batch
    healthy = {1: judged(0, 20, 2)[0]}
    breaker.note(healthy)
    for _ in range(3):
        breaker.check(refused)
        breaker.note(refused)
    now[0] = 301.0  # what has been quiet for long has no say
    with pytest.raises(MisconfigurationError, match="20 of the 20 streams"):
        breaker.check(refused)


def test_two_reasons_are_two_things():
    breaker = RejectionBreaker(given(refusal_window=100))
    others: list[Judgement] = [(("N", str(n), ""), "no_group") for n in range(5)]
    breaker.check({0: judged(5, 0, 10)[0] + others * 10})


def test_other_reasons_and_batches_not_stored_do_not_count():
    breaker = RejectionBreaker(given(refusal_window=4))
    breaker.check(judged(1, 0, 8, "invalid_input"))
    with pytest.raises(MisconfigurationError):
        breaker.check(judged(1, 0, 4))
    breaker.note({0: [(("BAD_0", "", ""), None)] * 4})
    breaker.check(judged(1, 0, 2))


def test_a_refused_stream_is_said_once_with_the_way_back(caplog):
    breaker = RejectionBreaker(given(refusal_window=1000))
    rejection = Rejection("missing_features", "features: 1 of 3 missing: temp", "A", "S1")
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            for stream in ("A", "B"):
                breaker.log_rejection((stream, "S1", ""), rejection)
                breaker.log_rejection((stream, "S1", ""), Rejection("duplicate", "same"))
                breaker.log_rejection((stream, "S1", ""), None)
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 2
    assert "asset A, sensor S1: features: 1 of 3 missing: temp" in messages[0]
    assert "consumers.replay --dead-letters --reason missing_features" in messages[0]


def test_workers_note_refused_streams_side_by_side_also_past_the_bound(monkeypatch):
    monkeypatch.setattr(module, "MAX_LOGGED", 8)
    monkeypatch.setattr(module.log, "disabled", True)
    breaker, rejection = RejectionBreaker(given()), Rejection("no_group", "none")

    def work(worker: int) -> None:
        for number in range(20_000):
            breaker.log_rejection((f"{worker} {number}", "", ""), rejection)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as workers:
            list(workers.map(work, range(4)))
    finally:
        sys.setswitchinterval(interval)


def test_one_foreign_format_pauses_when_most_of_what_comes_is_in_it():
    breaker = RejectionBreaker(given(refusal_window=10))
    breaker.check_framings(["gzip"] * 9)  # not yet a full window
    breaker.check_framings(["gzip"] * 5 + [None] * 5)
    breaker.check_framings(["gzip"] * 5 + ["xml"] * 5)  # no single one
    with pytest.raises(MisconfigurationError, match=r"6 of the last 10 records .* gzip"):
        breaker.check_framings(["gzip"] * 6 + [None] * 4)
    breaker.note({}, [None] * 10)
    breaker.check_framings(["gzip"] * 5)
    RejectionBreaker(given(refusal_window=10, refusal_pause=False)).check_framings(["gzip"] * 10)
