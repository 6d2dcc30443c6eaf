"""Dead letters out of the database, for sending them again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from sqlalchemy import Engine

from db.queries.dead_letters import DeadLetterFilter, database_now, dead_letter_page
from db.session import transaction

PAGE = 500
Letter = tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]], int | None]


def dead_letters(
    engine: Engine, chosen: DeadLetterFilter, limit: int | None = None
) -> Iterator[Letter]:
    """Key, value, headers and time stamp (ms) of each, oldest first, page by page.

    Those put aside while this runs are not among them, so what fails again is not sent again.
    """
    if chosen.until is None:
        with transaction(engine) as connection:
            chosen = replace(chosen, until=database_now(connection))
    left, after = limit, None
    while left is None or left > 0:
        size = PAGE if left is None else min(PAGE, left)
        with transaction(engine) as connection:
            page = dead_letter_page(connection, chosen, limit=size, after=after)
        for letter in page:
            stamp = letter.kafka_timestamp
            at = None if stamp is None else round(stamp.timestamp() * 1000)
            yield letter.key, letter.value, letter.headers, at
        if len(page) < size:
            return
        after = page[-1].cursor
        left = None if left is None else left - len(page)
