"""Write spreadsheets of OpenDocument (.ods), as LibreOffice does, cell by cell."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from tests.unit.datasets.workbooks.workbook_files import FORMATTED, Error, Formula

MIME = "application/vnd.oasis.opendocument.spreadsheet"
_SPACE = "urn:oasis:names:tc:opendocument:xmlns"
_NAMES = " ".join(
    f'xmlns:{name}="{_SPACE}:{name}:1.0"' for name in ("office", "table", "text", "style", "of")
)


def _cell(value: Any) -> str:
    if value is None or value is FORMATTED:
        return "<table:table-cell/>"
    if isinstance(value, Error):
        return (
            '<table:table-cell table:formula="of:=1/0" office:value-type="string"'
            f' office:string-value=""><text:p>{value.text}</text:p></table:table-cell>'
        )
    if isinstance(value, Formula):
        formula = f"table:formula={quoteattr('of:=' + value.text)}"
        known = (
            ""
            if value.value is None
            else f' office:value-type="float" office:value="{value.value!r}"'
        )
        return f"<table:table-cell {formula}{known}/>"
    if isinstance(value, bool):
        kind, known = "boolean", f'office:boolean-value="{str(value).lower()}"'
    elif isinstance(value, datetime | date):
        kind, known = "date", f'office:date-value="{value.isoformat()}"'
    elif isinstance(value, time | timedelta):
        kind, known = "time", f'office:time-value="{_span(value)}"'
    elif isinstance(value, str):
        text = f"<text:p>{escape(value)}</text:p>"
        return f'<table:table-cell office:value-type="string">{text}</table:table-cell>'
    else:
        kind, known = "float", f'office:value="{value!r}"'
    shown = f"<text:p>{value}</text:p>"  # as the program shows it, perhaps rounded
    return f'<table:table-cell office:value-type="{kind}" {known}>{shown}</table:table-cell>'


def _span(value: time | timedelta) -> str:
    if isinstance(value, time):
        value = datetime.combine(date.min, value) - datetime.min
    seconds = value // timedelta(seconds=1)
    return f"PT{seconds // 3600:02d}H{seconds // 60 % 60:02d}M{seconds % 60:02d}S"


def table_xml(name: str, rows: Sequence[Sequence[Any]], style: str = "shown") -> str:
    """Return a sheet, with the rows without content that programs write below the table."""
    lines = "".join(
        f"<table:table-row>{''.join(map(_cell, row)) or '<table:table-cell/>'}</table:table-row>"
        for row in rows
    )
    rest = (
        f'<table:table-row table:number-rows-repeated="{1_048_576 - len(rows)}">'
        '<table:table-cell table:number-columns-repeated="16384"/></table:table-row>'
    )
    return (
        f'<table:table table:name={quoteattr(name)} table:style-name="{style}">{lines}{rest}'
        "</table:table>"
    )


def ods(
    path: Path, sheets: Mapping[str, str | Sequence[Sequence[Any]]], hidden: Sequence[str] = (),
    mime: str = MIME, manifest: str = "",
) -> Path:  # fmt: skip
    """Write a spreadsheet of sheets, given as rows of values or as XML; return its path."""
    styles = "".join(
        f'<style:style style:name="{name}" style:family="table"><style:table-properties'
        f' table:display="{shown}"/></style:style>'
        for name, shown in (("shown", "true"), ("hidden", "false"))
    )
    tables = "".join(
        rows if isinstance(rows, str)
        else table_xml(name, rows, "hidden" if name in hidden else "shown")
        for name, rows in sheets.items()
    )  # fmt: skip
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", mime, zipfile.ZIP_STORED)
        archive.writestr(
            "content.xml",
            f'<?xml version="1.0" encoding="UTF-8"?><office:document-content {_NAMES}>'
            f"<office:automatic-styles>{styles}</office:automatic-styles><office:body>"
            f"<office:spreadsheet>{tables}</office:spreadsheet></office:body>"
            "</office:document-content>",
        )
        archive.writestr(
            "META-INF/manifest.xml",
            f'<manifest:manifest xmlns:manifest="{_SPACE}:manifest:1.0">'
            f'<manifest:file-entry manifest:full-path="/" manifest:media-type="{mime}"/>'
            f'<manifest:file-entry manifest:full-path="content.xml" manifest:media-type="text/xml"'
            f">{manifest}</manifest:file-entry></manifest:manifest>",
        )
    return path
