"""JSON objects are read from lines, arrays and dumps; what is no object is named by its number."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from datasets.json_files.json_documents import documents, is_json
from datasets.unreadable import Unreadable
from errors import DatasetError

ROWS = [{"asset_id": "P1", "temp": i + 0.5} for i in range(5000)]
LINES = [json.dumps(row) for row in ROWS]


def read(tmp_path: Path, text: str, encoding: str = "utf-8") -> tuple[list[Any], dict[int, str]]:
    path = tmp_path / "dump.jsonl"
    path.write_bytes(text.encode(encoding))
    odd = Unreadable("")
    found = [document for _, document in documents(path, encoding, odd)]
    return found, {row: error.message for row, error in odd.rows.items()}


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(LINES), "\r\n".join(["", *LINES, "", ""]), "\ufeff" + "\n\n".join(LINES),
        json.dumps(ROWS), json.dumps(ROWS, indent=1), "[\n" + ",\n".join(LINES) + "\n]\n",
        "\n".join(json.dumps(row, indent=2) for row in ROWS), "\n".join(f"P1\t{x}" for x in LINES),
    ],
    ids=["lines", "crlf", "bom", "array", "indented", "line per object", "objects", "key and tab"],
)  # fmt: skip
def test_all_forms_give_the_same_objects(tmp_path: Path, text: str) -> None:
    assert is_json(text.encode())
    assert read(tmp_path, text) == (ROWS, {})


def test_utf_16_as_a_shell_redirects_it(tmp_path: Path) -> None:
    assert is_json("\n".join(LINES).encode("utf-16"))
    assert read(tmp_path, "\n".join(LINES), "utf-16")[0] == ROWS


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (LINES[0][:20], "is no JSON (Unterminated string starting at)"),
        (LINES[0] + LINES[1], "is no JSON (more follows at character 32)"),
        ("null", "is no JSON object: null"),
        ("[1, 2]", "is no JSON object: [1, 2]"),
        ('{"temp": 1, "temp": 2}', "has the key 'temp' twice"),
        ('{"features": {"temp": 1, "temp": 2}}', "has the key 'temp' twice"),
        ('{"asset_id": "\\ud800"}', "half a character"),
        ("[" * 100_000, "is no JSON"),
    ],
)
def test_lines_that_are_no_object_are_named(tmp_path: Path, line: str, problem: str) -> None:
    found, odd = read(tmp_path, "\n".join([*LINES[:3000], line, *LINES[3000:]]))
    assert found == ROWS
    assert list(odd) == [3001]
    assert problem in odd[3001]
    assert odd[3001].startswith("row 3001 ")


def test_a_first_line_that_was_cut(tmp_path: Path) -> None:
    found, odd = read(tmp_path, "\n".join([LINES[0][9:], *LINES[1:]]))
    assert found == ROWS[1:]
    assert list(odd) == [1]


def test_nan_and_numbers_beyond_a_float(tmp_path: Path) -> None:
    found, odd = read(tmp_path, '{"a": NaN, "b": 1e400, "c": 1' + "0" * 30 + "}\n")
    assert not odd
    assert str(found[0]) == "{'a': nan, 'b': inf, 'c': 1" + "0" * 30 + "}"


def test_an_array_cut_short_loses_its_last_object(tmp_path: Path) -> None:
    found, odd = read(tmp_path, json.dumps(ROWS)[:-20])
    assert found == ROWS[:-1]
    assert list(odd) == [5000]


def test_an_array_damaged_before_its_end_is_refused(tmp_path: Path) -> None:
    text = json.dumps(ROWS).replace("17.5}", "17.5", 1)
    with pytest.raises(DatasetError, match="row 18 is no JSON"):
        read(tmp_path, text)


@pytest.mark.parametrize("text", [b"", b"asset_id,temp\n", b"{a;b}\n", b"[1, 2]", b"[temp]\n1\n"])
def test_other_texts_are_no_json(text: bytes) -> None:
    assert not is_json(text)
