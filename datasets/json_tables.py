"""Unfold a JSON object that holds a whole table: pandas' forms, or a list of readings in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from datasets.json_documents import Document
from errors import DatasetError

#: The first of the numbers that pandas gives to rows.
_COUNTED: Final = ("0", "1")


def unfold(document: Document, notes: list[str]) -> Iterator[Document] | None:
    """Return the rows of a table in an object; None if the object is a row itself.

    Parameters
    ----------
    document
        The only object of a file.
    notes
        Receives a sentence on where the rows are taken from.

    Raises
    ------
    DatasetError
        Several lists may be the table, or a row of it has not one value per column.
    """
    names, data = document.get("columns"), document.get("data")
    if isinstance(names, list) and isinstance(data, list):
        notes.append("read as pandas' table of columns, index and data")
        return _split(list(map(str, names)), data)
    lists = _lists(document)
    if not lists:  # a search's answer has its hits deeper, under hits.hits
        inner = {key: value for key, value in document.items() if isinstance(value, dict)}
        lists = {
            f"{key}.{name}": rows for key in inner for name, rows in _lists(inner[key]).items()
        }
    keys_of = list(lists)
    if len(lists) > 1:
        raise DatasetError(
            f"holds several lists ({', '.join(keys_of[:5])}), not one object per reading: jq -c"
            f" '.{keys_of[0]}[]' writes those of one as lines"
        )
    if lists:
        notes.append(f"the readings are taken from the list {keys_of[0]!r}")
        return iter(lists[keys_of[0]])
    columns = list(document.values())
    if len(columns) < 2 or set(map(type, columns)) != {dict}:
        return None
    if next(iter(document)) in _COUNTED:
        notes.append("read as pandas' table of rows")
        return iter(columns)
    keys = list(columns[0])
    if keys[:1] in ([count] for count in _COUNTED) and all(list(c) == keys for c in columns):
        notes.append("read as pandas' table of columns")
        return ({name: document[name][key] for name in document} for key in keys)
    return None


def _lists(document: Document) -> dict[str, list[Document]]:
    """Return the lists of objects in an object."""
    return {
        key: value
        for key, value in document.items()
        if isinstance(value, list) and value and set(map(type, value)) == {dict}
    }


def _split(names: list[str], data: list[Any]) -> Iterator[Document]:
    """Yield the rows of a table whose names are given once."""
    for number, values in enumerate(data, start=1):
        if not isinstance(values, list) or len(values) != len(names):
            shown = json.dumps(values)[:60]
            raise DatasetError(
                f"row {number}: {shown} has no value for each of {len(names)} columns"
            )
        yield dict(zip(names, values, strict=True))
