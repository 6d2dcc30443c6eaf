"""The base class of all sections of settings, and the bounds of their durations."""

from __future__ import annotations

from pydantic_settings import BaseSettings, SettingsConfigDict

#: A hundred years: times before now by more may lie outside the calendar.
MAX_DAYS = 36_500
MAX_S = MAX_DAYS * 86_400
#: Waits and timers, in seconds and milliseconds: beyond 24 days the milliseconds overflow 32 bits,
#: in which sockets, Kafka and PostgreSQL count them.
MAX_WAIT_S = 2_000_000
MAX_WAIT_MS = 2_000_000_000


class Section(BaseSettings):
    """Settings of one concern. The docstring below a field is its description in the documents."""

    model_config = SettingsConfigDict(
        env_file=".env", env_file_encoding="utf-8", extra="ignore", use_attribute_docstrings=True
    )
