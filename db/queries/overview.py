"""Query the plant's status line, and the signing key of the page."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

#: Size of the key in bytes, equal to its digest's.
KEY_BYTES: Final = 32

_OVERVIEW = text("""
    SELECT now() AS now, current_setting('transaction_read_only') = 'on' AS read_only,
        (SELECT max(updated_at) FROM source_offsets WHERE next_offset IS NOT NULL) AS stored_at,
        (SELECT max(last_activity_at) FROM incidents) AS found_at,
        (SELECT count(*) FROM (
            SELECT 1 FROM incidents WHERE state = 'open-unacknowledged' LIMIT 1000) a) AS unseen,
        (SELECT count(*) FROM (
            SELECT 1 FROM incidents WHERE state = 'open-acknowledged' LIMIT 1000) b) AS seen,
        refused.many AS refused, refused.more AS refused_more, refused.newest AS refused_for
    FROM (
        SELECT count(*) FILTER (WHERE reason <> 'duplicate') AS many, count(*) = 1000 AS more,
            (array_agg(message ORDER BY created_at DESC) FILTER (WHERE reason <> 'duplicate'))[1]
            AS newest
        FROM (
            SELECT reason, concat_ws(': ', asset_id, left(message, 200)) AS message, created_at
            FROM dead_letters
            WHERE created_at > now() - interval '1 hour' ORDER BY created_at DESC LIMIT 1000
        ) dead
    ) refused
""")
#: Makes the server write about a megabyte beside its tables, and delete it again.
_SPILL = text("SELECT count(*) FROM generate_series(1, 30000)")
#: On the disk of the tables, since temporary files may have been given one of their own.
_BESIDE_THE_TABLES = text("SET LOCAL temp_tablespaces = ''; SET LOCAL work_mem = '64kB'")
_TEMP_FILE_LIMIT = "53400"
_ADD_KEY = text("INSERT INTO page_keys (id, key) VALUES (1, :key) ON CONFLICT (id) DO NOTHING")
_KEY = text("SELECT key FROM page_keys")


@dataclass(frozen=True, slots=True)
class Overview:
    """The database's time, the time of the last stored reading, and counts of open incidents.

    ``read_only`` tells that the database refuses changes, as a standby does. ``unseen`` counts
    open unacknowledged incidents, ``seen`` open acknowledged ones. ``refused`` counts the dead
    letters of the last hour without duplicates, but only the newest 1,000 are looked at
    (``refused_more``: there may be more), and ``refused_for`` is asset and message of the newest.
    """

    now: datetime
    read_only: bool
    stored_at: datetime | None
    found_at: datetime | None
    unseen: int
    seen: int
    refused: int
    refused_more: bool
    refused_for: str | None


def overview(connection: Connection) -> Overview:
    """Query the overview by five index reads."""
    return Overview(*connection.execute(_OVERVIEW).one())


def try_disk(connection: Connection) -> None:
    """Raise if the server's disk is full.

    Queries are answered from a full disk too, and so are changes that fit into known blocks.
    Therefore the server is made to spill to a temporary file; this changes no table and writes no
    log, so it also works on a standby.

    Raises
    ------
    OperationalError
    """
    connection.execute(_BESIDE_THE_TABLES)
    try:
        connection.execute(_SPILL)
    except OperationalError as error:
        # Then temp_file_limit is tiny, which says nothing about the disk.
        if getattr(error.orig, "pgcode", None) != _TEMP_FILE_LIMIT:
            raise


def page_key(connection: Connection) -> bytes:
    """Return the key that signs the page's cookies; create it at the first call."""
    key = connection.execute(_KEY).scalar()
    if key is None:  # only then is anything written: the database may be read-only
        connection.execute(_ADD_KEY, {"key": secrets.token_bytes(KEY_BYTES)})
        key = connection.execute(_KEY).scalar_one()
    return bytes(key)
