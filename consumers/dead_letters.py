"""Dead letters out of the database, for sending them again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, text

from db.repository import decode_headers
from db.session import transaction

PAGE = 500
Letter = tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]], int | None]

_CHOSEN = text("""
    SELECT created_at, id, key, value, headers, kafka_timestamp FROM dead_letters
    WHERE topic = :topic
      AND CASE WHEN CAST(:reason AS text) IS NULL THEN reason <> 'duplicate'
               ELSE reason = :reason END
      AND (CAST(:asset_id AS text) IS NULL OR asset_id = :asset_id)
      AND (CAST(:since AS timestamptz) IS NULL OR created_at >= :since)
      AND created_at < COALESCE(CAST(:until AS timestamptz), now())
      AND (CAST(:after_id AS uuid) IS NULL OR (created_at, id) > (:after_time, :after_id))
    ORDER BY created_at, id LIMIT :limit
""")


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which dead letters; None: any. Duplicates only when asked for by their reason."""

    topic: str
    reason: str | None = None
    asset_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


def dead_letters(engine: Engine, chosen: Chosen, limit: int | None = None) -> Iterator[Letter]:
    """Key, value, headers and time stamp of each, oldest first, page by page.

    Those put aside while this runs are not among them, so what fails again is not sent again.
    """
    values: dict[str, Any] = {
        "topic": chosen.topic,
        "reason": chosen.reason,
        "asset_id": chosen.asset_id,
        "since": chosen.since,
        "until": chosen.until,
        "after_time": None,
        "after_id": None,
    }
    if chosen.until is None:
        with transaction(engine) as connection:
            values["until"] = connection.execute(text("SELECT now()")).scalar_one()
    left = limit
    while left is None or left > 0:
        size = PAGE if left is None else min(PAGE, left)
        with transaction(engine) as connection:
            rows = list(connection.execute(_CHOSEN, {**values, "limit": size}))
        for row in rows:
            stamp = row.kafka_timestamp
            yield (
                None if row.key is None else bytes(row.key),
                None if row.value is None else bytes(row.value),
                decode_headers(row.headers),
                None if stamp is None else round(stamp.timestamp() * 1000),
            )
        if len(rows) < size:
            return
        values["after_time"], values["after_id"] = rows[-1].created_at, rows[-1].id
        left = None if left is None else left - len(rows)
