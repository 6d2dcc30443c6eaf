"""What cannot be read: left out and named while it is rare, refused when it is not."""

from __future__ import annotations

import pytest

from datasets.unreadable import Unreadable
from errors import DatasetError


def test_one_row_of_a_hundred_is_named_and_more_are_refused_by_the_first():
    odd = Unreadable("rows left out")
    assert odd.notes() == []
    for row in (7, 3):
        odd.add(row, DatasetError(f"row {row}: bad {row}"))
    odd.check(200)
    assert odd.notes() == ["rows left out (2): row 3: bad 3; row 7: bad 7"]
    with pytest.raises(DatasetError, match="row 3"):
        odd.check(199)


def test_errors_known_of_later_rows_do_not_count_yet():
    odd = Unreadable("lines left out")
    for row in range(9000, 9050):
        odd.add(row, DatasetError(f"row {row}: bad"))
    odd.check(4000)
    odd.check(10_000)


def test_alike_errors_are_named_once_and_the_commonest_first():
    odd = Unreadable("values")
    for row in range(1, 8):
        odd.add(row, DatasetError(f"row {row}: x holds '{row}e'"))
    for row in (20, 21, 30, 31, 32, 40):
        odd.add(row, DatasetError(f"row {row}: mode holds 'Fault'"))
    (note,) = odd.notes()
    assert note.startswith(
        "values (13): row 20: mode holds 'Fault' (also rows 21, 30, 31 and 2 more); row 1: x holds"
    )
    assert note.endswith("row 4: x holds '4e'; and 3 others")
