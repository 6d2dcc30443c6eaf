"""Store many rows by one COPY: detections, dead letters, outbox. Rows are dicts keyed by column.

COPY stores 20,000 rows per second and more, multi-row INSERT 5,000. The classes of ``db.tables``
define the columns once; a test inserts both ways and compares.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import cache, lru_cache
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel.sql.sqltypes import UTCDateTime

from db.encoding import clean_text, dump_json
from db.tables import AnomalyDetection, DeadLetter, OutboxRow
from errors import InputError

#: Namespace of the ids of source records. It must never change, or records would get other ids.
NAMESPACE = UUID("6f1f3c57-3f0e-5d1c-9d6b-5a2f4b7c9e10")

Row = Mapping[str, Any]
Encoder = Callable[[Any], str]

#: Bytes that bytea or COPY does not accept unescaped. Searching each by memchr is 20 times as fast
#: as a regex.
_UNPLAIN = (b"\\", b"\t", b"\n", b"\r", b"\0")
_SPECIAL = re.compile(r"[\\\t\n\r]")
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def detection_id(topic_id: UUID, partition: int, offset: int) -> UUID:
    """Return the id of a source record's row, which is always the same for the same record.

    Parameters
    ----------
    topic_id : UUID
        The topic's id in Kafka, which differs for a recreated topic.
    partition, offset : int
        The record's.
    """
    # equals uuid5(NAMESPACE, f"{topic_id}/{partition}/{offset}"); the hash of the prefix is cached
    digest = _partition_hash(topic_id, partition).copy()
    digest.update(b"%d" % offset)
    return UUID(bytes=digest.digest()[:16], version=5)


@lru_cache(4096)
def _partition_hash(topic_id: UUID, partition: int) -> Any:
    front = f"{topic_id}/{partition}/".encode()
    return hashlib.sha1(NAMESPACE.bytes + front, usedforsecurity=False)


def insert_detections(connection: sa.Connection, rows: Iterable[Row]) -> int:
    """Store scored readings; missing columns are NULL, ``created_at`` is the server's time.

    Parameters
    ----------
    connection : Connection
    rows : iterable of dict
        Keys are the columns of ``anomaly_detections`` (``metadata`` for the jsonb of that name).

    Returns
    -------
    int
        Number of rows stored.

    Raises
    ------
    InputError
        ``unprocessable``: a value does not fit its column (named in the message).
    """
    return _copy(connection, AnomalyDetection, rows)


def insert_dead_letters(connection: sa.Connection, rows: Iterable[Row]) -> int:
    """Store records that could not be scored. ``id`` is :func:`detection_id` of the record.

    ``headers`` comes from :func:`db.encoding.encode_headers`. Names are cut to 255 characters.
    """
    return _copy(connection, DeadLetter, (_fit(row) for row in rows))


def add_outbox(connection: sa.Connection, rows: Iterable[Row]) -> int:
    """Add messages: ``topic_id, partition, target_topic, key, value, headers``."""
    return _copy(connection, OutboxRow, rows)


def _fit(row: Row) -> Row:
    # An index entry has a size limit, and too long a name may be the reason for the dead letter.
    names = {name: row[name][:255] for name in ("asset_id", "sensor_id") if row.get(name)}
    return {"message": "", **row, **names}


@cache
def encoders(model: type) -> dict[str, Encoder]:
    """Return, by column of a table class, the function that encodes a value for COPY."""
    table: sa.Table = model.__table__  # type: ignore[attr-defined]
    return {
        column.name: _encoder(column)
        for column in table.columns
        if column.computed is None and column.identity is None and column.name != "created_at"
    }


def _encoder(column: sa.Column[Any]) -> Encoder:
    if column.name == "topic_id":
        return _topic
    return next((encode for kind, encode in _ENCODERS if isinstance(column.type, kind)), _text)


def _escape(value: str) -> str:
    return value.translate(_ESCAPES) if _SPECIAL.search(value) else value


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else str(value)
    if not text.isascii() or "\x00" in text:
        text = clean_text(text)
    return _escape(text)


def _json(value: Any) -> str:
    # JSON text has no raw control characters, so COPY needs only backslashes escaped.
    out = dump_json(value)
    return out.replace("\\", "\\\\") if "\\" in out else out


_topic = lru_cache(4096)(str)


def _binary(value: Any) -> str:
    # bytea accepts plain ASCII, in half the length and time of hex; a backslash is special
    content = bytes(value)
    if content.isascii() and not any(one in content for one in _UNPLAIN):
        return content.decode()
    return "\\\\x" + content.hex()


def _time(value: Any) -> str:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("a time without an offset")
        return value.isoformat()
    return _escape(str(value))


#: Encoder by type of column; other types are written as text.
_ENCODERS: tuple[tuple[type, Encoder], ...] = (
    (JSONB, _json),
    (sa.Boolean, lambda value: "t" if value else "f"),
    (sa.Float, lambda value: repr(float(value))),
    (sa.Integer, lambda value: str(int(value))),
    (sa.LargeBinary, _binary),
    (sa.Uuid, str),
    (UTCDateTime, _time),
)


def _line(columns: Mapping[str, Encoder], row: Row) -> str:
    get = row.get
    parts = [
        "\\N" if (value := get(name)) is None else encode(value) for name, encode in columns.items()
    ]
    return "\t".join(parts)


def _copy(connection: sa.Connection, model: type, rows: Iterable[Row]) -> int:
    columns = encoders(model)
    lines: list[str] = []
    for row in rows:
        try:
            lines.append(_line(columns, row))
        except (TypeError, ValueError, OverflowError, AttributeError) as error:
            raise _unfit(columns, row, error) from error
    if not lines:
        return 0
    data = io.BytesIO(("\n".join(lines) + "\n").encode())
    names = ", ".join(columns)
    table = model.__tablename__  # type: ignore[attr-defined]
    raw = connection.connection.cursor()
    try:
        # Names come from the table classes, never from data.
        raw.copy_expert(f"COPY {table} ({names}) FROM STDIN", data, 1 << 18)
    finally:
        raw.close()
    return len(lines)


def _unfit(columns: Mapping[str, Encoder], row: Row, error: Exception) -> InputError:
    """Find the invalid column after an error."""
    for name, encode in columns.items():
        try:
            if row.get(name) is not None:
                encode(row[name])
        except (TypeError, ValueError, OverflowError, AttributeError):
            where = f"{row.get('topic_id')}/{row.get('partition')}/{row.get('source_offset')}"
            return InputError(
                f"column {name} of record {where}: {error}", code="unprocessable", field=name
            )
    return InputError(f"row cannot be stored: {error}", code="unprocessable")
