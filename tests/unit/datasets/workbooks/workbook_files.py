"""Write workbooks (.xlsx) as spreadsheet programs do, cell by cell."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_HEAD = '<?xml version="1.0" encoding="UTF-8"?>'
#: Styles of cells: general, date and time, date, time of day, duration.
STYLES = (0, 22, 14, 20, 46)
STYLE_OF = {datetime: 1, date: 2, time: 3, timedelta: 4}


@dataclass(frozen=True)
class Formula:
    """A formula and its cached value, if a program has calculated it."""

    text: str
    value: float | None = None


@dataclass(frozen=True)
class Error:
    """An error value, such as #N/A."""

    text: str


#: A cell that has a format and nothing else.
FORMATTED = object()


def serial(moment: Any, from_1904: bool = False) -> float:
    """Return a time as spreadsheets count it: days since the end of 1899, or since 1904."""
    if isinstance(moment, timedelta):
        return moment / timedelta(days=1)
    if isinstance(moment, time):
        return (moment.hour * 3600 + moment.minute * 60 + moment.second) / 86_400
    if not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day)
    start = datetime(1904, 1, 1) if from_1904 else datetime(1899, 12, 30)
    return (moment - start) / timedelta(days=1)


def column(index: int) -> str:
    """Return the letters of a column: A for 0."""
    return column(index // 26 - 1) + chr(65 + index % 26) if index >= 26 else chr(65 + index)


def _cell(place: str, value: Any, from_1904: bool) -> str:
    r = f' r="{place}"' if place else ""
    if value is None:
        return ""
    if value is FORMATTED:
        return f'<c{r} s="1"/>'
    if isinstance(value, Error):
        return f'<c{r} t="e"><v>{value.text}</v></c>'
    if isinstance(value, Formula):
        cached = "<v/>" if value.value is None else f"<v>{value.value!r}</v>"
        return f"<c{r}><f>{escape(value.text)}</f>{cached}</c>"
    if isinstance(value, bool):
        return f'<c{r} t="b"><v>{int(value)}</v></c>'
    if type(value) in STYLE_OF:
        number = serial(value, from_1904)
        return f'<c{r} s="{STYLE_OF[type(value)]}"><v>{number!r}</v></c>'
    if isinstance(value, str):
        return f'<c{r} t="inlineStr"><is><t xml:space="preserve">{escape(value)}</t></is></c>'
    return f"<c{r}><v>{value!r}</v></c>"


def sheet_xml(
    rows: Sequence[Sequence[Any]], merged: Sequence[str] = (), from_1904: bool = False,
    places: bool = True,
) -> str:  # fmt: skip
    """Return a sheet; ``places`` says whether cells say where they are."""
    lines = [
        f'<row r="{n}">' + "".join(
            _cell(f"{column(i)}{n}" if places else "", value, from_1904)
            for i, value in enumerate(row)
        ) + "</row>"
        for n, row in enumerate(rows, start=1)
    ]  # fmt: skip
    cells = "".join(f'<mergeCell ref="{ref}"/>' for ref in merged)
    end = f'<mergeCells count="{len(merged)}">{cells}</mergeCells>' if merged else ""
    data = f"<sheetData>{''.join(lines)}</sheetData>"
    return f'{_HEAD}<worksheet xmlns="{_MAIN}">{data}{end}</worksheet>'


def workbook(
    path: Path, sheets: Mapping[str, str | Sequence[Sequence[Any]]],
    hidden: Sequence[str] = (), from_1904: bool = False,
) -> Path:  # fmt: skip
    """Write a workbook of sheets, given as rows of values or as XML; return its path."""
    sheet_list, relations, types = "", "", ""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for n, (name, rows) in enumerate(sheets.items(), start=1):
            state = ' state="hidden"' if name in hidden else ""
            sheet_list += f'<sheet name={quoteattr(name)} sheetId="{n}"{state} r:id="rId{n}"/>'
            relations += _relation(n, "worksheet", f"worksheets/sheet{n}.xml")
            types += _override(f"worksheets/sheet{n}.xml", "worksheet")
            xml = rows if isinstance(rows, str) else sheet_xml(rows, from_1904=from_1904)
            archive.writestr(f"xl/worksheets/sheet{n}.xml", xml)
        relations += _relation(len(sheets) + 1, "styles", "styles.xml")
        formats = "".join(f'<xf numFmtId="{number}"/>' for number in STYLES)
        date1904 = '<workbookPr date1904="1"/>' if from_1904 else ""
        parts = {
            "[Content_Types].xml": f'{_HEAD}<Types xmlns="{_PACKAGE}/content-types">'
            f'<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.'
            f'relationships+xml"/><Default Extension="xml" ContentType="application/xml"/>'
            f"{_override('workbook.xml', 'sheet.main')}{types}</Types>",
            "_rels/.rels": f'{_HEAD}<Relationships xmlns="{_PACKAGE}/relationships">'
            f"{_relation(1, 'officeDocument', 'xl/workbook.xml')}</Relationships>",
            "xl/_rels/workbook.xml.rels": f'{_HEAD}<Relationships xmlns="{_PACKAGE}/relationships">'
            f"{relations}</Relationships>",
            "xl/workbook.xml": f'{_HEAD}<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}">{date1904}'
            f"<sheets>{sheet_list}</sheets></workbook>",
            "xl/styles.xml": f'{_HEAD}<styleSheet xmlns="{_MAIN}"><cellXfs>{formats}</cellXfs>'
            "</styleSheet>",
        }
        for name, text in parts.items():
            archive.writestr(name, text)
    return path


def _relation(number: int, kind: str, target: str) -> str:
    return f'<Relationship Id="rId{number}" Type="{_OFFICE}/{kind}" Target="{target}"/>'


def _override(part: str, kind: str) -> str:
    content = f"application/vnd.openxmlformats-officedocument.spreadsheetml.{kind}+xml"
    return f'<Override PartName="/xl/{part}" ContentType="{content}"/>'
