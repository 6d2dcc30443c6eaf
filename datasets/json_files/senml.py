"""Read SenML (RFC 8428): records with base values that hold for those after them.

The values of one time become a row with a column per name. The base name is its device.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any, Final

from datasets.json_files.json_documents import Document
from errors import DatasetError

_BASE: Final = frozenset(("bn", "bt", "bu", "bv", "bs", "bver"))
_FIELDS: Final = _BASE | {"n", "u", "v", "vs", "vb", "vd", "s", "t", "ut"}
#: Seconds below which a time counts from the moment at which the record is received.
_RELATIVE_S: Final = 2**28


def is_record(document: Document) -> bool:
    """Return whether an object is the first record of a pack: it has base values, and a value.

    Other objects have such keys too, as ``bv`` for a battery's voltage, so a base name is needed,
    or a name and a base time that is absolute.
    """
    keys = document.keys()
    text = all(type(document.get(key, "")) is str for key in ("bn", "n"))
    numbers = all(_is_number(document.get(key, 0)) for key in ("t", "bt", "bv", "bs"))
    if not (text and numbers and keys <= _FIELDS and keys & {"v", "vs", "vb", "s", "n"}):
        return False
    return "bn" in keys or ("n" in keys and bool(document.get("bt", 0) >= _RELATIVE_S))


def rows_of_pack(documents: Iterable[Document]) -> Iterator[Document]:
    """Yield a row per device and time, with a column for each name; records may have any order.

    Raises
    ------
    DatasetError
        A time is not absolute, a name has two units, or a field must be understood and is not.
    """
    base: Document = {}
    units: dict[tuple[str, str], Any] = {}
    out: list[Document] = []
    rows: dict[tuple[str, Any], Document] = {}  # the newest of each device and time
    for number, record in enumerate(documents, start=1):
        if unknown := next((key for key in record if key.endswith("_")), None):
            raise DatasetError(f"row {number} has the field {unknown!r}, which is not known")
        if base and record.get("bn") == base.get("bn", ""):
            base = {}  # given again: the next pack begins
        base |= {key: record[key] for key in _BASE & record.keys()}
        time = _added(base.get("bt", 0), record.get("t", 0))
        if type(time) is not str and time < _RELATIVE_S:
            raise DatasetError(
                f"row {number} has the time {time:g}, which counts from the moment at which it was"
                " received: save records with absolute times (bt or t)",
                field="timestamp",
            )
        device, name = str(base.get("bn", "")), str(record.get("n") or "value")
        if name in ("timestamp", "device"):
            name += " value"  # beside the row's own
        unit = record.get("u", base.get("bu"))
        if unit is not None and units.setdefault((device, name), unit) != unit:
            raise DatasetError(
                f"row {number} gives {name!r} in {unit!r}, others in {units[device, name]!r}:"
                " convert one of them",
                field=name,
            )
        row = rows.get((device, time))
        if row is None or name in row:  # a second value of a time is that of the next reading
            row = rows[device, time] = {"timestamp": time}
            if device:
                row["device"] = device.rstrip(":/-._")
            out.append(row)
        if "v" in record or "bv" in base:
            row[name] = _added(base.get("bv", 0), record.get("v", 0))
        for key in ("vs", "vb"):
            if key in record:
                row[name] = record[key]
        if "s" in record or "bs" in base:
            row[f"{name} sum"] = _added(base.get("bs", 0), record.get("s", 0))
    yield from out


def _added(base: Any, own: Any) -> Any:
    """Return a value and its base added; what is no number as a text, which is then reported."""
    for part in (own, base):
        if not _is_number(part):
            return str(part)
    try:
        float(base + own)
        return base + own
    except OverflowError:  # a whole number may be above all floats
        return math.inf


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)
