"""Read InfluxDB's line protocol: ``cpu,host=a usage=0.5,idle=3i 1700000000000000000``.

A line is a point: measurement, tags, fields, time. Points with the same tags and time become one
row; if there are several measurements, their fields are called ``cpu.usage``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from datasets.json_files.json_documents import Document, Numbered
from datasets.json_files.json_source import JsonSource
from datasets.text_files.text import open_bytes
from errors import DatasetError

_LINE: Final = re.compile(
    r"(?P<series>(?:\\.|[^\s\\])+) +"
    r"(?P<fields>(?:\"(?:\\.|[^\"\\])*\"|\\.|[^\s\"\\])+=(?:\"(?:\\.|[^\"\\])*\"|\\.|[^\s\"\\])+)"
    r" +(?P<time>-?\d{9,19})"
)
_FIELD: Final = re.compile(r"((?:\\.|[^,=\\])+)=(\"(?:\\.|[^\"\\])*\"|[^,]+)")
_COMMA: Final = re.compile(r"(?<!\\),")
_EQUALS: Final = re.compile(r"(?<!\\)=")
_SWITCHES: Final = {
    **dict.fromkeys(("t", "T", "true", "True", "TRUE"), True),
    **dict.fromkeys(("f", "F", "false", "False", "FALSE"), False),
}
#: Lines that `influx_inspect export` writes between the points.
_BETWEEN: Final = ("#", "CREATE DATABASE ")
_LOOKED_AT: Final = 5  # points by which the format is recognised


def is_line_protocol(start: bytes) -> bool:
    """Return whether the first lines of a file are points."""
    lines = start.decode("utf-8", "replace").splitlines()[:-1][: 4 * _LOOKED_AT]
    points = [line.strip() for line in lines if line.strip() and not line.startswith(_BETWEEN)]
    return bool(points) and all(map(_LINE.fullmatch, points[:_LOOKED_AT]))


class LineProtocolSource(JsonSource):
    """A file of points, whose values have types."""

    def _documents(self, notes: list[str]) -> Iterator[Numbered]:
        rows: dict[tuple[str, ...], dict[tuple[str, str], Any]] = {}
        for number, line in self._points():
            point = _LINE.fullmatch(line)
            if point is None:
                problem = f"row {number} is no point with a time: {line[:60]!r}"
                self.lines.add(number, DatasetError(problem))
                continue
            measurement, *tags = _COMMA.split(point["series"])
            values = rows.setdefault((*sorted(tags), point["time"]), {})
            for name, text in _FIELD.findall(point["fields"]):
                values[_plain(measurement), _plain(name)] = _value(text)
        measurements = dict.fromkeys(measurement for row in rows.values() for measurement, _ in row)
        if len(measurements) > 1:
            shown = ", ".join(measurements)[:200]
            notes.append(f"the points of {shown} are joined by tags and time")
        for number, ((*tags, time), values) in enumerate(rows.items(), start=1):
            whose = (_EQUALS.split(tag, maxsplit=1) for tag in tags)
            row: Document = {_plain(pair[0]): _plain(pair[-1]) for pair in whose}
            row["timestamp"] = int(time)
            for (measurement, name), value in values.items():
                row[name if len(measurements) == 1 else f"{measurement}.{name}"] = value
            yield number, row

    def _points(self) -> Iterator[tuple[int, str]]:
        number = 0
        with open_bytes(self._path) as file:
            for raw in file:
                line = raw.decode(self._encoding, "replace").strip()
                if line and not line.startswith(_BETWEEN):
                    number += 1
                    yield number, line


def _plain(text: str) -> str:
    """Return a name without the backslashes before blanks, commas and the like."""
    return re.sub(r"\\(.)", r"\1", text)


def _value(text: str) -> Any:
    if text[0] == '"':
        return _plain(text[1:-1])
    if text in _SWITCHES:
        return _SWITCHES[text]
    try:
        return int(text[:-1]) if text[-1] in "iu" else float(text)
    except ValueError:
        return text
