"""Adaptive state of one stream: smoothing, recovery, and a tail that adapts to the stream.

:class:`AdaptiveTail` is a record of a few numbers, which compiled functions change with each
reading (:mod:`models.scoring.magnitudes.tail_kernel`). None of them uses the false-alarm budget:
the same readings get the same score on every asset.

A new stream's tail starts with the stretch that the training streams had at their end. How the
stream's level differs from its group's is learned from its first ``start`` readings: none of them
is left out, and the offset moves in steps that decrease as 1 / n, by 0.6 decades at most.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

import numpy as np

from models.arrays import Floats
from models.detectors.base import Array
from models.scoring.magnitudes import tail_kernel
from models.scoring.magnitudes.calibration import Calibration
from models.scoring.magnitudes.tail_kernel import TOKENS, UNSET
from models.scoring.stored import Stored

_COUNT: Final = (0, 2**53)
#: A stream's numbers in the order in which they are stored: the type of each, its default (None: as
#: the first, which is always stored), and the range of stored ones. The ranges only keep computed
#: values finite; the limits of adaptation are in the model set. The numbers are explained at the
#: functions of :mod:`models.scoring.magnitudes.tail_kernel` that change them.
_NUMBERS: Final[dict[str, tuple[type, float | None, tuple[float, float]]]] = {
    "slow": (np.float64, None, (-1e3, 1e3)),
    "log_stretch": (np.float64, 0.0, (-20.0, 20.0)),
    "tokens": (np.float64, TOKENS, (-1.0, 1e3)),
    "peak": (np.float64, 0.0, (-1e3, 1e3)),
    "level": (np.float64, 0.0, (-1e3, 1e3)),
    "offset": (np.float64, 0.0, (-1e30, 1e30)),
    "beyond": (np.int64, 0, _COUNT),
    "age": (np.int64, 0, _COUNT),
    "quick": (np.float64, None, (-1e3, 1e3)),
    "swift": (np.float64, UNSET, (-1.0, 1e300)),
    "lull": (np.int64, 0, _COUNT),
    "longest": (np.int64, 0, _COUNT),
}
TAIL: Final = np.dtype([(name, kind) for name, (kind, _, _) in _NUMBERS.items()], align=True)
_USUAL: Final = tuple(usual for _, usual, _ in _NUMBERS.values())
_LIMITS = np.dtype(
    [
        ("rate", np.float64), ("pace", np.float64), ("log_min_stretch", np.float64),
        ("log_max_stretch", np.float64), ("max_offset", np.float64), ("start", np.int64),
        ("adapts", np.bool_),
    ],
    align=True,
)  # fmt: skip
_FIXED = np.zeros(1, _LIMITS)  # of a tail that does not adapt


@dataclass(frozen=True, slots=True)
class AdaptationParams(Stored):
    """How far and how fast a tail may adapt to its stream; part of a model set.

    Parameters
    ----------
    rate : step of the logarithm of the stretch per reading; 0: no adaptation.
    pace : step of the offset, as a multiple of the stretch's.
    min_stretch, max_stretch : bounds of the stretch.
    max_offset : bound of the offset, in decades.
    start : readings of a new stream's start phase.
    first_stretch : stretch that a new stream's tail starts with.
    """

    KEYS: ClassVar = (
        "rate", "pace", "min_stretch", "max_stretch", "max_offset", "start", "first_stretch",
    )  # fmt: skip
    STORED_AS: ClassVar = {
        "min_stretch": "least", "max_stretch": "most", "max_offset": "furthest",
    }  # fmt: skip

    rate: float = 0.005
    pace: float = 0.6
    min_stretch: float = 0.7
    max_stretch: float = 6.0
    max_offset: float = 10.0
    start: int = 100
    first_stretch: float = 1.0
    #: (1,) of _LIMITS: what each reading needs
    numbers: Array = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        bounds = math.log(self.min_stretch), math.log(self.max_stretch), self.max_offset
        numbers = np.array([(self.rate, self.pace, *bounds, self.start, True)], _LIMITS)
        object.__setattr__(self, "numbers", numbers)


class AdaptiveTail:
    """Adaptive state of one stream, independent of the budget; ``step`` adds a reading."""

    __slots__ = ("_numbers",)

    def __init__(self, median: float, age: int = 0) -> None:
        self._numbers = np.zeros(1, TAIL)
        self._numbers["tokens"] = TOKENS
        self._numbers["age"] = age
        self.pause(median)
        self._numbers["level"] = 0.0

    @classmethod
    def of_new_stream(cls, median: float, params: AdaptationParams) -> AdaptiveTail:
        """Return the tail of a stream that has no readings yet."""
        tail = cls(median)
        tail._numbers["log_stretch"] = math.log(params.first_stretch)
        return tail

    @classmethod
    def warm(cls, cal: Calibration, params: AdaptationParams) -> None:
        """Load what is compiled, so that the first reading need not wait for it."""
        tail = cls(cal.median)
        tail.step(cal.median, cal, params)
        tail.alone(cal.median, cal, params)

    @property
    def numbers(self) -> np.void:
        """The tail's numbers, by the names of TAIL."""
        out: np.void = self._numbers[0]
        return out

    def step(
        self, fast: float, cal: Calibration, params: AdaptationParams | None, accept: int = 0
    ) -> tuple[float, float]:
        """Add one reading.

        Parameters
        ----------
        fast : combined magnitude of the reading, in decades.
        cal : calibration of the detectors present.
        params : parameters of the adaptation; None: the tail does not adapt.
        accept : consecutive readings beyond the gate after which they are the new normal; 0: never.

        Returns
        -------
        (m, u) : the magnitude, and the magnitude relative to the tail.
        """
        limits = _FIXED if params is None else params.numbers
        return tail_kernel.step(self._numbers, float(fast), cal.numbers, limits, accept)

    def follow(self, fast: Floats, cal: Calibration, params: AdaptationParams | None) -> Floats:
        """Add readings one after another; return their magnitudes relative to the tail, (n,).

        Parameters
        ----------
        fast : (n,)
            Their combined magnitudes, in decades.
        cal, params
            Those of :meth:`step`.
        """
        limits = _FIXED if params is None else params.numbers
        fast = np.ascontiguousarray(fast, np.float64)
        return tail_kernel.follow(self._numbers, fast, cal.numbers, limits)

    def adapt(self, magnitudes: Floats, cal: Calibration, params: AdaptationParams) -> None:
        """Adapt to magnitudes (n,) that are smoothed already.

        Parameters
        ----------
        magnitudes, cal, params
            As in :meth:`step`.
        """
        magnitudes = np.ascontiguousarray(magnitudes, np.float64)
        tail_kernel.learn_all(self._numbers, magnitudes, cal.numbers, params.numbers)

    def relative(self, m: float, cal: Calibration) -> float:
        """Return a magnitude relative to the tail; it changes nothing."""
        return tail_kernel.relative(self._numbers, float(m), cal.numbers)

    def alone(self, fast: float, cal: Calibration, params: AdaptationParams | None) -> float:
        """Return the magnitude, relative to the tail, of a reading that changes nothing.

        It counts as if usual readings had come before it.

        Parameters
        ----------
        fast, cal, params
            Those of :meth:`step`.
        """
        m = tail_kernel.swift_alone(float(fast), cal.numbers)
        return m if params is None else self.relative(m, cal)

    def pause(self, median: float) -> None:
        """Restart smoothing and excursion after a gap."""
        now = self.numbers
        now["slow"] = now["quick"] = now["level"] = median
        now["swift"] = UNSET
        now["peak"] = now["lull"] = now["longest"] = 0

    def settle_again(self) -> None:
        """Repeat the start phase of a new stream, after maintenance."""
        self._numbers["age"] = 0

    def copy(self) -> AdaptiveTail:
        """Return a tail with the same numbers, which goes on by itself."""
        other = AdaptiveTail.__new__(AdaptiveTail)
        other._numbers = self._numbers.copy()
        return other

    def to_list(self) -> list[float]:
        """Return the state ready for JSON, exactly, in the order of TAIL."""
        out = list(self._numbers[0].item())
        while out[-1] == _USUAL[len(out) - 1]:
            out.pop()
        return out

    @classmethod
    def from_list(cls, data: Any) -> AdaptiveTail:
        """Read what :meth:`to_list` returned; missing numbers at the end have defaults.

        Raises
        ------
        ValueError, TypeError
            The list is empty, or an entry is not a number in its range.
        """
        values: list[Any] = list(data)[: len(_NUMBERS)]
        if not values:
            raise ValueError("tail: is empty")
        for value, (name, (_, _, (lowest, highest))) in zip(values, _NUMBERS.items(), strict=False):
            if isinstance(value, bool) or not lowest <= value <= highest:
                raise ValueError(f"tail: {name} {value!r:.40} lies outside {lowest:g}..{highest:g}")
        values += _USUAL[len(values) :]
        tail = cls.__new__(cls)
        tail._numbers = np.array([tuple(values[0] if v is None else v for v in values)], TAIL)
        return tail
