"""Read and replace the plant's fault codes; without any, the shipped list applies."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text

from errors import InputError

SHIPPED = Path(__file__).with_name("fault_codes.toml")

_LIST = text("SELECT code, name, action FROM fault_codes ORDER BY position, code")
_LOCK = text("LOCK TABLE fault_codes IN SHARE ROW EXCLUSIVE MODE")  # of two at once, one waits
_DROP = text("DELETE FROM fault_codes")
_ADD = text("""
    INSERT INTO fault_codes (code, name, action, position, changed_by)
    VALUES (:code, :name, :action, :position, :who)
""")
_KNOWN = text("""
    SELECT EXISTS (SELECT FROM fault_codes) AS listed,
           EXISTS (SELECT FROM fault_codes WHERE code = :code) AS known
""")


@cache
def shipped_codes() -> tuple[dict[str, str], ...]:
    """Return the shipped list."""
    return tuple(tomllib.loads(SHIPPED.read_text("utf-8"))["fault_code"])


def fault_codes(connection: Connection, *, lock: bool = False) -> tuple[list[dict[str, Any]], bool]:
    """Return the list in use, and whether it is the plant's own; ``lock`` it for a change."""
    if lock:
        connection.execute(_LOCK)
    own = [dict(row) for row in connection.execute(_LIST).mappings()]
    return (own, True) if own else ([dict(one) for one in shipped_codes()], False)


def put_fault_codes(
    connection: Connection, codes: Sequence[dict[str, str]], who: str
) -> tuple[list[dict[str, Any]], bool]:
    """Replace the plant's list; an empty list restores the shipped one.

    Parameters
    ----------
    connection : Connection
    codes : sequence of dict
        ``code``, ``name`` and ``action`` of each, in display order.
    who : str

    Returns
    -------
    list of dict, bool
        As in :func:`fault_codes`.
    """
    connection.execute(_LOCK)
    connection.execute(_DROP)
    if codes:
        rows = [{**one, "position": position, "who": who} for position, one in enumerate(codes)]
        connection.execute(_ADD, rows)
    return fault_codes(connection)


def check_fault_code(connection: Connection, code: str | None) -> str | None:
    """Return a warning if a code is not on the shipped list and the plant has no own list.

    Raises
    ------
    InputError
        The plant has its own list, and the code is not on it.
    """
    if code is None:
        return None
    found = connection.execute(_KNOWN, {"code": code}).one()
    if found.known:
        return None
    if found.listed:
        raise InputError(
            f"fault_code: {code!r:.80} is not on the plant's list (GET /api/v1/fault-codes)",
            field="fault_code",
        )
    if any(one["code"] == code for one in shipped_codes()):
        return None
    return f"fault_code: {code!r:.80} is not on the shipped list; the plant has no list of its own"
