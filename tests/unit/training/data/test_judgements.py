"""People's verdicts decide which stored readings are trained on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from db.queries.readings import StoredReading
from errors import DatasetError
from training.data.judgements import Judgements
from training.data.postgres import to_streams
from training.data.sources import TrainingData

START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Span:
    """A row of feedback."""

    verdict: str
    first: int
    last: int
    asset_id: str = "A"
    sensor_id: str | None = None
    feature: str | None = None

    @property
    def starts_at(self) -> datetime:
        return START + timedelta(minutes=self.first)

    @property
    def ends_at(self) -> datetime:
        return START + timedelta(minutes=self.last)


def readings(asset: str = "A", sensor: str = "S", kind: str = "anomaly") -> list[StoredReading]:
    """Ten readings, of which 2 to 7 are one alarm that lasted."""
    return [
        StoredReading(
            asset, sensor, None, START + timedelta(minutes=i), {"x": float(i)},
            is_anomaly=2 <= i <= 7, event="e" if 2 <= i <= 7 else None,
            event_kind=kind if 2 <= i <= 7 else None,
        )
        for i in range(10)
    ]  # fmt: skip


def trained(
    *spans: Span, rows: list[StoredReading] | None = None, keep_events: bool = False
) -> tuple[TrainingData, list[float], list[float]]:
    """The data, the first stream's readings, and those of them that are labelled faults."""
    data = to_streams(
        rows or readings(), "stored", judgements=Judgements(spans), keep_events=keep_events
    )
    stream = data.streams[0]
    values = stream.values[:, 0]
    faults = [] if stream.labels is None else values[stream.labels == 1].tolist()
    return data, values.tolist(), faults


def test_nothing_said_leaves_lasting_alarms_out():
    data, kept, faults = trained()
    assert (kept, faults) == ([0, 1, 8, 9], [])
    assert "feedback" not in data.source
    assert data.judged is False


def test_a_false_alarm_is_healthy_within_its_span():
    data, kept, faults = trained(Span("false_alarm", 2, 5))
    assert (kept, faults) == ([0, 1, 2, 3, 4, 5, 8, 9], [])
    assert "(feedback: 4 of false alarms taken for healthy)" in data.source
    assert "2 of alarms with 5 or more anomalies left out" in data.source
    healthy = data.streams[0].take(slice(2)).healthy
    assert healthy is not None
    assert healthy.tolist() == data.streams[0].timestamps[2:6].tolist()


def test_readings_outside_their_limits_are_never_healthy():
    _, kept, _ = trained(Span("false_alarm", 0, 9), rows=readings(kind="sensor_fault"))
    assert kept == [0, 1, 8, 9]


def test_a_confirmed_fault_stays_as_one():
    data, kept, faults = trained(Span("confirmed", 1, 3))
    assert (kept, faults) == ([0, 1, 2, 3, 8, 9], [1, 2, 3])
    assert "(feedback: 3 of confirmed faults left out as labelled)" in data.source
    assert data.judged is True


@pytest.mark.parametrize("keep_events", [False, True])
def test_expected_behaviour_is_neither_learnt_nor_judged_on(keep_events):
    _, kept, faults = trained(Span("expected", 0, 7), keep_events=keep_events)
    assert (kept, faults) == ([8, 9], [])


def test_what_is_not_to_be_learnt_is_stronger():
    spans = (Span("confirmed", 3, 4), Span("false_alarm", 2, 7), Span("expected", 4, 6))
    _, kept, faults = trained(*spans)
    assert (kept, faults) == ([0, 1, 2, 3, 4, 7, 8, 9], [3, 4])


def test_only_the_streams_that_it_is_about():
    rows = [*readings("A", "S"), *readings("A", "T"), *readings("B", "S")]
    spans = [Span("expected", 0, 1, sensor_id="S"), Span("expected", 9, 9)]
    data = to_streams(rows, "stored", judgements=Judgements(spans))
    kept = {(s.asset_id, s.sensor_id): s.values[:, 0].tolist() for s in data.streams}
    assert kept == {("A", "S"): [8], ("A", "T"): [0, 1, 8], ("B", "S"): [0, 1, 8, 9]}


def test_nothing_left_says_why():
    with pytest.raises(DatasetError, match="10 of expected behaviour"):
        trained(Span("expected", 0, 9))
