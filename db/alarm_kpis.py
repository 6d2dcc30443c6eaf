"""Compute alarm KPIs, each with its limits and a verdict.

The limits are those of ISA-18.2 (IEC 62682) and EEMUA 191 as commonly quoted, per operator.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection

from config import Settings
from db.queries.alarm_load import TEN_MINUTES, alarm_load, counted_from
from schemas import SEVERITIES

SOURCES: Final = (
    "ANSI/ISA-18.2 (IEC 62682), as commonly quoted: alarms per operator and day, hour and ten"
    " minutes, floods, top ten, chattering, stale alarms, shares of priorities",
    "EEMUA 191, as commonly quoted: at most 10 alarms in ten minutes",
)
ACCEPTABLE: Final = "acceptable"
MANAGEABLE: Final = "manageable"
EXCEEDED: Final = "exceeded"
#: Figure -> description, acceptable and manageable maximum.
LIMITS: Final[dict[str, tuple[str, float, float]]] = {
    "per_day": ("alarms per operator and day", 150, 300),
    "per_hour": ("alarms per operator and hour", 6, 12),
    "per_10_minutes": ("alarms per operator in ten minutes", 1, 2),
    "peak_10_minutes": ("most alarms per operator in any ten minutes", 10, 10),
    "flood_share": ("share of the time in flood: under 1 %", 0.01, 0.01),
    "top_ten_share": ("largest share of the alarms that one stream of the top ten has", 0.01, 0.05),
    "chattering": ("streams that chatter", 0, 0),
    "standing": ("most alarms that stood over 24 h at one time: under 5", 4, 4),
    "share_low": ("share of the alarms of severity low: at least", 0.80, 0.80),
    "share_medium": ("share of the alarms of severity medium", 0.15, 0.15),
    "share_high_critical": ("share of the alarms of severity high or critical", 0.05, 0.05),
}
_AT_LEAST: Final = ("share_low",)
_LESS_THAN: Final = ("flood_share",)


def alarm_kpis(
    connection: Connection, start: datetime, end: datetime, settings: Settings
) -> dict[str, Any]:
    """Return the figures of ``start <= t < end``, each with its limits and a verdict.

    Rates count from the plant's first reading on, if it is later than ``start`` (``counted_from``).

    Parameters
    ----------
    connection : Connection
    start, end : datetime
    settings : Settings
        The number of operators, and when a stream chatters.
    """
    load, positions = alarm_load(connection, start, end, settings), settings.operator_positions
    since = counted_from(connection, start, end)
    values = _values(load, (end - since).total_seconds(), positions)
    top = [{**one, "share": one["alarms"] / load["alarms"]} for one in load["top"]]
    return {
        "start": start,
        "end": end,
        "counted_from": since,
        "operator_positions": positions,
        **{name: load[name] for name in ("alarms", "severities", "floods", "flood_s")},
        "figures": {name: _figure(name, values[name]) for name in LIMITS},
        "top_ten": top,
        "sources": SOURCES,
    }


def _values(load: dict[str, Any], seconds: float, positions: int) -> dict[str, float | None]:
    alarms = load["alarms"]
    each = alarms / positions / seconds  # alarms per operator and second
    shares = {
        name: load["severities"].get(name, 0) / alarms if alarms else None for name in SEVERITIES
    }
    high, critical = shares["high"], shares["critical"]
    return {
        "per_day": each * 86_400,
        "per_hour": each * 3600,
        "per_10_minutes": each * TEN_MINUTES.total_seconds(),
        "peak_10_minutes": load["peak"] / positions,
        "flood_share": load["flood_s"] / seconds,
        "top_ten_share": load["top"][0]["alarms"] / alarms if alarms else None,
        "chattering": float(load["chattering"]),
        "standing": float(load["standing"]),
        "share_low": shares["low"],
        "share_medium": shares["medium"],
        "share_high_critical": None if high is None or critical is None else high + critical,
    }


def _figure(name: str, value: float | None) -> dict[str, Any]:
    """Return a figure; without any alarm its shares are unknown and have no verdict."""
    what, acceptable, manageable = LIMITS[name]
    return {
        "what": what,
        "value": value,
        "acceptable": acceptable,
        "maximum": manageable,
        "verdict": None if value is None else _verdict(name, value, acceptable, manageable),
    }


def _verdict(name: str, value: float, acceptable: float, manageable: float) -> str:
    if name in _AT_LEAST:
        return ACCEPTABLE if value >= acceptable else EXCEEDED
    if name in _LESS_THAN:
        return ACCEPTABLE if value < acceptable else EXCEEDED
    if value <= acceptable:
        return ACCEPTABLE
    return MANAGEABLE if value <= manageable else EXCEEDED
