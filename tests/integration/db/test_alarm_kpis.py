"""Alarm KPIs against counts by hand, on a real PostgreSQL, and their pace on 100,000 openings."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Connection, text

from db.alarm_kpis import ACCEPTABLE, EXCEEDED, MANAGEABLE, alarm_kpis
from db.queries.alarm_load import top
from tests.fixtures.settings import SETTINGS, given

START = datetime(2026, 1, 1, tzinfo=UTC)
END = START + timedelta(days=10)


def opening(
    connection: Connection, minute: float, asset: str = "A", severity: str = "low", *,
    cleared: float | None = 0.0, joined: tuple[float, ...] = (),
) -> None:  # fmt: skip
    """An incident that opened at a minute, cleared so much later (None: not), and came back."""
    at, one = START + timedelta(minutes=minute), uuid4()
    over = None if cleared is None else at + timedelta(minutes=cleared)
    connection.execute(
        text("""
            INSERT INTO incidents (id, version, revision, asset_id, sensor_id, group_name, kind,
                severity, opened_at, started_at, last_activity_at, cleared_at, readings, anomalies,
                peak, recent, event_id)
            VALUES (:id, 1, 1, :asset, 'S', 'g', 'anomaly', :severity, :at, :at, :at, :over, 1, 1,
                '{}', '[]', :id)
        """),
        {"id": one, "asset": asset, "severity": severity, "at": at, "over": over},
    )
    log = text("""
        INSERT INTO incident_log (incident_id, occurred_at, version, who, what, before, after)
        VALUES (:id, :at, 1, 'system', :what, CAST(:before AS jsonb),
                jsonb_build_object('severity', CAST(:severity AS text)))
    """)
    entry = {"id": one, "severity": severity, "before": "{}"}
    connection.execute(log, {**entry, "at": at, "what": "opened"})
    for back in joined:
        again = {"at": at + timedelta(minutes=back), "what": "joined"}
        connection.execute(log, {**entry, **again, "before": '{"cleared_at": "2026-01-01T00:00Z"}'})


def figures(connection: Connection, end: datetime = END, **options: Any) -> dict[str, Any]:
    found: dict[str, Any] = alarm_kpis(connection, START, end, given(**options))["figures"]
    return found


def test_without_alarms_nothing_is_exceeded_and_shares_have_no_verdict(
    connection: Connection,
) -> None:
    found = figures(connection)
    assert {name for name, one in found.items() if one["verdict"] is None} == {
        "top_ten_share", "share_low", "share_medium", "share_high_critical",
    }  # fmt: skip
    assert {one["verdict"] for one in found.values()} == {ACCEPTABLE, None}


def test_the_load_is_shared_by_the_operators(connection: Connection) -> None:
    for minute in range(0, 14_400, 6):  # 240 a day
        opening(connection, minute, f"A{minute % 500}")
    one = figures(connection)
    two = figures(connection, operator_positions=2)
    for name, value in (("per_day", 240.0), ("per_hour", 10.0), ("per_10_minutes", 10 / 6)):
        assert one[name]["value"] == pytest.approx(value)
        assert one[name]["verdict"] == MANAGEABLE
        assert two[name]["value"] == pytest.approx(value / 2)
        assert two[name]["verdict"] == ACCEPTABLE


def first_reading(connection: Connection, at: datetime) -> None:
    connection.execute(
        text("""
            INSERT INTO anomaly_detections (id, asset_id, timestamp, final_score, threshold,
                is_anomaly, criticality, scores, features, metadata)
            VALUES (gen_random_uuid(), 'A', :at, 0, 0.5, false, 'low', '[]', '{}', '{}')
        """),
        {"at": at},
    )


def test_rates_count_from_the_first_reading_of_a_plant_that_is_younger_than_the_period(
    connection: Connection,
) -> None:
    for hour in range(24):
        opening(connection, 9 * 1440 + 60 * hour)
    assert figures(connection)["per_day"]["value"] == pytest.approx(2.4)  # its age is unknown
    first_reading(connection, START + timedelta(days=9))
    found = alarm_kpis(connection, START, END, SETTINGS)
    assert (found["start"], found["counted_from"]) == (START, START + timedelta(days=9))
    assert found["figures"]["per_day"]["value"] == pytest.approx(24)
    assert found["figures"]["per_hour"]["value"] == pytest.approx(1)


def test_alarms_from_before_the_oldest_kept_reading_are_not_crowded_into_a_shorter_time(
    connection: Connection,
) -> None:
    opening(connection, 0)
    opening(connection, 5 * 1440)
    first_reading(connection, START + timedelta(days=9))
    assert figures(connection)["per_day"]["value"] == pytest.approx(0.2)
    first_reading(connection, START - timedelta(days=100))
    assert figures(connection)["per_day"]["value"] == pytest.approx(0.2)


def test_a_period_before_the_first_reading_is_not_said_to_begin_with_it(
    connection: Connection,
) -> None:
    first_reading(connection, END + timedelta(days=1))
    assert alarm_kpis(connection, START, END, SETTINGS)["counted_from"] == START


@pytest.mark.parametrize(("many", "floods"), [(10, 0), (11, 1)])
def test_a_flood_begins_with_more_than_ten_in_ten_minutes_however_they_lie(
    connection: Connection, many: int, floods: int
) -> None:
    for k in range(many):  # across a round ten minutes
        opening(connection, 27 + k * 0.9, f"A{k}")
    found = alarm_kpis(connection, START, END, SETTINGS)
    assert (found["floods"], found["figures"]["peak_10_minutes"]["value"]) == (floods, many)


def test_a_flood_lasts_until_fewer_than_five(connection: Connection) -> None:
    for k in range(11):  # at 0, 30 s .. 5 min
        opening(connection, k / 2)
    # the 11th comes at 5:00; the 7th of them leaves at 13:00, when 4 are left
    found = alarm_kpis(connection, START, END, SETTINGS)
    assert found["flood_s"] == pytest.approx(8 * 60)
    assert found["figures"]["flood_share"]["value"] == pytest.approx(480 / 864_000)
    for k in range(30):  # one each 2 minutes: five in ten minutes keep it going
        opening(connection, 7 + 2 * k)
    longer = alarm_kpis(connection, START, END, SETTINGS)
    assert longer["floods"] == 1
    # the last at 65 min; with the second last but four gone at 67 min there are 4
    assert longer["flood_s"] == pytest.approx((67 - 5) * 60)
    assert figures(connection, operator_positions=2)["flood_share"]["value"] == 0.0
    cut = alarm_kpis(connection, START, START + timedelta(minutes=15), SETTINGS)
    assert cut["flood_s"] == pytest.approx(600)
    assert cut["figures"]["flood_share"]["verdict"] == EXCEEDED


def test_chattering_counts_returns_within_the_span(connection: Connection) -> None:
    opening(connection, 10, "often", joined=(15.0, 30.0))
    opening(connection, 10, "seldom", joined=(15.0, 600.0))
    for minute in (100, 110, 120, 130):
        opening(connection, minute, "again")
    found = top(connection, "chattering", START, END, 10, SETTINGS)
    assert [(one["asset_id"], one["times"], one["streams"]) for one in found] == [
        ("again", 2, 2), ("often", 1, 2),
    ]  # fmt: skip
    assert figures(connection)["chattering"] == {
        "what": "streams that chatter", "value": 2.0, "acceptable": 0, "maximum": 0,
        "verdict": EXCEEDED,
    }  # fmt: skip
    assert figures(connection, chatter_openings=5)["chattering"]["value"] == 0
    assert figures(connection, chatter_span_s=60)["chattering"]["value"] == 0


def test_standing_is_the_most_at_one_time(connection: Connection) -> None:
    day = 1440.0
    for k in range(4):
        opening(connection, 0, f"gone{k}", cleared=2 * day)
    opening(connection, 0, "short", cleared=day)  # just not over 24 hours
    opening(connection, 3 * day, "open", cleared=None)
    opening(connection, 9.5 * day, "young", cleared=None)
    assert figures(connection)["standing"]["value"] == 4
    opening(connection, 0.5 * day, "fifth", cleared=None)
    found = figures(connection)["standing"]
    assert (found["value"], found["verdict"]) == (5, EXCEEDED)
    assert figures(connection, end=START + timedelta(days=1.2))["standing"]["value"] == 4
    later = top(connection, "standing", START + timedelta(days=5), END, 10, SETTINGS)
    assert [one["asset_id"] for one in later] == ["fifth", "open"]


def test_top_ten_and_shares_of_severity(connection: Connection) -> None:
    for k, severity in enumerate(["low"] * 79 + ["medium"] * 15 + ["high"] * 5 + ["critical"]):
        opening(connection, 20 * k, "bad" if k < 6 else f"A{k}", severity)
    found = figures(connection)
    assert (found["top_ten_share"]["value"], found["top_ten_share"]["verdict"]) == (0.06, EXCEEDED)
    assert [found[f"share_{name}"]["value"] for name in ("low", "medium", "high_critical")] == [
        0.79, 0.15, pytest.approx(0.06),
    ]  # fmt: skip
    assert [found[f"share_{name}"]["verdict"] for name in ("low", "medium", "high_critical")] == [
        EXCEEDED, ACCEPTABLE, EXCEEDED,
    ]  # fmt: skip
    assert [one["alarms"] for one in top(connection, "count", START, END, 2, SETTINGS)] == [6, 1]
    # what opened before and after is none of the period's
    opening(connection, -1)
    opening(connection, 14_400)
    assert alarm_kpis(connection, START, END, SETTINGS)["alarms"] == 100


def test_floods_equal_a_count_minute_by_minute(connection: Connection) -> None:
    draw = random.Random(3)
    seconds = sorted(draw.randrange(0, 86_400) for _ in range(700))
    seconds += sorted(40_000 + draw.randrange(0, 1200) for _ in range(40))
    for second in seconds:
        opening(connection, second / 60, f"A{second % 50}")
    flood, lasted, floods, peak = False, 0, 0, 0
    for second in range(86_400):
        n = sum(second - 600 < one <= second for one in seconds)
        peak = max(peak, n)
        begins = not flood and n > 10
        floods += begins
        flood = (flood or begins) and n >= 5
        lasted += flood
    found = alarm_kpis(connection, START, START + timedelta(days=1), SETTINGS)
    assert (found["floods"], found["flood_s"]) == (floods, lasted)
    assert found["figures"]["peak_10_minutes"]["value"] == peak
    assert floods > 1


def test_a_hundred_thousand_openings_are_quick(connection: Connection) -> None:
    connection.execute(
        text("""
            INSERT INTO incidents (id, version, revision, asset_id, sensor_id, group_name, kind,
                severity, opened_at, started_at, last_activity_at, cleared_at, readings, anomalies,
                peak, recent, event_id)
            SELECT md5(n::text)::uuid, 1, 1, 'A' || n % 1000, 'S', 'g', 'anomaly', 'low', at, at,
                at, at + interval '1 hour' * (n % 30), 1, 1, '{}', '[]', md5(n::text)::uuid
            FROM generate_series(1, 100000) n, LATERAL (
                SELECT CAST(:start AS timestamptz) + n * interval '25 seconds' AS at) t
        """),
        {"start": START},
    )
    connection.execute(text("""
        INSERT INTO incident_log (incident_id, occurred_at, version, who, what, before, after)
        SELECT id, opened_at, 1, 'system', 'opened', '{}', '{"severity": "low"}' FROM incidents
    """))  # fmt: skip
    connection.execute(text("ANALYZE incidents"))
    connection.execute(text("ANALYZE incident_log"))
    end, took = START + timedelta(days=30), []
    for _ in range(3):
        began = time.perf_counter()
        found = alarm_kpis(connection, START, end, SETTINGS)
        took.append(time.perf_counter() - began)
    assert found["alarms"] == 100_000
    print(f"KPIs over 100,000 openings: {min(took):.2f} s")
    assert min(took) < 3.0
