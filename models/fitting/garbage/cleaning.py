"""Leave garbage out of training: readings with a value that no sensor measured.

:mod:`models.scoring.features.garbage` defines garbage. A reading with garbage is left out of all
fits, as it is left out of a live stream's window. A feature that is garbage in most readings is not
used. A code that is frequent in one feature means "not measured" in every feature that never
measures such a value, and so does scattered garbage (:mod:`models.fitting.garbage.scatter`), a
code that no list knows (:mod:`models.fitting.garbage.repeated_codes`) and a zero where nothing was
measured (:mod:`models.fitting.garbage.dropped_zeros`) in its feature. It is a missing value there,
in training and live, and is imputed if few values of the reading are missing.
What a stuck sensor sends (:mod:`models.fitting.garbage.repeat_rates`) is a missing value in
training only: live, its rarity counts. Any other garbage in a live reading is a sensor fault, and
so is scattered garbage where nothing is imputed: the reading would be rejected for a value that it
has.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from errors import TrainingError
from models.arrays import Bools, Floats, Times
from models.fitting.garbage.repeat_rates import stuck_readings
from models.fitting.garbage.scatter import Scatter, learn_with_scatter, remove_scatter
from models.fitting.imputation import impute
from models.fitting.places import Places
from models.scoring.features.garbage import Garbage, describe

#: A feature with a larger share of garbage is not used.
MAX_GARBAGE: Final = 0.5
#: A code in a larger share of a feature's readings means "not measured".
OFTEN: Final = 0.01
#: Factor by which the garbage bounds are wider live than in training: an extreme value may be a
#: fault of the machine, which must open an event of its own.
_WIDER: Final = 10.0


@dataclass(slots=True)
class Cleaned:
    """Training data without garbage.

    Parameters
    ----------
    streams : list of (n_i, d), usable features only.
    holes : list of (n_i, d), whether a value is imputed; None: none is.
    timestamps : their times, if known.
    who : names of the streams, if known.
    names : the d usable features.
    unusable : features that were left out.
    garbage : garbage rules of the usable features for live readings.
    nulls : feature -> codes that mean "not measured".
    beyond : feature -> bounds (low, high) beyond which values mean "not measured".
    notes : what was left out, with value, column and rows.
    """

    streams: list[Floats]
    holes: list[Bools] | None
    timestamps: list[Times] | None
    names: list[str]
    unusable: list[str]
    garbage: Garbage
    nulls: dict[str, tuple[float, ...]]
    beyond: dict[str, tuple[float, ...]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    who: list[str] | None = None

    @property
    def places(self) -> Places:
        """Return what says where readings are."""
        return Places(self.timestamps, self.who)


def clean(
    streams: Sequence[Floats],
    timestamps: Sequence[Times] | None,
    names: Sequence[str],
    imputed: Callable[[int], int] = lambda width: 0,
    stuck: float = 0.0,
    who: Sequence[str] | None = None,
) -> Cleaned:
    """Find the garbage in training data; impute it or leave it out.

    Parameters
    ----------
    streams : list of (n_i, d)
        NaN is a missing value; a reading with few of them is used.
    timestamps : list of (n_i,), or None
        Times of the readings, if known.
    names : (d,)
        Feature names.
    imputed
        Maps the number of features to the most that may be imputed per reading.
    stuck
        Largest share of the readings in which sensors are stuck; more are a way to operate.
    who
        Names of the streams, if known, for the notes.

    Raises
    ------
    TrainingError
        Every feature is garbage in most readings.
    """
    places = Places(timestamps, who)
    streams, still = _without_stuck(streams, names, stuck, places)
    pooled = np.concatenate(streams)
    garbage, scattered, own = learn_with_scatter(streams)
    remove_scatter(pooled, scattered)
    mask = garbage.mask(pooled)
    usable = np.flatnonzero(mask.mean(axis=0) <= MAX_GARBAGE).tolist()
    if not usable:
        raise TrainingError("data: most values of every feature are error codes, not measurements")
    nulls = _nulls(pooled, garbage, usable, names, own, imputed(len(usable)) > 0)
    lacking = _lacking(pooled[:, usable], [nulls.get(names[j], ()) for j in usable])
    values = np.where(lacking, np.nan, pooled[:, usable])
    edges = np.cumsum([len(s) for s in streams])[:-1]
    bad = (mask[:, usable] & ~lacking).any(axis=1)
    parts = impute(np.split(values, edges), imputed(len(usable)), np.split(bad, edges))
    whole = ~np.isnan(np.concatenate(parts)).any(axis=1)
    bad |= ~whole
    keep = np.split(~bad, edges)
    holes = np.isnan(values)
    filled = holes.any(axis=1) & whole
    live = _wider(garbage, usable)
    beyond: dict[str, tuple[float, ...]] = {
        names[one.feature]: (one.low, one.high) for one in scattered
    }
    if not imputed(len(usable)):
        live, beyond = _bounded(live, [names[j] for j in usable], beyond), {}
    notes = still + _scattered(streams, scattered, names, missing=bool(beyond))
    sent = ~np.isnan(np.concatenate(streams)).any(axis=1)
    lengths = [len(stream) for stream in streams]
    notes += describe(pooled, mask, names, lambda rows: places.of_rows(rows, lengths))
    notes += _consequences(len(pooled), int((bad & sent).sum()), int((filled & sent).sum()))
    if lost := int((~whole & ~sent).sum()):
        notes.append(
            f"{lost:,} of {len(pooled):,} readings lack more values than may be imputed (a counter"
            " has no rate at its first reading and after a gap; --impute) and were left out"
        )
    unusable = [name for j, name in enumerate(names) if j not in usable]
    notes += [f"{name}: not used, most of its values are no measurements" for name in unusable]
    left = [i for i, rows in enumerate(keep) if rows.any()]
    gaps = np.split(holes, edges)
    lacks = [gaps[i][keep[i]] for i in left] if filled.any() else None
    return Cleaned(
        [parts[i][keep[i]] for i in left], lacks,
        None if timestamps is None else [timestamps[i][keep[i]] for i in left],
        [names[j] for j in usable], unusable, live, nulls, beyond, notes,
        None if who is None else [who[i] for i in left],
    )  # fmt: skip


def _without_stuck(
    streams: Sequence[Floats], names: Sequence[str], share: float, places: Places
) -> tuple[list[Floats], list[str]]:
    """Return streams (n_i, d) where values of stuck sensors are NaN, and a note on each sensor."""
    stuck = stuck_readings(streams) if share else []
    rows = np.concatenate([one.any(axis=1) for one in stuck]) if stuck else np.zeros(0, bool)
    if not rows.any() or rows.mean() > share:
        return list(streams), []
    every = np.concatenate(stuck)
    notes = [
        f"{names[j]}: {int(every[:, j].sum()):,} readings repeat a value as a stuck sensor does,"
        f" and count as missing ({places.of([one[:, j] for one in stuck])}; --trim 0 keeps them)"
        for j in np.flatnonzero(every.any(axis=0)).tolist()
    ]
    return [np.where(one, np.nan, s) for one, s in zip(stuck, streams, strict=True)], notes


def _lacking(values: Floats, codes: Sequence[tuple[float, ...]]) -> Bools:
    """Return which of ``values`` (n, d) are a code for "not measured" in their column."""
    out = np.zeros(values.shape, bool)
    for j, known in enumerate(codes):
        if known:
            out[:, j] = np.isin(values[:, j], known)
    return out


def _scattered(
    streams: Sequence[Floats], found: Sequence[Scatter], names: Sequence[str], *, missing: bool
) -> list[str]:
    """Describe each feature's scattered garbage: its number, its range, and its consequence.

    ``missing``: it is imputed.
    """
    meaning = (
        "count as missing, live as well" if missing else "are left out, and a sensor fault live"
    )
    out = []
    for one in found:
        parts = [stream[:, one.feature] for stream in streams]
        far = np.concatenate([part[one.mask(part)] for part in parts])
        out.append(
            f"{names[one.feature]}: {len(far):,} values from {far.min():.4g} to {far.max():.4g} are"
            " no measurements: they come without relation to anything, and never alike. Values"
            f" below {one.low:.4g} or above {one.high:.4g} {meaning}"
        )
    return out


def _consequences(total: int, gone: int, filled: int) -> list[str]:
    notes = []
    if filled:
        notes.append(
            f"{filled:,} of {total:,} readings hold few such values, which were imputed from"
            " the other features"
        )
    if gone:
        notes.append(
            f"{gone:,} of {total:,} readings hold such values and were left out (--null=VALUE reads"
            " a value as missing)"
        )
    return notes


def _nulls(
    pooled: Floats,
    garbage: Garbage,
    usable: list[int],
    names: Sequence[str],
    own: Mapping[int, Collection[float]],
    imputing: bool,
) -> dict[str, tuple[float, ...]]:
    """Return, for each feature, the frequent codes of any feature that it never measures.

    Codes that no list knows are ``own`` ones of features: elsewhere they may be measurements. Of
    these, 0 counts however rare it is if it is imputed: a logger sends it where no value arrived.
    """
    often = {
        (code, j if code in own.get(j, ()) else None)
        for j in range(pooled.shape[1])
        for code in garbage.codes[j]
        if (pooled[:, j] == code).mean() > OFTEN or (imputing and code == 0)
    }
    out = {}
    for j in usable if often else ():
        here = {code for code, only in often if only in (None, j)}
        sent = pooled[~np.isnan(pooled[:, j]), j]
        measured = sent[~np.isin(sent, list(here))]
        if not len(measured):
            continue
        low, high = measured.min(), measured.max()
        found = tuple(sorted(code for code in here if code < low or code > high))
        if found:
            out[names[j]] = found
    return out


def _bounded(
    garbage: Garbage, names: Sequence[str], beyond: Mapping[str, tuple[float, ...]]
) -> Garbage:
    """Return the garbage rules of features with bounds (low, high) for some of them."""
    low, high = garbage.low.copy(), garbage.high.copy()
    for name, bounds in beyond.items():
        if name in names:
            low[names.index(name)], high[names.index(name)] = bounds
    return replace(garbage, low=low, high=high)


def _wider(garbage: Garbage, usable: list[int]) -> Garbage:
    low, high = garbage.low[usable], garbage.high[usable]
    middle, half = np.zeros(len(usable)), np.full(len(usable), np.inf)
    bounded = np.isfinite(low) & np.isfinite(high)
    middle[bounded] = (low[bounded] + high[bounded]) / 2.0
    half[bounded] = _WIDER * (high[bounded] - low[bounded]) / 2.0
    codes = tuple(garbage.codes[j] for j in usable)
    return replace(garbage, low=middle - half, high=middle + half, codes=codes)
