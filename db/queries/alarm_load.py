"""Measure the alarm load from the incidents' log: counts, floods, chattering, standing alarms.

An alarm is the opening of an incident, at its readings' time. All is SQL on partial indices.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final, Literal

from sqlalchemy import Connection, TextClause, text

from config import Settings
from db.queries.rows import read_rows

TEN_MINUTES: Final = timedelta(minutes=10)
#: A flood begins with more than this many alarms in ten minutes, and ends with fewer than that.
FLOOD_BEGINS: Final = 10
FLOOD_ENDS: Final = 5

_SEVERITIES = text("""
    SELECT after ->> 'severity' AS severity, count(*) AS n FROM incident_log
    WHERE what = 'opened' AND occurred_at >= :start AND occurred_at < :end GROUP BY 1
""")
# The number of openings in the last ten minutes changes only when an incident opens, and again ten
# minutes later. A stretch with 5 to 10 continues the state before it.
_FLOODS = text("""
    WITH opened AS (
        SELECT occurred_at AS at FROM incident_log
        WHERE what = 'opened' AND occurred_at < :end
          AND occurred_at >= CAST(:start AS timestamptz) - interval '10 minutes'
    ), steps AS (
        SELECT at, sum(step) AS step FROM (
            SELECT at, 1 AS step FROM opened
            UNION ALL SELECT at + interval '10 minutes', -1 FROM opened
        ) s GROUP BY at
    ), loads AS (
        SELECT at, lead(at) OVER w AS until, sum(step) OVER w AS n
        FROM steps WINDOW w AS (ORDER BY at)
    ), marked AS (
        SELECT *, CASE WHEN n > :begins THEN 1 WHEN n < :ends THEN 0 END AS mark FROM loads
    ), grouped AS (
        SELECT *, count(mark) OVER (ORDER BY at) AS stretch FROM marked
    ), alarms AS (
        SELECT at, COALESCE(until, at) AS until, n, stretch,
               COALESCE(max(mark) OVER (PARTITION BY stretch), 0) AS flood FROM grouped
    ), seen AS (
        SELECT n, flood, flood > lag(flood, 1, 0) OVER (ORDER BY at) AS begins,
               LEAST(until, :end) - GREATEST(at, CAST(:start AS timestamptz)) AS lasts,
               until > :start AND at < :end AS within
        FROM alarms
    )
    SELECT COALESCE(max(n) FILTER (WHERE within), 0) AS peak,
           COALESCE(extract(epoch FROM sum(lasts) FILTER (WHERE within AND flood = 1)), 0)
               AS flood_s,
           count(*) FILTER (WHERE within AND flood = 1 AND begins) AS floods
    FROM seen
""")
_COUNT = text("""
    SELECT min(i.asset_id) AS asset_id, min(i.sensor_id) AS sensor_id,
           min(i.feature) AS feature, max(i.group_name) AS group_name, count(*) AS alarms,
           max(l.occurred_at) AS last_at
    FROM incident_log l JOIN incidents i ON i.id = l.incident_id
    WHERE l.what = 'opened' AND l.occurred_at >= :start AND l.occurred_at < :end
    GROUP BY i.stream_key ORDER BY alarms DESC, asset_id, sensor_id, feature LIMIT :limit
""")
# A stream also chatters if an event joins an incident that had cleared, although this is no new
# alarm for people.
_CHATTERING = text("""
    WITH active AS (
        SELECT l.occurred_at AS at, i.stream_key, i.asset_id, i.sensor_id, i.feature, i.group_name
        FROM incident_log l JOIN incidents i ON i.id = l.incident_id
        WHERE l.what = 'opened' AND l.occurred_at < :end
          AND l.occurred_at >= CAST(:start AS timestamptz) - make_interval(secs => :span_s)
        UNION ALL
        SELECT l.occurred_at, i.stream_key, i.asset_id, i.sensor_id, i.feature, i.group_name
        FROM incident_log l JOIN incidents i ON i.id = l.incident_id
        WHERE l.what = 'joined' AND l.before ->> 'cleared_at' IS NOT NULL AND l.occurred_at < :end
          AND l.occurred_at >= CAST(:start AS timestamptz) - make_interval(secs => :span_s)
    ), runs AS (
        SELECT *, lag(at, CAST(:openings AS integer) - 1)
            OVER (PARTITION BY stream_key ORDER BY at) AS first
        FROM active
    )
    SELECT min(asset_id) AS asset_id, min(sensor_id) AS sensor_id,
           min(feature) AS feature, max(group_name) AS group_name,
           count(*) FILTER (WHERE at - first <= make_interval(secs => :span_s)) AS times,
           count(*) AS openings, max(at) AS last_at, count(*) OVER () AS streams
    FROM runs WHERE at >= :start GROUP BY stream_key
    HAVING count(*) FILTER (WHERE at - first <= make_interval(secs => :span_s)) > 0
    ORDER BY times DESC, asset_id, sensor_id, feature LIMIT :limit
