"""Bring a fold's magnitudes to the level of the detectors fitted on all data.

A fold's magnitudes stand for those of the detectors that serve, but their levels differ a little.
Where most normal readings are alike (a sensor of a few values beside a switch, rare high spikes),
that is more than these differ by, and all of them would seem rarer than nearly every reading of a
fold. Two comparisons show it, each where it is fair:

- A detector of single readings has about the same magnitudes on readings it was fitted on as on
  others. A fold's detector and the one that serves are compared on readings both were fitted on.
- A network's errors on readings it was trained on are too small to say how large they are on
  others. But they cannot honestly be larger: where the serving network's magnitudes of a fold's
  held-out readings, which it was trained on, lie above those of the fold's network, which never
  saw them, the fold's are lifted to them, quantile by quantile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from models.arrays import Floats
from models.detectors.base import Detector
from models.fitting.calibration.cross_validation import FoldResult, Part, Rows, raw_magnitudes
from models.scoring.features.preprocessing import Preprocessing

#: Readings and stretches of a fold that a network is compared on.
_COMPARED: Final = 2_000
_STRETCHES: Final = 20
#: Quantiles that are compared; beyond the outermost, their lift applies.
_QUANTILES: Final = np.arange(1, 20) / 20.0

#: A quantile function: magnitudes (q,) and what is added to them (q,).
_Lift = tuple[Floats, Floats]


def aligned(fold: FoldResult, levels: Mapping[str, Floats]) -> FoldResult:
    """Shift a fold's magnitudes to the level of the detectors fitted on all data.

    The levels differ by the median difference on readings that both were fitted on. Magnitudes are
    shifted by all of it if the middle half of them differ by less, else by a part in proportion.

    Parameters
    ----------
    fold
        Result of the fold.
    levels
        Magnitudes (n,) of ``fold.known`` by the detectors fitted on all data.
    """
    shift = {name: _shift(own, levels[name]) for name, own in fold.levels.items()}

    def shifted(magnitudes: dict[str, Floats]) -> dict[str, Floats]:
        return {name: values + shift.get(name, 0.0) for name, values in magnitudes.items()}

    parts = [(part, shifted(found), shifted(warm)) for part, found, warm in fold.parts]
    return replace(fold, parts=parts)


def _shift(own: Floats, levels: Floats) -> float:
    """Return how far a fold's magnitudes are shifted; ``own`` and ``levels`` are (n,)."""
    apart = float(np.median(levels - own))
    low, high = np.quantile(own, (0.25, 0.75))
    return apart * min(1.0, abs(apart) / max(float(high - low), 1e-300))


def lifted(
    fold: FoldResult,
    streams: Sequence[Floats],
    pre: Preprocessing,
    detectors: Mapping[str, Detector],
    rows: Rows,
) -> FoldResult:
    """Lift the magnitudes of a fold's window detectors to those of the detectors that serve.

    Parameters
    ----------
    fold
        Result of the fold.
    streams : list of (n_i, d)
        The readings that its parts are of.
    pre, detectors
        Fitted on all of them.
    rows
        Makes the detectors' rows of a stream.
    """
    tried = {name for _, found, _ in fold.parts for name in found}  # not all folds try networks
    networks = {name: one for name, one in detectors.items() if one.window > 1 and name in tried}
    lifts = _lifts(fold, streams, pre, networks, rows) if networks else {}
    if not lifts:
        return fold

    def raised(name: str, values: Floats) -> Floats:
        return values + np.interp(values, *lifts[name]) if name in lifts else values

    parts = [
        (part, {name: raised(name, values) for name, values in found.items()}, warm)
        for part, found, warm in fold.parts
    ]
    return replace(fold, parts=parts)


def _lifts(
    fold: FoldResult,
    streams: Sequence[Floats],
    pre: Preprocessing,
    networks: dict[str, Detector],
    rows: Rows,
) -> dict[str, _Lift]:
    own: dict[str, list[Floats]] = {name: [] for name in networks}
    serving: dict[str, list[Floats]] = {name: [] for name in networks}
    every = -(-len(fold.parts) // _STRETCHES)
    for part, found, _ in fold.parts[::every]:
        some = _middle(part, _COMPARED // -(-len(fold.parts) // every))
        scaled = rows(pre, part.stream, streams[part.stream])
        magnitudes = raw_magnitudes(networks, scaled, some.start, some.end)
        for name, values in magnitudes.items():
            beside = found[name][some.start - part.start : some.end - part.start]
            both = np.isfinite(values) & np.isfinite(beside)
            serving[name].append(values[both])
            own[name].append(beside[both])
    lifts = {}
    for name in networks:
        of_fold, of_serving = np.concatenate(own[name]), np.concatenate(serving[name])
        if len(of_fold) >= len(_QUANTILES):
            at = np.quantile(of_fold, _QUANTILES)
            lifts[name] = at, np.maximum(np.quantile(of_serving, _QUANTILES) - at, 0.0)
    return lifts


def _middle(part: Part, most: int) -> Part:
    """Return at most ``most`` readings of a part, from its middle."""
    spare = max(part.end - part.start - most, 0)
    start = part.start + spare // 2
    return replace(part, start=start, end=part.end - (spare - spare // 2))
