"""Show one asset: its streams over time, incidents and windows, criticality, a reset."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from db.assets import get_asset, set_assets
from db.queries.dead_letters import refused_lately
from db.queries.fleet import asset_streams
from db.queries.history import HistoryFilter, history
from db.queries.incidents import IncidentFilter, incident_page, incident_readings
from db.queries.schedules import request_reset, windows
from errors import InputError
from schemas import REPEATED_HOUR_S, check_name, moved
from serving.http.bodies import read_query
from serving.http.paths import path_asset
from serving.http.schedule_handlers import RECENT
from serving.page.forms import Form
from serving.page.pages import Messages, given_query
from serving.page.series import series
from serving.page.views.maintenance_views import concerns
from serving.page.views.screen import Screen
from serving.requests.incident_bodies import AssetBody, read_span
from serving.requests.suppression_bodies import StreamReset
from serving.requests.wire import convert

INCIDENTS: Final = 50  # newest ones listed
READINGS: Final = 5000  # drawn at most; the page says if there are more
#: Default span, before the stream's last reading.
SPAN: Final = timedelta(hours=24)
#: Maximum features in the chart and in the table of readings.
FEATURES: Final = 8


class AssetViews(Screen):
    """Show and change an asset."""

    async def show(self, request: Request, messages: Messages = ()) -> Response:
        """Show an asset."""
        asset, query = _named(request), given_query(request)
        # an empty sensor is chosen as well: the stream without one
        picked = {k: v for k, v in read_query(request).items() if k in ("sensor_id", "feature")}
        found = await self.database.run(_asset, asset, query, picked)
        return await self.pages.show(request, "asset.html", messages=messages, query=query, **found)

    async def act(self, request: Request) -> Response:
        """Set the criticality, or reset the streams."""
        asset = _named(request)
        messages = await self.forms.attempt(
            request, lambda form: self.database.run(_act, asset, form)
        )
        return await self.show(request, messages)


def _named(request: Request) -> str:
    """Return the asset of a request; see :func:`serving.page.pages.asset_address`."""
    if request.path_params:
        return path_asset(request, "/assets/")
    return check_name(read_query(request).get("asset_id", ""), "asset_id")


def _asset(
    connection: Connection, asset: str, query: dict[str, str], picked: dict[str, str]
) -> dict[str, Any]:
    streams = asset_streams(connection, asset) or _journalled(connection, asset)
    chosen = _chosen(streams, picked)
    now = datetime.now(UTC)
    listed, following = incident_page(connection, IncidentFilter(asset_id=asset), limit=INCIDENTS)
    found: dict[str, Any] = {
        "asset": get_asset(connection, asset),
        "streams": streams,
        "refused": refused_lately(connection, asset),
        "chosen": chosen,
        "windows": [row for row in windows(connection, now - RECENT) if concerns(row, asset)],
        "incidents": listed,
        "more": following is not None,
        "series": None,
        "problem": None,
        "truncated": False,
        "behind_s": _behind(chosen),
    }
    if chosen is not None:
        try:
            given = {k: v for k, v in query.items() if k in ("start_date", "end_date")}
            start, end, _ = read_span(given)
        except InputError as error:
            return {**found, "problem": error.message}
        end = end or (moved(start, SPAN) if start else chosen["last_at"] or now)
        wanted = {"asset_id": asset, **chosen, "started_at": end, "cleared_at": end}
        readings = incident_readings(
            connection, wanted, start=start or moved(end, -SPAN), end=end, limit=READINGS
        )
        names = list(dict.fromkeys(name for one in readings[-1:] for name in one["features"]))
        drawn = series(readings, names[:FEATURES])
        shade = [
            [one["started_at"].timestamp(), (one["cleared_at"] or end).timestamp()]
            for one in found["incidents"]
            if (one["sensor_id"], one["feature"]) == (chosen["sensor_id"], chosen["feature"])
        ]
        found |= {"series": {**drawn, "shade": shade}, "truncated": len(readings) == READINGS}
    return found


def _journalled(connection: Connection, asset: str) -> list[dict[str, Any]]:
    """Return the stream of the newest journalled reading of an asset unknown to the bridge."""
    rows = history(connection, HistoryFilter(asset_id=asset, is_anomaly=None), limit=1).rows
    return [
        {"sensor_id": row["sensor_id"], "feature": row["feature"], "last_at": row["timestamp"],
         "stored_at": row["created_at"], "bundle_version": row["bundle_version"]}
        for row in rows
    ]  # fmt: skip


def _chosen(streams: list[dict[str, Any]], picked: dict[str, str]) -> dict[str, Any] | None:
    """Return the requested stream, else the most recently active one."""
    if picked:
        wanted = picked.get("sensor_id") or None, picked.get("feature") or None
        return next((s for s in streams if (s["sensor_id"], s["feature"]) == wanted), None)
    timed = [one for one in streams if one["last_at"] is not None]
    return max(timed, key=lambda one: one["last_at"], default=None)


def _behind(stream: dict[str, Any] | None) -> float | None:
    """Return how long after its time a stream's newest reading was stored, if that is long."""
    if stream is None or stream["last_at"] is None or stream["stored_at"] is None:
        return None
    behind = (stream["stored_at"] - stream["last_at"]).total_seconds()
    return float(behind) if behind > REPEATED_HOUR_S else None


def _act(connection: Connection, asset: str, form: Form) -> str:
    why = form.text("why")
    if form.text("do") == "reset":
        given = {"sensor_id": form.exact("sensor_id"), "reason": why}
        reset = convert(StreamReset, given)
        request_reset(connection, asset, reset.sensor_id, form.who, reset.reason, form.once)
        return "Its streams restart with their next reading"
    body = convert(AssetBody, {"criticality": form.text("criticality"), "why": why})
    set_assets(connection, {asset: body.criticality}, form.who, body.why)
    return f"Its criticality is {body.criticality}"
