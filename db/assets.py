"""``python -m db.assets``: which asset matters how much."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, text

from schemas import Criticality

DEFAULT: Criticality = "medium"

_CRITICALITIES = text("""
    SELECT asset_id, criticality FROM assets WHERE asset_id = ANY(CAST(:ids AS text[]))
""")


def asset_criticalities(
    connection: Connection, asset_ids: Collection[str]
) -> dict[str, Criticality]:
    """Criticality of each of these assets; ``medium`` where the table does not know it."""
    found: dict[str, Criticality] = dict.fromkeys(asset_ids, DEFAULT)
    if found:
        rows = connection.execute(_CRITICALITIES, {"ids": list(found)})
        found.update({row.asset_id: row.criticality for row in rows})
    return found
