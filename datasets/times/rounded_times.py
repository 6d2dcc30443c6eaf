"""Refuse times that a spreadsheet program saved as it showed them: 1.70E+12."""

from __future__ import annotations

from typing import Any, Final

import pyarrow.compute as pc

from errors import DatasetError

#: A large number with an exponent and hardly any decimals.
_ROUNDED: Final = r"^\d(?:[.,]\d{1,6})?[eE]\+?(?:0?9|1\d)$"


def refuse_rounded(column: Any, first: int) -> None:
    """Raise an error if numbers since 1970 lack their last digits, so that most are equal.

    Parameters
    ----------
    column : pyarrow array of texts
    first : number of the first row, for the message.

    Raises
    ------
    DatasetError
        All have an exponent, and half of them or fewer differ.
    """
    rounded = pc.all(pc.match_substring_regex(column, _ROUNDED)).as_py()
    if rounded and len(column) > 2 and 2 * len(pc.unique(column)) <= len(column):
        raise DatasetError(
            f"row {first}: timestamp {column[0].as_py()!r} has lost its last digits, as most times"
            " have: show that column without an exponent in the program that saved it",
            field="timestamp",
        )
