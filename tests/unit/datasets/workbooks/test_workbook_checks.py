"""Workbooks that would take more memory than there is are refused before they are read."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest

from datasets.workbooks import workbook_checks
from datasets.workbooks.workbook_checks import contents
from errors import DatasetError
from tests.unit.datasets.workbooks.workbook_files import (
    FORMATTED,
    Error,
    Formula,
    sheet_xml,
    workbook,
)

TABLE: list[list[Any]] = [["Time", "A"], [1.5, 2], [2.5, 3]]


def test_content_is_counted_without_empty_cells(tmp_path: Path) -> None:
    table = [*TABLE, [Formula("A1"), Formula("A2", 1.0)], [Error("#REF!")], *[[FORMATTED] * 9] * 99]
    found = contents(workbook(tmp_path / "a.xlsx", {"S": table, "T": [[1, 2, 3]]}))
    assert (found.rows, found.columns, found.no_value) == (5, 3, 1)
    assert found.errors == {"#REF!": 1}


def test_prefixes_and_missing_places_are_understood(tmp_path: Path) -> None:
    xml = sheet_xml(TABLE).replace("<c ", "<x:c ").replace("</c>", "</x:c>")
    xml = xml.replace("<row ", "<x:row ").replace("</row>", "</x:row>")
    found = contents(workbook(tmp_path / "a.xlsx", {"S": xml}))
    assert (found.rows, found.columns) == (3, 2)
    found = contents(workbook(tmp_path / "b.xlsx", {"S": sheet_xml(TABLE, places=False)}))
    assert (found.rows, found.columns) == (3, 2)


def test_parts_are_cut_between_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = workbook(tmp_path / "a.xlsx", {"S": [[Formula("A1"), 2.0, Error("#N/A")]] * 50})
    for size in (200, 333, 1000):
        monkeypatch.setattr(workbook_checks, "_PART", size)
        found = contents(path)
        assert (found.rows, found.columns, found.errors["#N/A"]) == (50, 3, 50)


def test_two_cells_far_apart_are_refused(tmp_path: Path) -> None:
    xml = sheet_xml(TABLE).replace('r="B3"', 'r="XFD1048576"')
    with pytest.raises(DatasetError, match="up to row 1,048,576 and column 16,384: export"):
        contents(workbook(tmp_path / "a.xlsx", {"S": xml}))


def test_a_bomb_is_refused_whatever_its_directory_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workbook_checks, "_MOST_BYTES", 1 << 20)
    path = workbook(tmp_path / "a.xlsx", {"S": TABLE})
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/sharedStrings.xml", b" " * (3 << 20))
    raw = path.read_bytes().replace((3 << 20).to_bytes(4, "little"), (99).to_bytes(4, "little"))
    for content in (path.read_bytes(), raw):
        path.write_bytes(content)
        with pytest.raises(DatasetError, match=r"^a\.xlsx: unpacks to more than 1 MiB: export"):
            contents(path)


@pytest.mark.parametrize(
    ("member", "why"),
    [
        ("word/document.xml", "is no workbook, though it looks like one"),
        ("content.xml", "is an OpenDocument file, but no spreadsheet"),
    ],
)
def test_other_documents_are_refused(tmp_path: Path, member: str, why: str) -> None:
    path = tmp_path / "a.xlsx"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr(member, "x")
    with pytest.raises(DatasetError, match=why):
        contents(path)


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", {"S": TABLE})
    raw = bytearray(path.read_bytes())
    raw[raw.rfind(b"PK\1\2") + 8] |= 1
    path.write_bytes(raw)
    with pytest.raises(DatasetError, match="is encrypted: save it without a password"):
        contents(path)
