"""Keep columns of few distinct texts, such as ids and labels, as codes and a list of values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from datasets.values.numbers import EXACT
from errors import DatasetError


@dataclass(frozen=True, slots=True)
class Texts:
    """A column of few distinct texts: ``codes`` (n,) index ``values``; -1 is an empty cell."""

    codes: npt.NDArray[np.int32]
    values: list[str]


def distinct(parts: Sequence[Texts]) -> tuple[npt.NDArray[np.int32], list[str]]:
    """Concatenate columns of texts; return codes (n,) and the common list of values."""
    numbers: dict[str, int] = {}
    codes = []
    for part in parts:
        known = [numbers.setdefault(value, len(numbers)) for value in part.values]
        codes.append(np.array([*known, -1], np.int32)[part.codes])
    return np.concatenate(codes), list(numbers)


def as_codes(column: Any, name: str) -> Any:
    """Return a column of ids or texts as codes and a dictionary; ``name`` is for errors.

    Raises
    ------
    DatasetError
        The column holds lists, structures or bytes.
    """
    if pa.types.is_nested(column.type):
        raise DatasetError(f"column {name!r} holds {column.type}, no names", field=name)
    if pa.types.is_binary(column.type):
        raise DatasetError(f"column {name!r} holds bytes that are not UTF-8", field=name)
    if pa.types.is_floating(column.type):
        column = column.cast(pa.float64())
    if pa.types.is_null(column.type):
        column = column.cast(pa.string())
    return column.dictionary_encode()


def id_text(value: Any, field: str, row: int) -> str | None:
    """Return an id as text.

    The float 7.0 becomes "7": pandas turns a column of integers into floats if one is missing.

    Parameters
    ----------
    value
        The id as read.
    field
        Names the column in the error.
    row
        Row number, for the error.

    Raises
    ------
    DatasetError
        A float that is not exactly a whole number.
    """
    if value is None or value != value:
        return None
    if isinstance(value, float) and not (value.is_integer() and abs(value) <= EXACT):
        raise DatasetError(
            f"row {row}: {field} {value!r} is a float that is not exactly a whole number: write ids"
            " as text",
            field=field,
        )
    return text_of(value)


def text_of(value: Any) -> str:
    """Return a value as text; a float that is a whole number without its point."""
    if isinstance(value, float) and value.is_integer() and abs(value) <= EXACT:
        return str(int(value))
    return str(value)
