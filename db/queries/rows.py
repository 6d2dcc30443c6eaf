"""What queries have in common: rows as dicts, the conditions of filters, parameters."""

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
    """Run a query; return its rows by the columns' names.

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
    """Run a query of one row at most; return that, None for none.

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
    """Run a query for the row of an ``:id``; return it.

    Parameters
    ----------
    connection : Connection
    query : TextClause
    wanted : UUID
        The id.
    what : str
        Of what it is the id, for the error.

    Raises
    ------
    NotFound
        There is none.
    """
    row = read_row(connection, query, {"id": wanted})
    if row is None:
        raise NotFound(f"no {what} {wanted}")
    return row


def conditions(
    filters: DataclassInstance, known: Mapping[str, str]
) -> tuple[list[str], dict[str, Any]]:
    """Return the SQL conditions of the filters that are given, and their parameters."""
    values = {name: value for name in known if (value := getattr(filters, name)) is not None}
    return [known[name] for name in values], values


def equal(*names: str) -> dict[str, str]:
    """Return the conditions of filters whose column has their name and their value."""
    return {name: f"{name} = :{name}" for name in names}


def id_list(ids: Iterable[UUID]) -> list[str]:
    """Return ids as the parameter of ``CAST(... AS uuid[])``."""
    return [str(one) for one in ids]


def as_bytes(value: bytes | memoryview | None) -> bytes | None:
    """Return a bytea's content."""
    return None if value is None else bytes(value)


def as_floats(features: Mapping[str, Any]) -> dict[str, float]:
    """Return features as they were sent: JSON keeps 1.0 as 1."""
    return {name: float(value) for name, value in features.items()}
