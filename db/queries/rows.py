"""Shared parts of queries: rows as dicts, conditions of filters, parameters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import Connection, TextClause

from errors import NotFound

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def read_rows(
    connection: Connection, query: TextClause, values: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """Run a query; return its rows as dicts.

    Parameters
    ----------
    connection : Connection
    query : TextClause
    values : mapping, optional
        The query's parameters.
    """
    return [dict(row) for row in connection.execute(query, values).mappings()]


def read_row(
    connection: Connection, query: TextClause, values: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Run a query for at most one row; return it, or None.

    Parameters
    ----------
    connection : Connection
    query : TextClause
    values : mapping
        The query's parameters.
    """
    row = connection.execute(query, values).mappings().one_or_none()
    return None if row is None else dict(row)


def find_row(connection: Connection, query: TextClause, wanted: UUID, what: str) -> dict[str, Any]:
    """Run a query with ``:id``; return its row.

    Parameters
    ----------
    connection : Connection
    query : TextClause
    wanted : UUID
        The id.
    what : str
        Kind of the object, for the error.

    Raises
    ------
    NotFound
        There is no such row.
    """
    row = read_row(connection, query, {"id": wanted})
    if row is None:
        raise NotFound(f"no {what} {wanted}")
    return row


def conditions(
    filters: DataclassInstance, known: Mapping[str, str]
) -> tuple[list[str], dict[str, Any]]:
    """Return the SQL conditions of the given filters, and their parameters."""
    values = {name: value for name in known if (value := getattr(filters, name)) is not None}
    return [known[name] for name in values], values


def equal(*names: str) -> dict[str, str]:
    """Return equality conditions for filters with the same name as their column."""
    return {name: f"{name} = :{name}" for name in names}


def id_list(ids: Iterable[UUID]) -> list[str]:
    """Return ids as the parameter of ``CAST(... AS uuid[])``."""
    return [str(one) for one in ids]


def as_bytes(value: bytes | memoryview | None) -> bytes | None:
    """Return a bytea's content."""
    return None if value is None else bytes(value)


def as_floats(features: Mapping[str, Any]) -> dict[str, float]:
    """Return features as floats, because JSON stores 1.0 as 1."""
    return {name: float(value) for name, value in features.items()}
