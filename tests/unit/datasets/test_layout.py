"""How a text file is laid out: its separator, its line of names, its decimal sign."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from datasets.format import BLANKS, FileFormat
from datasets.layout import Layout, read_layout
from datasets.text import SAMPLE_BYTES
from errors import DatasetError

Read = Callable[..., Layout]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def act(content: str | bytes, **form: Any) -> Layout:
        path = tmp_path / "plant.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_layout(path, FileFormat(**form))

    return act


def table(delimiter: str, *cells: str) -> str:
    """Two rows of these cells below their names."""
    head = delimiter.join(f"n{i}" for i in range(len(cells)))
    return "\n".join([head, delimiter.join(cells), delimiter.join(cells)]) + "\n"


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_separator_is_the_one_that_makes_a_table(read: Read, delimiter: str) -> None:
    found = read(table(delimiter, "A", "1.5", "2"))
    assert found.delimiter == delimiter
    assert found.names == ["n0", "n1", "n2"]
    assert found.rows == [["A", "1.5", "2"]] * 2
    assert found.skip == 1


def test_runs_of_blanks_are_one_separator(read: Read) -> None:
    found = read("n0   n1\n 1    2\n3 4\n")
    assert found.delimiter == BLANKS
    assert found.rows == [["1", "2"], ["3", "4"]]


def test_what_a_logger_or_dos_leaves_at_the_end_is_no_row(read: Read) -> None:
    assert read(b"a;b\n1;2\n\x1a\0\0").rows == [["1", "2"]]


def test_of_a_long_file_the_row_that_the_sample_cuts_is_left_out(read: Read) -> None:
    found = read("number;text\n" + "1234;abcdefgh\n" * (SAMPLE_BYTES // 10))
    assert {tuple(row) for row in found.rows} == {("1234", "abcdefgh")}


def test_a_separator_that_fits_most_lines_only_makes_no_table(read: Read) -> None:
    odd = "a;b;c|x\n" + "".join(f"{i};2;3|y\n" if i % 12 else "1|y\n" for i in range(1, 100))
    assert read(odd).delimiter == "|"


def test_blanks_behind_commas_belong_to_the_separator(read: Read) -> None:
    found = read("a, b, c\n1, 2, 3\n")
    assert found.trim
    assert found.names == ["a", "b", "c"]
    assert found.rows == [["1", "2", "3"]]


def test_titles_units_and_a_line_that_names_the_separator_are_no_rows(read: Read) -> None:
    found = read("sep=;\nExport of plant 4\n\na;b;c\nmm/s;bar;rpm\n1;2;3\n4;5;6\n")
    assert (found.delimiter, found.names) == (";", ["a", "b", "c"])
    assert found.rows == [["1", "2", "3"], ["4", "5", "6"]]
    assert found.skip == 5
    assert any("before the line of names" in note for note in found.notes)
    assert any("line of units is left out: mm/s, bar, rpm" in note for note in found.notes)


def test_a_first_row_that_is_like_the_second_or_holds_one_word_is_a_row(read: Read) -> None:
    assert read("a;b\nidle;hot\nup;cold\n").rows == [["idle", "hot"], ["up", "cold"]]
    assert read("a;b\nidle;\n1;2\n").rows == [["idle", ""], ["1", "2"]]


def test_without_names_columns_are_numbered_and_no_row_is_lost(read: Read) -> None:
    with pytest.raises(DatasetError, match="--no-header"):
        read("1,2\n3,4\n")
    found = read("1,2\n3,4\n", header=False)
    assert (found.names, found.rows, found.skip) == (["1", "2"], [["1", "2"], ["3", "4"]], 0)


def test_a_separator_at_the_end_of_rows_but_not_of_names_is_a_column_of_nothing(
    read: Read,
) -> None:
    assert read("a;b\n1;2;\n3;4;\n").names == ["a", "b", ""]


@pytest.mark.parametrize(
    ("content", "decimal"),
    [
        ("a;b\n1,5;2\n3;4,25\n", ","),
        ("a;b\n1.5;2\n3;4\n", "."),
        ('a,b\n"1,5",2\n3,4\n', ","),
        ('a,b\n"1,234",2.5\n3,4\n', "."),  # a thousand, since a point is a decimal sign elsewhere
        ("a;b\n1;2\n", "."),
    ],
)
def test_the_decimal_sign_is_the_only_one_that_reads_all(
    read: Read, content: str, decimal: str
) -> None:
    assert read(content).decimal == decimal


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"  \n", "is empty"),
        (b"a,b\n\x00\x01,2\n", "is not text in utf-8"),
        (b'a,b\n"1,234",2\n', "'1,234' may separate thousands or decimals"),
        (b"a;b\n1,5;2.5\n", "holds both '1,5' and '2.5'"),
    ],
)
def test_what_is_no_table_or_two_is_refused_with_the_files_name(
    read: Read, content: bytes, problem: str
) -> None:
    with pytest.raises(DatasetError, match=f"plant.csv: .*{problem}"):
        read(content)


def test_a_named_encoding_that_does_not_read_the_bytes_is_refused(read: Read) -> None:
    with pytest.raises(DatasetError, match=r"is not utf-8 .* at byte 9"):
        read("a;b\n1;2\n5\xb0C;3\n".encode("latin-1"), encoding="utf-8")
    assert any("read as cp1252" in note for note in read(b"a;b\nK\xfchler;2\n").notes)
