"""The base class of all sections of settings, and the bounds of their durations."""

from __future__ import annotations

from pydantic import ValidationInfo, field_validator
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

    @field_validator("*", mode="before")
    @classmethod
    def _without_what_surrounds_it(cls, value: object, info: ValidationInfo) -> object:
        """Return a text without the blanks around it; refuse one in quotes.

        No setting but a password begins or ends with either: they come from a secret's file that
        ends with a line break, or from an env file whose reader keeps quotes, as Docker does.
        """
        if not isinstance(value, str) or "password" in (info.field_name or ""):
            return value
        value = value.strip()
        if value[:1] in ("'", '"') and value[:1] == value[-1:]:
            raise ValueError("must not be in quotes; some readers of env files keep them")
        return value