""")
_STANDING_ROWS: Final = """
    SELECT id, asset_id, sensor_id, feature, group_name, severity, state, opened_at, ends_at FROM (
        SELECT *, LEAST(cleared_at, closed_at, :end) AS ends_at FROM incidents
        WHERE cleared_at IS NULL
           OR (cleared_at - opened_at > interval '24 hours' AND cleared_at > :start)
    ) i
    WHERE ends_at > :start AND ends_at - opened_at > interval '24 hours'
"""
_STANDING = text(f"""
    {_STANDING_ROWS} ORDER BY opened_at, id LIMIT :limit
""")
_PEAK_STANDING = text(f"""
    SELECT COALESCE(max(n), 0) AS most FROM (
        SELECT sum(step) OVER (ORDER BY at) AS n FROM (
            SELECT at, sum(step) AS step FROM (
                SELECT GREATEST(opened_at + interval '24 hours', CAST(:start AS timestamptz)) AS at,
                       1 AS step FROM ({_STANDING_ROWS}) a
                UNION ALL SELECT ends_at, -1 FROM ({_STANDING_ROWS}) b WHERE ends_at < :end
            ) c GROUP BY at
        ) d
    ) e
""")  # noqa: S608 (constants)

# Incidents may be kept longer than readings. Without any reading the plant's age is unknown.
_COUNTED_FROM = text("""
    SELECT LEAST(min(d.timestamp), (
        SELECT min(occurred_at) FROM incident_log
        WHERE what = 'opened' AND occurred_at >= :start AND occurred_at < :end
    )) AS first
    FROM anomaly_detections d
    HAVING min(d.timestamp) IS NOT NULL
""")

Ranking = Literal["count", "chattering", "standing"]
_TOP: Final[dict[Ranking, TextClause]] = {
    "count": _COUNT,
    "chattering": _CHATTERING,
    "standing": _STANDING,
}


def openings(connection: Connection, start: datetime, end: datetime) -> dict[str, int]:
    """Count alarms by their severity when they opened.

    Parameters
    ----------
    connection : Connection
    start, end : datetime
        The period; ``end`` is excluded.
    """
    rows = connection.execute(_SEVERITIES, {"start": start, "end": end})
    return {row.severity: row.n for row in rows}


def counted_from(connection: Connection, start: datetime, end: datetime) -> datetime:
    """Return when the plant began to send, or ``start`` if it did not begin in the period.

    A rate over a period of which the plant has seen only the last day would be far too low.

    Parameters
    ----------
    connection : Connection
    start, end : datetime
        The period; ``end`` is excluded.
    """
    first = connection.execute(_COUNTED_FROM, {"start": start, "end": end}).scalar()
    return max(start, min(first, end - TEN_MINUTES)) if first and first < end else start


def alarm_load(
    connection: Connection, start: datetime, end: datetime, settings: Settings
) -> dict[str, Any]:
    """Measure the load of ``start <= t < end``; floods are measured per operator.

    Parameters
    ----------
    start, end : datetime
    settings : Settings
        The number of operators, and when a stream chatters.

    Returns
    -------
    dict
        ``severities``: alarms by their severity when they opened; ``alarms``: their number;
        ``peak``: the maximum in any ten minutes; ``floods``, ``flood_s``: number of floods and
        seconds in them; ``top``: the ten streams with the most alarms; ``chattering``: streams that
        chatter; ``standing``: maximum number of alarms that stood over 24 hours at one time.
    """
    positions = settings.operator_positions
    span = {"start": start, "end": end}
    bounds = {"begins": FLOOD_BEGINS * positions, "ends": FLOOD_ENDS * positions}
    floods = connection.execute(_FLOODS, {**span, **bounds}).one()
    chattering = top(connection, "chattering", start, end, 1, settings)
    severities = openings(connection, start, end)
    return {
        "alarms": sum(severities.values()),
        "severities": severities,
        "peak": int(floods.peak),
        "floods": floods.floods,
        "flood_s": float(floods.flood_s),
        "top": top(connection, "count", start, end, 10, settings),
        "chattering": chattering[0]["streams"] if chattering else 0,
        "standing": int(connection.execute(_PEAK_STANDING, span).scalar_one()),
    }


def top(
    connection: Connection,
    by: Ranking,
    start: datetime,
    end: datetime,
    limit: int,
    settings: Settings,
) -> list[dict[str, Any]]:
    """Return the streams or incidents that cause most of the load of a period.

    By ``count``: the streams with the most alarms, with their number. By ``chattering``: the
    streams that chatter, with the number of ``times`` (``streams`` counts all of them). By
    ``standing``: the incidents that stood for over 24 hours, the oldest first.

    Parameters
    ----------
    connection : Connection
    by : {"count", "chattering", "standing"}
    start, end : datetime
        The period; ``end`` is excluded.
    limit : int
        Maximum number of streams or incidents.
    settings : Settings
        When a stream chatters.
    """
    chatter = {"openings": settings.chatter_openings, "span_s": settings.chatter_span_s}
    values = {"start": start, "end": end, "limit": limit, **chatter}
    return read_rows(connection, _TOP[by], values)
