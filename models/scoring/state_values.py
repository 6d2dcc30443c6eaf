"""Write arrays of a stream's state for JSON, exactly, and check the values that are read back."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

#: Bounds of times, in seconds since 1970, and of what only has to be finite.
TIMES: Final = (-1e15, 1e15)
FINITE: Final = (-1.7e308, 1.7e308)


def pack(values: NDArray[Any] | None, kind: str) -> str | None:
    """Return an array as text, as numbers of a kind (``<f4``); None: there is none."""
    return None if values is None else base64.b64encode(values.astype(kind).tobytes()).decode()


def unpack(text: str, kind: str, *shape: int) -> NDArray[Any]:
    """Return the array that :func:`pack` made text of.

    Raises
    ------
    ValueError, TypeError
        It is no text, of another shape, or not finite.
    """
    values = np.frombuffer(base64.b64decode(text), kind).astype(kind[1:])
    if not np.isfinite(values).all():
        raise ValueError("not finite")
    return values.reshape(shape)


def check(what: str, numbers: Iterable[Any], bounds: tuple[float, float]) -> None:
    """Raise where one of the numbers is none, or lies outside its bounds.

    Parameters
    ----------
    what
        Names them in the error.
    numbers
        As they were read.
    bounds
        Least and most, both allowed.

    Raises
    ------
    ValueError, TypeError
        Naming it.
    """
    lowest, highest = bounds
    for number in numbers:
        if isinstance(number, bool) or not lowest <= number <= highest:
            raise ValueError(f"{what}: {number!r:.40} lies outside {lowest:g}..{highest:g}")


def as_count(value: Any, lowest: int = 1) -> int:
    """Return a number of readings as it was read.

    Raises
    ------
    ValueError
        It is none, or less than the least.
    """
    if type(value) is not int or not lowest <= value < 2**53:
        raise ValueError(f"{value!r:.40} is not a number of readings")
    return value
