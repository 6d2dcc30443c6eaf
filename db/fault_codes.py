"""The plant's list of fault codes: the shipped one until somebody puts another."""

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
    """Read the list that comes with the program."""
    return tuple(tomllib.loads(SHIPPED.read_text("utf-8"))["fault_code"])


def fault_codes(connection: Connection, *, lock: bool = False) -> tuple[list[dict[str, Any]], bool]:
    """Return the list in force, and whether it is the plant's own; ``lock`` it for a change."""
    if lock:
        connection.execute(_LOCK)
    own = [dict(row) for row in connection.execute(_LIST).mappings()]
    return (own, True) if own else ([dict(one) for one in shipped_codes()], False)


def put_fault_codes(
    connection: Connection, codes: Sequence[dict[str, str]], who: str
) -> tuple[list[dict[str, Any]], bool]:
    """Replace the plant's list; an empty one brings the shipped one back.

    Parameters
    ----------
    connection : Connection
    codes : sequence of dict
        ``code``, ``name`` and ``action`` of each, in the order to show them.
    who : str

    Returns
    -------
    list of dict, bool
        As of :func:`fault_codes`.
    """
    connection.execute(_LOCK)
    connection.execute(_DROP)
    if codes:
        rows = [{**one, "position": position, "who": who} for position, one in enumerate(codes)]
        connection.execute(_ADD, rows)
    return fault_codes(connection)


def check_fault_code(connection: Connection, code: str | None) -> str | None:
    """Return a warning about a code that is not on the shipped list, where that is in force.

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
    return f"fault_code: {code!r:.80} is not on the shipped list; the plant has put none of its own"
