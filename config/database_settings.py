"""Settings of PostgreSQL."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, model_validator

from config.section import MAX_DAYS, MAX_WAIT_S, Section


class DatabaseSettings(Section):
    """Connection, pool, table partitions and retention of the database."""

    database_url: SecretStr | None = None
    """address of the database; takes precedence over DATABASE_HOST"""
    database_host: str | None = None
    """host of the server; if neither host nor URL is set, an embedded PostgreSQL is started"""
    database_port: int = Field(5432, ge=1, le=65535)
    """port of the server"""
    database_name: str = "predictive_maintenance"
    """name of the database"""
    database_user: str | None = None
    """required with DATABASE_HOST"""
    database_password: SecretStr | None = None
    """password of the user; never logged"""
    database_sslmode: (
        Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] | None
    ) = None
    """TLS mode of the connection; unset: as in the URL"""
    database_sslrootcert: Path | None = None
    """certificate of the CA that signed the server's certificate"""
    database_sslcert: Path | None = None
    """client certificate"""
    database_sslkey: Path | None = None
    """key of the client certificate"""
    database_pool_size: int = Field(5, ge=1)
    """connections that each process keeps open"""
    database_pool_overflow: int = Field(10, ge=0)
    """additional connections under load"""
    database_pool_timeout_s: float = Field(10, gt=0, le=MAX_WAIT_S)
    """maximum wait for a free connection of the pool"""
    database_pool_recycle_s: int = Field(1800, ge=1, le=MAX_WAIT_S)
    """connections are replaced after this age"""
    database_connect_timeout_s: int = Field(5, ge=1, le=MAX_WAIT_S)
    """maximum wait for a new connection"""
    database_statement_timeout_s: float = Field(60, gt=0, le=MAX_WAIT_S)
    """maximum duration of a statement"""
    database_idle_timeout_s: float = Field(20, gt=0, le=MAX_WAIT_S)
    """the server ends a transaction that is idle for this long, because its client hangs; the
    bridges end one that hangs while it sends rows"""
    database_partition: Literal["day", "month"] = "month"
    """time span of one partition of anomaly_detections"""
    database_partitions_ahead: int = Field(3, ge=1, le=60)
    """future partitions that are created in advance"""
    database_pooler: bool = False
    """PostgreSQL is reached through PgBouncer or a similar pooler (any pool_mode)"""
    retention_days: int = Field(0, ge=0, le=MAX_DAYS)
    """detections older than this are deleted; 0: never"""
    dead_letter_retention_days: int = Field(365, ge=0, le=MAX_DAYS)
    """dead letters older than this, or than RETENTION_DAYS if that is shorter, are deleted; 0: as
    RETENTION_DAYS"""
    state_retention_days: int = Field(365, ge=0, le=MAX_DAYS)
    """states of streams silent for this long are deleted; 0: never"""
    incident_retention_days: int = Field(0, ge=0, le=MAX_DAYS)
    """incidents without activity for this long are deleted, unless open; 0: never"""
    training_job_retention_days: int = Field(90, ge=0, le=MAX_DAYS)
    """jobs of POST /train older than this are deleted; 0: never"""

    @model_validator(mode="after")
    def _host_needs_user(self) -> DatabaseSettings:
        if self.database_url is None and self.database_host and not self.database_user:
            raise ValueError("DATABASE_HOST is set, so DATABASE_USER must be set too")
        return self
