"""Inject faults into normal readings, to measure the detection rate without labels.

A detector that never alarms keeps every false-alarm budget. Choices are therefore never based on
the alarm rate alone: faults of known kind and size are added to held-out normal readings, and the
share detected counts too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from models.arrays import Floats

#: step: a constant offset; spike: an offset in one reading; drift: a ramp up to the size; stuck:
#: the first reading's value repeated; noise: added noise; swap: features exchanged, in units of sd.
KINDS: Final = ("step", "spike", "drift", "stuck", "noise", "swap")


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault to inject.

    Parameters
    ----------
    kind : one of KINDS.
    start, length : range of affected readings.
    columns : affected features.
    size : in standard deviations; not used by "stuck" and "swap".
    signs : -1 or 1 per column.
    """

    kind: str
    start: int
    length: int
    columns: tuple[int, ...]
    size: float
    signs: tuple[int, ...]

    @property
    def end(self) -> int:
        """Return the index after the fault's last reading."""
        return self.start + self.length


def inject(values: Floats, fault: Fault, spread: Floats, rng: np.random.Generator) -> Floats:
    """Return a copy of ``values`` (n, d) with the fault in it.

    Parameters
    ----------
    spread : (d,)
        Standard deviation of each feature, in the unit of ``values``.
    """
    out = np.array(values, np.float64)
    rows = slice(fault.start, fault.end)
    columns = list(fault.columns)
    part = out[rows][:, columns]
    length = len(part)
    size = fault.size * spread[columns] * np.array(fault.signs)
    if fault.kind == "step":
        part = part + size
    elif fault.kind == "spike":
        part[0] += size
    elif fault.kind == "drift":
        part = part + size * (np.arange(1, length + 1)[:, None] / length)
    elif fault.kind == "stuck":
        part = np.repeat(part[:1], length, axis=0)
    elif fault.kind == "noise":
        part = part + np.abs(size) * rng.normal(size=part.shape)
    elif fault.kind == "swap":
        centre = np.median(values[:, columns], axis=0)
        unit = (part - centre) / spread[columns]
        part = centre + np.roll(unit, 1, axis=1) * spread[columns]
    else:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {fault.kind!r}")
    out[rows, columns] = part
    return out
