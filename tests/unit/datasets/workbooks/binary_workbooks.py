"""Write workbooks of Excel 97 (.xls) and binary ones (.xlsb), record by record, as documented.

[MS-XLS], [MS-CFB] and [MS-XLSB] say what the records are. xlrd and pyxlsb read these files too.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.unit.datasets.workbooks.workbook_files import (
    FORMATTED,
    STYLE_OF,
    STYLES,
    Error,
    Formula,
    serial,
)

Sheets = Mapping[str, Sequence[Sequence[Any]]]
_ERRORS = {"#NULL!": 0, "#DIV/0!": 7, "#VALUE!": 15, "#REF!": 23, "#NAME?": 29, "#N/A": 42}
_SECTOR = 512


def number_of(value: Any, from_1904: bool) -> tuple[float, int]:
    """Return a number or time as the number in the cell, and the cell's style."""
    kind = type(value)
    return (serial(value, from_1904), STYLE_OF[kind]) if kind in STYLE_OF else (float(value), 0)


def _text(text: str) -> bytes:
    return struct.pack("<HB", len(text), 1) + text.encode("utf-16-le")


def _record(number: int, content: bytes = b"") -> bytes:
    return struct.pack("<HH", number, len(content)) + content


def _xls_cell(row: int, column: int, value: Any, from_1904: bool) -> bytes:
    place = struct.pack("<HHH", row, column, 0)
    if value is None:
        return b""
    if value is FORMATTED:
        return _record(0x201, place)
    if isinstance(value, Error):
        return _record(0x205, place + bytes([_ERRORS[value.text], 1]))
    if isinstance(value, bool):
        return _record(0x205, place + bytes([value, 0]))
    if isinstance(value, str):
        return _record(0x204, place + _text(value))
    if isinstance(value, Formula):
        result = struct.pack("<dHIH", value.value, 0, 0, 3)
        return _record(6, place + result + b"\x1e\x01\x00")  # the formula itself is =1
    number, style = number_of(value, from_1904)
    return _record(0x203, struct.pack("<HHHd", row, column, style, number))


def xls_stream(
    sheets: Sheets, hidden: Sequence[str] = (), from_1904: bool = False,
    merged: Sequence[tuple[int, int, int, int]] = (), password: bool = False,
) -> bytes:  # fmt: skip
    """Return the stream of an Excel 97 workbook; ``merged``: first and last row, and column."""
    start = _record(0x809, struct.pack("<HHHHII", 0x600, 5, 0, 0, 0, 0))
    if password:
        start += _record(0x2F, bytes(54))
    start += _record(0x42, b"\xb0\x04") + _record(0x22, bytes([from_1904, 0]))
    start += b"".join(_record(0xE0, struct.pack("<HH16x", 0, number)) for number in STYLES)
    pieces = []
    for rows in sheets.values():
        width = max(map(len, rows), default=0)
        piece = _record(0x809, struct.pack("<HHHHII", 0x600, 0x10, 0, 0, 0, 0))
        piece += _record(0x200, struct.pack("<IIHHH", 0, len(rows), 0, width, 0))
        piece += b"".join(
            _xls_cell(r, c, value, from_1904)
            for r, row in enumerate(rows) for c, value in enumerate(row)
        )  # fmt: skip
        if merged:
            cells = b"".join(struct.pack("<HHHH", *cell) for cell in merged)
            piece += _record(0xE5, struct.pack("<H", len(merged)) + cells)
        pieces.append(piece + _record(0x0A))
    at = len(start) + sum(4 + 8 + 2 * len(name) for name in sheets) + 4
    for name, piece in zip(sheets, pieces, strict=True):
        entry = struct.pack("<IBBBB", at, name in hidden, 0, len(name), 1)
        start += _record(0x85, entry + name.encode("utf-16-le"))
        at += len(piece)
    return start + _record(0x0A) + b"".join(pieces)


def excel_5(rows: Sequence[Sequence[Any]]) -> bytes:
    """Return the stream of a workbook of Excel 5, called Book, with one sheet."""
    kind = struct.pack("<HH", 0x96C, 0x7CC)
    start = _record(0x809, struct.pack("<HH", 0x500, 5) + kind) + _record(0x42, b"\xe4\x04")
    start += b"".join(_record(0xE0, struct.pack("<HH12x", 0, number)) for number in STYLES)
    sheet = _record(0x809, struct.pack("<HH", 0x500, 0x10) + kind)
    sheet += _record(0x200, struct.pack("<HHHHH", 0, len(rows), 0, len(rows[0]), 0))
    for r, row in enumerate(rows):
        for c, value in enumerate(row):
            if isinstance(value, str):
                text = value.encode("cp1252")
                sheet += _record(0x204, struct.pack("<HHHH", r, c, 0, len(text)) + text)
            else:
                number, style = number_of(value, False)
                sheet += _record(0x203, struct.pack("<HHHd", r, c, style, number))
    at = len(start) + 4 + 7 + 4 + 4
    bound = _record(0x85, struct.pack("<IBBB", at, 0, 0, 4) + b"Data")
    return start + bound + _record(0x0A) + sheet + _record(0x0A)


