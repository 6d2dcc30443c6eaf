"""Unfold a JSON object that holds a whole table: pandas' forms, a list of readings, or series."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from datasets.columns.long_tables import names_values
from datasets.json_files.json_documents import Document
from datasets.sampled_columns import plain_name
from datasets.times.time_of_day import TIME_NAMES
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
    if named := _described(document):
        notes.append(f"the readings are taken from the list {named[0]!r}")
        return _split(named[1], document[named[0]])
    lists = _lists(document)
    if not lists:  # a search's answer has its hits deeper, under hits.hits
        inner = {key: value for key, value in document.items() if isinstance(value, dict)}
        lists = {
            f"{key}.{name}": rows for key in inner for name, rows in _lists(inner[key]).items()
        }
    keys_of = list(lists)
    if len(lists) > 1 and (point := _time_and_value(lists)):
        notes.append(
            f"each list is a feature: the values of {', '.join(lists)[:200]} by their times"
        )
        return _by_time(lists, *point)
    if len(lists) > 1:
        raise DatasetError(
            f"holds several lists ({', '.join(keys_of[:5])}), not one object per reading: jq -c"
            f" '.{keys_of[0]}[]' writes those of one as lines"
        )
    if lists:
        notes.append(f"the readings are taken from the list {keys_of[0]!r}")
        return iter(lists[keys_of[0]])
    if tables := _tables_of_columns(document):
        (where, (lists_of, texts)), *others = tables.items()
        if others:
            raise DatasetError(
                f"holds several tables ({', '.join(tables)}): jq -c '.{where}' writes one of them"
            )
        notes.append(f"each list{where and f' of {where!r}'} is a column of readings")
        return _side_by_side(lists_of, texts)
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


def _described(document: Document) -> tuple[str, list[str]] | None:
    """Return the list of rows, and the names of its columns from a list of objects with a name.

    Databases answer so: ClickHouse (meta, data), QuestDB (columns, dataset).
    """
    for described in _lists(document).values():
        names = [one.get("name") for one in described]
        for key, rows in document.items():
            lists = isinstance(rows, list) and rows and set(map(type, rows)) == {list}
            if lists and all(isinstance(n, str) for n in names) and len(rows[0]) == len(names):
                return key, list(map(str, names))
    return None


def _time_and_value(lists: dict[str, list[Document]]) -> tuple[str, str] | None:
    """Return the two keys of all objects in lists of points, one list per sensor (ThingsBoard)."""
    kinds = {frozenset(point) for points in lists.values() for point in points}
    both = sorted(next(iter(kinds)), key=lambda key: names_values(plain_name(key)))
    if len(kinds) > 1 or len(both) != 2:
        return None
    time, value = both
    return (time, value) if _is_time(time) and names_values(plain_name(value)) else None


def _is_time(name: str) -> bool:
    return bool({plain_name(name), plain_name(name).removesuffix("s")} & TIME_NAMES)


def _by_time(lists: dict[str, list[Document]], time: str, value: str) -> Iterator[Document]:
    """Yield a row per time, with a column for each list; points may have any order.

    Parameters
    ----------
    lists : points by the name of their sensor.
    time, value : keys of each point.
    """
    rows: dict[Any, Document] = {}
    for name, points in lists.items():
        for point in points:
            rows.setdefault(str(point[time]), {time: point[time]})[name] = point[value]
    return iter(rows.values())


def _tables_of_columns(document: Document) -> dict[str, tuple[Document, Document]]:
    """Return lists of equal length, one of which holds times, and the texts beside them.

    They stand in the object itself, called '', or in objects in it (Open-Meteo's ``hourly``).
    """
    inner = {key: value for key, value in document.items() if isinstance(value, dict)}
    found = {}
    for where, one in {"": document, **inner}.items():
        lists = {key: value for key, value in one.items() if isinstance(value, list)}
        lengths = {len(values) for values in lists.values()}
        if len(lists) > 1 and len(lengths) == 1 and max(lengths) > 1 and any(map(_is_time, lists)):
            texts = {key: value for key, value in one.items() if isinstance(value, str)}
            found[where] = (lists, texts)
    return found


def _side_by_side(lists: Document, texts: Document) -> Iterator[Document]:
    """Yield a row per place of the lists; texts beside them, such as the asset, hold for all."""
    for values in zip(*lists.values(), strict=True):
        yield {**texts, **dict(zip(lists, values, strict=True))}


def _split(names: list[str], data: list[Any]) -> Iterator[Document]:
    """Yield the rows of a table whose names are given once."""
    for number, values in enumerate(data, start=1):
        if not isinstance(values, list) or len(values) != len(names):
            shown = json.dumps(values)[:60]
            raise DatasetError(
                f"row {number}: {shown} has no value for each of {len(names)} columns"
            )
        yield dict(zip(names, values, strict=True))
