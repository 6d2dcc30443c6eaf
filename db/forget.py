"""Replace a person's name by a pseudonym: ``python -m db.forget NAME``.

The name is replaced in all records of who changed incidents, maintenance, feedback and assets, and
in notes. The actions stay, and the pseudonym shows that they are of one person. It is random and
stored nowhere else, so nobody can restore the name: this cannot be undone. Remove the name from
API_KEYS too.
"""

from __future__ import annotations

import logging
import re
import secrets
import sys
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, text

from config import load_settings
from db.encoding import dump_json
from db.incident_lifecycle import SYSTEM
from db.incident_upkeep import allow_rewriting
from db.migrate import open_migrated
from db.queries.incident_rows import SHOWN, publish
from db.session import transaction
from errors import InputError
from runtime import command_parser, report_errors, run_command
from schemas import check_name

#: Columns that contain only a name, and columns of free text, by table.
_NAMES = {
    "incidents": ("acknowledged_by", "assignee", "shelved_by", "closed_by"),
    "incident_log": ("who",),
    "maintenance_windows": ("created_by", "changed_by", "deleted_by"),
    "off_conditions": ("changed_by",),
    "feedback": ("created_by", "withdrawn_by"),
    "fault_codes": ("changed_by",),
    "stream_resets": ("requested_by",),
    "assets": ("changed_by",),
}
_TEXTS = {
    "incidents": ("shelve_reason", "note"),
    "incident_log": ("why",),
    "maintenance_windows": ("reason",),
    "feedback": ("note", "withdrawn_why"),
    "stream_resets": ("reason",),
    "assets": ("reason",),
}

_CHANGES = text("""
    SELECT id, before, after FROM incident_log WHERE EXISTS (
        SELECT FROM unnest(CAST(:keys AS text[])) AS k(key)
        WHERE before ->> k.key ~* :word OR after ->> k.key ~* :word
    )
""")
_REWRITE = text("""
    UPDATE incident_log SET before = CAST(:before AS jsonb), after = CAST(:after AS jsonb)
    WHERE id = :id
""")


def forget(connection: Connection, name: str, topic: str = "") -> tuple[str, dict[str, int]]:
    """Replace a name by a pseudonym; return it, and the number of changed rows per table.

    Parameters
    ----------
    name : str
        As logged. In notes it is replaced as a whole word, in any case.
    topic : str
        Topic of published incidents: incidents with the name are published again, so that a
        compacted topic forgets the name too.

    Raises
    ------
    InputError
        The name does not belong to a person.
    """
    if name in (SYSTEM, "anonymous"):
        raise InputError(f"name: {name!r} is not the name of a person", field="name")
    values = {
        "name": name,
        "pseudonym": f"person-{secrets.token_hex(4)}",
        "word": rf"(?<!\w){re.escape(name)}(?!\w)",
    }
    allow_rewriting(connection)
    changed: dict[str, int] = {}
    for table, columns in _NAMES.items():
        query = text(_statement(table, columns))
        found = connection.execute(query, values)
        if table == "incidents":
            rows = [dict(row) for row in found.mappings()]
            changed[table] = len(rows)
            if topic:
                publish(connection, rows, topic)
        else:
            changed[table] = found.rowcount
    changed["incident_log"] += _rewrite_changes(connection, values)
    return values["pseudonym"], changed


def _statement(table: str, columns: Sequence[str]) -> str:
    """Build the UPDATE of all columns of a table that contain the name."""
    sets = [f"{one} = CASE WHEN {one} = :name THEN :pseudonym ELSE {one} END" for one in columns]
    where = [f"{one} = :name" for one in columns]
    for one in _TEXTS.get(table, ()):
        sets.append(f"{one} = regexp_replace({one}, :word, :pseudonym, 'gi')")
        where.append(f"{one} ~* :word")
    query = f"UPDATE {table} SET {', '.join(sets)} WHERE {' OR '.join(where)}"  # noqa: S608
    return query + (f" RETURNING {SHOWN}" if table == "incidents" else "")


def _rewrite_changes(connection: Connection, values: dict[str, str]) -> int:
    """Rewrite the log's ``before`` and ``after``, which repeat columns; return the row count."""
    keys = [*_NAMES["incidents"], *_TEXTS["incidents"]]
    entries = connection.execute(_CHANGES, {"keys": keys, **values}).all()
    pattern = re.compile(values["word"], re.IGNORECASE)

    def rewritten(columns: dict[str, Any]) -> dict[str, Any]:
        return {
            key: pattern.sub(values["pseudonym"], value)
            if key in keys and isinstance(value, str)
            else value
            for key, value in columns.items()
        }

    for entry in entries:
        after = {"before": rewritten(entry.before), "after": rewritten(entry.after)}
        connection.execute(
            _REWRITE, {"id": entry.id, **{k: dump_json(v) for k, v in after.items()}}
        )
    return len(entries)


@report_errors
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return 0, or 1 if the name occurs nowhere or the database is down."""
    parser = command_parser("db.forget", __doc__)
    parser.add_argument("name", help="as it was logged")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level="WARNING", format="%(message)s")
    settings = load_settings()
    name = check_name(arguments.name.strip(), "name")
    with transaction(open_migrated(settings)) as connection:
        pseudonym, changed = forget(connection, name, settings.kafka_topic_incidents)
    counts = [f"{count} of {table}" for table, count in changed.items() if count]
    if not counts:
        print(f"{name!r} is nowhere", file=sys.stderr)
        return 1
    print(f"replaced by {pseudonym}; rows changed: {', '.join(counts)}")
    return 0


if __name__ == "__main__":
    run_command(main)
