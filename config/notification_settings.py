"""Settings of the notifications."""

from __future__ import annotations

from pydantic import Field

from config.section import MAX_DAYS, Section


class NotificationSettings(Section):
    """Routes of the notifications, and how long they are tried and recorded."""

    notify_routes: str = ""
    """TOML file of the routes of notifications; empty: nobody is notified"""
    notify_wait_days: float = Field(7, gt=0, le=MAX_DAYS)
    """a notification that its receiver does not accept is given up after this time"""
    notify_retention_days: int = Field(90, ge=1, le=MAX_DAYS)
    """how long sent notifications are recorded"""
    notify_metrics_port: int | None = Field(None, ge=0, le=65535)
    """port of the sender's Prometheus endpoint; unset: none"""
