"""Encode arrays of a stream's state for JSON, exactly, and validate values read back."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

#: Bounds of times in seconds since 1970, and of values that only have to be finite.
TIMES: Final = (-1e15, 1e15)
FINITE: Final = (-1.7e308, 1.7e308)


def pack(values: NDArray[Any] | None, kind: str) -> str | None:
    """Encode an array as base64 text, as numbers of a kind (``<f4``); None stays None."""
    return None if values is None else base64.b64encode(values.astype(kind).tobytes()).decode()


def unpack(text: str, kind: str, *shape: int) -> NDArray[Any]:
    """Decode what :func:`pack` returned.

    Raises
    ------
    ValueError, TypeError
        ``text`` is not base64 text, or its array has another shape or is not finite.
    """
    values = np.frombuffer(base64.b64decode(text), kind).astype(kind[1:])
    if not np.isfinite(values).all():
        raise ValueError("not finite")
    return values.reshape(shape)


def check(what: str, numbers: Iterable[Any], bounds: tuple[float, float]) -> None:
    """Check that all values are numbers within bounds.

    Parameters
    ----------
    what
        Names the values in the error.
    numbers
        Values as read.
    bounds
        Smallest and largest allowed value.

    Raises
    ------
    ValueError, TypeError
        A value is not a number, or out of bounds.
    """
    lowest, highest = bounds
    for number in numbers:
        if isinstance(number, bool) or not lowest <= number <= highest:
            raise ValueError(f"{what}: {number!r:.40} lies outside {lowest:g}..{highest:g}")


def as_count(value: Any, lowest: int = 1) -> int:
    """Return a number of readings after validation.

    Raises
    ------
    ValueError
        ``value`` is not an integer, or less than ``lowest``.
    """
    if type(value) is not int or not lowest <= value < 2**53:
        raise ValueError(f"{value!r:.40} is not a number of readings")
    return value