def compound(path: Path, stream: bytes, name: str = "Workbook") -> Path:
    """Write a compound file of one stream."""
    stream = stream.ljust(4096, b"\0")  # shorter ones are stored in another way
    count = -(-len(stream) // _SECTOR)
    tables = 1
    while (count + 1 + tables) * 4 > tables * _SECTOR:
        tables += 1
    chain = [*range(1, count), 0xFFFFFFFE, 0xFFFFFFFE, *[0xFFFFFFFD] * tables]
    fat = struct.pack(f"<{len(chain)}I", *chain).ljust(tables * _SECTOR, b"\xff")
    head = bytes.fromhex("d0cf11e0a1b11ae1") + bytes(16)
    head += struct.pack("<HHHHH6xIIIIIIIII", 0x3E, 3, 0xFFFE, 9, 6, 0, tables, count, 0, 4096,
                        0xFFFFFFFE, 0, 0xFFFFFFFE, 0)  # fmt: skip
    first = range(count + 1, count + 1 + tables)
    head += struct.pack(f"<{tables}I", *first).ljust(_SECTOR - len(head), b"\xff")
    entries = _entry("Root Entry", 5, 1, 0xFFFFFFFE, 0) + _entry(name, 2, -1, 0, len(stream))
    directory = entries + 2 * (bytes(68) + b"\xff" * 12 + bytes(48))
    path.write_bytes(head + stream.ljust(count * _SECTOR, b"\0") + directory + fat)
    return path


def _entry(name: str, kind: int, child: int, start: int, size: int) -> bytes:
    text = (name + "\0").encode("utf-16-le")
    return (
        text.ljust(64, b"\0") + struct.pack("<HBBiii", len(text), kind, 1, -1, -1, child)
        + bytes(36) + struct.pack("<IQ", start, size)
    )  # fmt: skip


def xls(path: Path, sheets: Sheets, **options: Any) -> Path:
    """Write an Excel 97 workbook; return its path."""
    return compound(path, xls_stream(sheets, **options))


def _part(number: int, content: bytes = b"") -> bytes:
    """Return a record of a .xlsb: number and length are written seven bits at a time."""
    head = bytes([number]) if number < 0x80 else bytes([number & 0x7F | 0x80, number >> 7])
    size, length = b"", len(content)
    while length > 0x7F:
        size, length = size + bytes([length & 0x7F | 0x80]), length >> 7
    return head + size + bytes([length]) + content


def _wide(text: str) -> bytes:
    return struct.pack("<I", len(text)) + text.encode("utf-16-le")


def _xlsb_cell(column: int, value: Any, from_1904: bool) -> bytes:
    place = struct.pack("<II", column, 0)
    if value is None:
        return b""
    if value is FORMATTED:
        return _part(1, place)
    if isinstance(value, Error):
        return _part(3, place + bytes([_ERRORS[value.text]]))
    if isinstance(value, bool):
        return _part(4, place + bytes([value]))
    if isinstance(value, str):
        return _part(6, place + _wide(value))
    if isinstance(value, Formula):
        return _part(9, place + struct.pack("<dHI", value.value, 0, 0) + bytes(4))
    number, style = number_of(value, from_1904)
    return _part(5, struct.pack("<IId", column, style, number))


def xlsb_sheet(rows: Sequence[Sequence[Any]], from_1904: bool = False, apart: int = 1) -> bytes:
    """Return a sheet; ``apart``: how far its rows lie apart."""
    size = struct.pack("<IIII", 0, max(0, len(rows) - 1), 0, max(map(len, rows), default=1) - 1)
    out = _part(129) + _part(148, size) + _part(145)
    for number, row in enumerate(rows):
        out += _part(0, struct.pack("<I21x", number * apart))
        out += b"".join(_xlsb_cell(c, value, from_1904) for c, value in enumerate(row))
    return out + _part(146) + _part(130)


def xlsb(
    path: Path, sheets: Mapping[str, bytes | Sequence[Sequence[Any]]],
    hidden: Sequence[str] = (), from_1904: bool = False,
) -> Path:  # fmt: skip
    """Write a binary workbook of sheets, given as rows or as bytes; return its path."""
    book = _part(131) + _part(153, struct.pack("<III", from_1904, 0, 0)) + _part(143)
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    relations = ""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        for n, (name, rows) in enumerate(sheets.items(), start=1):
            book += _part(156, struct.pack("<II", name in hidden, n) + _wide(f"rId{n}")
                          + _wide(name))  # fmt: skip
            target = f"worksheets/sheet{n}.bin"
            relations += f'<Relationship Id="rId{n}" Type="{office}/worksheet" Target="{target}"/>'
            content = rows if isinstance(rows, bytes) else xlsb_sheet(rows, from_1904)
            archive.writestr(f"xl/{target}", content)
        archive.writestr("xl/workbook.bin", book + _part(144) + _part(132))
        archive.writestr(
            "xl/_rels/workbook.bin.rels",
            '<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/'
            f'2006/relationships">{relations}</Relationships>',
        )
        formats = b"".join(_part(47, struct.pack("<HH12x", 0, number)) for number in STYLES)
        archive.writestr(
            "xl/styles.bin",
            _part(278) + _part(617, struct.pack("<I", len(STYLES))) + formats + _part(618)
            + _part(279),
        )  # fmt: skip
    return path
