"""Read the items of DynamoDB, whose values say their type: ``{"temp": {"N": "1.5"}}``."""

from __future__ import annotations

from typing import Any, Final

from datasets.json_files.json_documents import Document

#: What stands under each type.
_TYPES: Final = {
    "S": str, "N": str, "B": str, "BOOL": bool, "NULL": bool,
    "SS": list, "NS": list, "BS": list, "L": list, "M": dict,
}  # fmt: skip


def plain_item(document: Document) -> Document:
    """Return an item's values without their types; an object that is no item stays as it is.

    An export wraps each item (``{"Item": {...}}``), a scan does not.
    """
    item = document["Item"] if len(document) == 1 and "Item" in document else document
    if type(item) is not dict or not item or not all(map(_is_typed, item.values())):
        return document
    return {name: _plain(value) for name, value in item.items()}


def _is_typed(value: Any) -> bool:
    if type(value) is not dict or len(value) != 1:
        return False
    ((kind, content),) = value.items()
    return kind in _TYPES and type(content) is _TYPES[kind]


def _plain(value: Document) -> Any:
    ((kind, content),) = value.items()
    if kind == "NULL":
        return None
    if kind == "N":
        try:
            return int(content) if content.lstrip("-").isdecimal() else float(content)
        except ValueError:
            return content
    if kind == "M":
        typed = all(map(_is_typed, content.values()))
        return {name: _plain(inner) for name, inner in content.items()} if typed else content
    return content
