"""Settings of the bridge."""

from __future__ import annotations

from pydantic import Field

from config.section import MAX_DAYS, MAX_S, MAX_WAIT_MS, MAX_WAIT_S, Section


class BridgeSettings(Section):
    """Batches, memory, time limits, and the pause on rejections, of the bridge."""

    bridge_lanes: int = Field(4, ge=1, le=64)
    """number of worker threads, and so of batches in flight; each works on other partitions"""
    bridge_batch_max: int = Field(2000, ge=1, le=50_000)
    """maximum number of records in a batch"""
    bridge_batch_age_ms: float = Field(10, ge=0, le=MAX_WAIT_MS)
    """a batch starts when its oldest record has waited this long"""
    bridge_batch_seconds: float = Field(4, gt=0, le=MAX_WAIT_S)
    """batches that take longer are followed by smaller ones"""
    bridge_buffer_mb: float = Field(64, gt=0)
    """memory for records that are fetched and not yet stored"""
    bridge_unreadable_tries: int = Field(10, ge=1)
    """fetches of a damaged record before it becomes a dead letter"""
    bridge_streams_mb: float = Field(640, gt=0)
    """memory for cached streams of all partitions; other streams are read from the database
    again"""
    bridge_outbox_days: float = Field(7, gt=0, le=MAX_DAYS)
    """messages that their topic rejects are given up after this time"""
    bridge_score_timeout_s: float = Field(60, gt=0, le=MAX_WAIT_S)
    """maximum time for an answer of the service"""
    bridge_revoke_s: float = Field(5, gt=0, le=MAX_WAIT_S)
    """time to finish batches when partitions are revoked"""
    bridge_stop_s: float = Field(20, gt=0, le=MAX_WAIT_S)
    """time to finish batches after SIGTERM"""
    bridge_future_s: float = Field(3600, ge=0, le=MAX_S)
    """a reading may be this far ahead of its record's time (over REST: of now)"""
    bridge_silent_s: float = Field(3600, gt=0, le=MAX_S)
    """a stream without readings for this long counts as silent"""
    bridge_metrics_port: int | None = Field(None, ge=0, le=65535)
    """port of the bridge's Prometheus endpoint; unset: none"""
    refusal_pause: bool = True
    """pause if the service rejects nearly all streams, because the configuration is then wrong"""
    refusal_window: int = Field(1000, ge=1)
    """newest records of each partition that decide about the pause"""
    refusal_share: float = Field(0.95, gt=0, le=1)
    """share of rejected streams that causes the pause"""
    refusal_retry_s: float = Field(300, gt=0, le=MAX_WAIT_S)
    """interval of retries during the pause"""
