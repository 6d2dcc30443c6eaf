"""Find a group's operating conditions from indicator features, found in the data or named.

A feature is a candidate indicator if its values lie in a few ranges with hardly any values between.
The ranges are conditions only if streams enter each of them repeatedly: a range visited once is a
fault or a permanent change. Nor may they be values of a coarsely rounded measurement
(:mod:`models.fitting.operation.rounded_ranges`). Candidates are added greedily while each explains
enough variance of the other features.

Conditions found in the data are used only if held-out stretches confirm them. For at least a
quarter of the other features, four fifths of the variance must lie between conditions (two
conditions are then four standard deviations apart). And small injected steps must be detected at
least as often as without conditions, at a threshold that holds the budget on these stretches.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

import numpy as np

from models.arrays import Floats, Indices
from models.detectors.covariance import winsorised_std
from models.fitting.operation.rounded_ranges import without_rounding
from models.fitting.trials.distance import Scoring, fit_tight_distance
from models.fitting.trials.tolerance import OF_ALL_SIZES, seen_by
from models.fitting.trials.ways_of_scoring import Fold
from models.scoring.features.conditions import Conditions

#: A hole separates two ranges: at least _HOLE consecutive bins, each a hundredth of the feature's
#: middle 90 % wide and holding at most the share _SPARSE of the readings.
_HOLE: Final = 5
_SPARSE: Final = 1e-3
_SHARE: Final = 0.01  # least share of the readings in a range or condition
_LEAST: Final = 20  # least number of readings in a range or condition
MAX_RANGES: Final = 12  # ranges of a feature, and conditions, at most
_MAX_NAMED: Final = 64  # distinct values of a named feature that may each be a range, at most
_KNOWN: Final = 0.9  # least share of the readings inside the conditions
_RETURNS: Final = 5  # least number of times that streams enter, and leave, a condition
_PIECES: Final = 5  # pieces of a stream (or streams) half of which must visit a condition ...
_MANY: Final = 10  # ... or at least this many
_TELLS: Final = 0.05  # least share of the others' variance that a further indicator must explain
_EXPLAINED: Final = 0.8  # least share of a feature's variance between conditions ...
FOLLOW: Final = 0.25  # ... for at least this share of the features
_CONSTANT: Final = 0.01  # spread of a feature constant in each condition, as a share of the overall
_PRIOR: Final = 20  # weight of the pooled spread, in readings
_ROWS: Final = 5_000  # readings used to compare candidate indicators, at most
_BLOCKS: Final = 10  # blocks of a long stream, every other one held out
_SHORTEST: Final = 40  # fewest readings in a block


@dataclass(slots=True)
class ConditionFit:
    """Result of the search: ``conditions`` (None for a single one), ``notes`` and figures."""

    conditions: Conditions | None = None
    notes: list[str] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)

    def least(self, streams: Sequence[Floats]) -> Floats | None:
        """Return the spread (d,) for features that are constant within conditions only."""
        if self.conditions is None:
            return None
        spread = winsorised_std(np.concatenate(streams))
        # a rare condition does not affect a robust spread, and yet the feature varies
        spread = np.where(spread > 0.0, spread, self.conditions.center.std(axis=0))
        return _CONSTANT * spread


def find_conditions(
    streams: Sequence[Floats],
    names: Sequence[str],
    asked: str | Sequence[str],
    seed: int = 0,
    rates: Collection[str] = (),
) -> ConditionFit:
    """Find the operating conditions of streams.

    Parameters
    ----------
    streams : list of (n_i, d)
    names : (d,)
    asked : "auto": search the data; "none": a single condition; else a sequence of the names of
        indicators, of which the group may lack some.
    seed : seed of the injected steps.
    rates : features that are a counter's rate. The step of the counter separates its values, so
        they tell conditions only if named.
    """
    if asked == "none":
        return ConditionFit()
    if asked != "auto":
        return _named(streams, names, asked)
    made = _search(streams, names, rates)
    folds = _halves(streams) if made is not None else []
    if made is None or not folds:
        return ConditionFit()
    return _judged(made, streams, folds, seed)


def restate(conditions: Conditions | None, streams: Sequence[Floats]) -> list[Floats]:
    """Restate streams (n_i, d) for the usual condition."""
    if conditions is None:
        return list(streams)
    return [conditions.restated(s, conditions.nearest(s)[0]) for s in streams]


def ranges(values: Floats) -> Floats:
    """Return the ranges (k, 2) of values (n,), separated by holes."""
    low, high = np.quantile(values, (0.05, 0.95))
    if high <= low:
        low, high = float(values.min()), float(values.max())
    if high <= low:
        return np.array([[low, high]])
    width = (high - low) / 100.0
    binned = np.clip((values - low) / width, -200.0, 300.0).astype(np.int64) + 200
    counts = np.bincount(binned, minlength=501)
    full = np.flatnonzero(counts > _SPARSE * len(values))
    if not len(full):
        return np.zeros((0, 2))
    found = []
    for bins in np.split(full, np.flatnonzero(np.diff(full) > _HOLE) + 1):
        inside = values[(binned >= bins[0]) & (binned <= bins[-1])]
        if len(inside) >= max(_SHARE * len(values), _LEAST):
            found.append((inside.min(), inside.max()))
    return np.array(found).reshape(-1, 2)


def _named(streams: Sequence[Floats], names: Sequence[str], asked: Sequence[str]) -> ConditionFit:
    found = ConditionFit()
    pooled = np.concatenate(streams)
    chosen: dict[int, Floats] = {}
    for name in asked:
        if name not in names:
            found.notes.append(f"condition {name}: no feature of these streams, not used")
            continue
        column = pooled[:, list(names).index(name)]
        each = ranges(column)
        if len(each) < 2:
            distinct = np.unique(column)
            each = np.stack([distinct, distinct], axis=1)
        if not 2 <= len(each) <= _MAX_NAMED:
            kind = "constant" if len(each) == 1 else "without steps"
            found.notes.append(f"condition {name}: {kind}, so it separates no operating conditions")
            continue
        chosen[list(names).index(name)] = each
    labels, boxes = _joint(pooled, chosen)
    keep = [k for k in range(len(boxes)) if (labels == k).sum() >= _LEAST]
    if len(keep) < 2:
        if chosen:
            found.notes.append("condition: all readings belong to one operating condition")
        return found
    found.conditions = _fit(streams, names, list(chosen), np.array(boxes)[keep])
    _report(found, streams)
    return found


def _search(
    streams: Sequence[Floats], names: Sequence[str], rates: Collection[str]
) -> Conditions | None:
    """Return the conditions given by as few indicators as possible; None if there are none."""
    pooled = np.concatenate(streams)
    each = without_rounding([ranges(column) for column in pooled.T], pooled)
    can = {
        j: found for j, found in enumerate(each)
        if 2 <= len(found) <= MAX_RANGES and names[j] not in rates
    }  # fmt: skip
    edges = np.cumsum([len(s) for s in streams])[:-1]
    some = np.sort(np.random.default_rng(0).permutation(len(pooled))[:_ROWS])
    chosen: dict[int, Floats] = {}
    boxes: list[Floats] = []
    left = 1.0
    while can:
        tried = []
        for j, found in can.items():
            labels, made = _joint(pooled, {**chosen, j: found})
            keep = _visited(np.split(labels, edges), len(made))
            known = np.isin(labels, keep)
            splits = max(len(boxes), 1) < len(keep) <= MAX_RANGES
            if splits and known.mean() >= _KNOWN:
                rows = some[known[some]]
                others = [i for i in range(pooled.shape[1]) if i not in (*chosen, j)]
                rest = _unexplained(pooled[rows][:, others], labels[rows])
                tried.append((float(rest.mean()) if len(rest) else 1.0, j, [made[k] for k in keep]))
        least = min((rest for rest, _, _ in tried), default=1.0)
        if least > left - _TELLS:
            break
        left, j, boxes = next(one for one in tried if one[0] <= least + _TELLS / 5.0)
        chosen[j] = can.pop(j)
    return _fit(streams, names, list(chosen), np.array(boxes)) if chosen else None


def _joint(pooled: Floats, chosen: dict[int, Floats]) -> tuple[Indices, list[Floats]]:
    """Return the index of each reading's combination of ranges, (n,), and the combinations.

    A reading outside all ranges has index -1. Each combination is (c, 2).
    """
    if not chosen:
        return np.full(len(pooled), -1), []
    codes = np.stack([_range_of(pooled[:, j], each) for j, each in chosen.items()], axis=1)
    inside = (codes >= 0).all(axis=1)
    shape = tuple(len(each) for each in chosen.values())
    keys, of = np.unique(np.ravel_multi_index(codes[inside].T, shape), return_inverse=True)
    labels = np.full(len(pooled), -1)
    labels[inside] = of
    spans = list(zip(chosen.values(), np.unravel_index(keys, shape), strict=True))
    return labels, [np.array([each[at[k]] for each, at in spans]) for k in range(len(keys))]


def _range_of(values: Floats, each: Floats) -> Indices:
    at = np.searchsorted(each[:, 0], values, side="right") - 1
    return np.where((at >= 0) & (values <= each[at, 1]), at, -1)


def _visited(labels: Sequence[Indices], count: int) -> list[int]:
    """Return the conditions that streams visit repeatedly."""
    entered, left = np.zeros(count, int), np.zeros(count, int)
    pieces: list[Indices] = []
    for one in labels:
        known = one[one >= 0]
        changes = np.diff(known) != 0
        entered += np.bincount(known[1:][changes], minlength=count)
        left += np.bincount(known[:-1][changes], minlength=count)
        pieces += [one] if len(labels) >= _PIECES else np.array_split(one, _PIECES)
    here = np.sum([np.isin(np.arange(count), piece) for piece in pieces], axis=0)
    every = np.concatenate(labels)
    held = np.bincount(every[every >= 0], minlength=count)
    enough = (held >= max(_SHARE * len(every), _LEAST)) & (here >= min(len(pieces) / 2, _MANY))
    return np.flatnonzero(enough & (entered >= _RETURNS) & (left >= _RETURNS)).tolist()


def _unexplained(values: Floats, labels: Indices) -> Floats:
    """Return the share of each varying feature's variance that remains within conditions."""
    total = winsorised_std(values)
    varied = total > 0
    rest = np.array(values)
    for k in np.unique(labels):
        rest[labels == k] -= np.median(values[labels == k], axis=0)
    return (winsorised_std(rest)[varied] / total[varied]) ** 2


def _fit(
    streams: Sequence[Floats], names: Sequence[str], columns: list[int], boxes: Floats
) -> Conditions:
    """Fit the centre and spread of each condition, given its ranges (k, c, 2)."""
    shape = len(boxes), len(names)
    draft = Conditions(
        tuple(names), tuple(names[j] for j in columns), *_widened(boxes),
        np.zeros(shape), np.ones(shape), 0,
    )  # fmt: skip
    draft.center[:, columns] = boxes.mean(axis=2)
    return _again(draft, streams)


def _again(made: Conditions, streams: Sequence[Floats]) -> Conditions:
    """Refit conditions on other readings; a condition without readings keeps its centre.

    The spread of a condition with few readings is shrunk towards the pooled within-condition one.
    """
    values = np.concatenate(streams)
    at, off = made.nearest(values)
    parts = [values[(at == k) & ~off.any(axis=1)] for k in range(len(made.low))]
    counts = np.array([len(part) for part in parts], np.float64)[:, None]
    there = counts[:, 0] > 0
    center = made.center.copy()
    own = np.zeros(center.shape)
    for k in np.flatnonzero(there).tolist():
        center[k] = np.median(parts[k], axis=0)
        own[k] = winsorised_std(parts[k])
    pooled = (counts * own**2).sum(axis=0) / counts.sum()
    spread = np.sqrt((counts * own**2 + _PRIOR * pooled) / (counts + _PRIOR))
    spread[:, pooled <= (1e-9 * np.abs(center).max(axis=0)) ** 2] = 1.0
    usual = int(counts.argmax())
    return replace(made, center=center, spread=spread, usual=usual)


def _widened(boxes: Floats) -> tuple[Floats, Floats]:
    """Return the bounds (k, c) of ranges, extended by a quarter of the neighbouring holes."""
    low, high = boxes[:, :, 0].copy(), boxes[:, :, 1].copy()
    for j in range(boxes.shape[1]):
        each = np.unique(boxes[:, j], axis=0)
        holes = each[1:, 0] - each[:-1, 1]
        below = np.concatenate([holes[:1], holes]) / 4.0
        above = np.concatenate([holes, holes[-1:]]) / 4.0
        at = np.searchsorted(each[:, 0], boxes[:, j, 0])
        if len(holes):
            low[:, j] -= below[at]
            high[:, j] += above[at]
    return low, high


def _halves(streams: Sequence[Floats]) -> list[Fold]:
    """Return two folds (stretches to fit on, stretches held out); none with too little data.

    Long streams are cut into blocks; short ones are whole stretches. Every other one is held out.
    """
    stretches = []
    for stream in streams:
        blocks = _BLOCKS if len(stream) >= _BLOCKS * _SHORTEST else 1
        stretches += [part for part in np.array_split(stream, blocks) if len(part)]
    if len(stretches) < 4:
        return []
    return [(stretches[::2], stretches[1::2]), (stretches[1::2], stretches[::2])]


def _judged(
    made: Conditions, streams: Sequence[Floats], folds: list[Fold], seed: int
) -> ConditionFit:
    """Return the conditions if held-out readings confirm them."""
    pooled = np.concatenate(streams)
    moves = winsorised_std(pooled) > 1e-9 * np.abs(np.median(pooled, axis=0))
    varied: list[int] = np.flatnonzero(moves).tolist()
    others = [j for j in varied if j not in made.columns]
    left = []
    for known, other in folds:
        fresh = np.concatenate(other)
        rest = fresh - _again(made, known).center[made.nearest(fresh)[0]]
        total = np.maximum(winsorised_std(fresh)[others], 1e-300)
        left.append((winsorised_std(rest)[others] / total) ** 2)
    explained = 1.0 - np.mean(left, axis=0)
    if not others or np.mean(explained >= _EXPLAINED) < FOLLOW:
        return ConditionFit()

    def inside(stretches: Sequence[Floats]) -> list[Floats]:
        # a stay outside all conditions is what a fault looks like, and no condition explains it
        each = [s[~made.nearest(s)[1].any(axis=1)][:, varied] for s in stretches]
        return [s for s in each if len(s)]

    kept: list[Fold] = [(inside(known), inside(other)) for known, other in folds]
    narrow = made.of(varied)
    without, power, surplus = _compared(narrow, kept, seed)
    if power < without:
        return ConditionFit()
    found = ConditionFit(made, figures={
        "follow": float(np.mean(explained >= _EXPLAINED)), "steps_seen": power,
        "steps_seen_without": without, "later_alarms_per_budget": surplus,
    })  # fmt: skip
    _report(found, streams)
    found.notes.append(
        f"the operating conditions were found in the data (--condition none: do not look for any):"
        f" {found.figures['follow']:.0%} of the features change with them, and in trials"
        f" {power:.0%} of small steps are detected, {without:.0%} without conditions"
    )
    return found


def _compared(made: Conditions, folds: list[Fold], seed: int) -> tuple[float, float, float]:
    """Return the shares of tight steps detected without and with conditions, and the surplus.

    Parameters
    ----------
    made
        Gives the ranges; centres and spreads are refitted on each fold's first part.
    folds
        Features that vary only.
    seed
        Seed of the injected steps.
    """
    seen: list[list[bool]] = [[], []]
    surplus = []
    for number, (known, other) in enumerate(folds):
        own = _again(made, known)
        within = restate(own, known)
        (apart, _), (tied, unit) = fit_tight_distance(known), fit_tight_distance(within)
        # a feature that is constant within conditions has no scatter to measure a step by: no step
        unit[winsorised_std(np.concatenate(within)) == 0.0] = 0.0
        faulty = OF_ALL_SIZES.inject(other, unit, np.random.default_rng([seed, number]))
        for way, (conditions, score) in enumerate(((None, apart), (own, tied))):
            found, alarms = seen_by(
                partial(_score, score, conditions), None, (known, other), faulty
            )
            seen[way] += found
        surplus.append(alarms)
    return float(np.mean(seen[0])), float(np.mean(seen[1])), float(np.mean(surplus))


def _score(score: Scoring, conditions: Conditions | None, values: Floats) -> Floats:
    return score(restate(conditions, [values])[0])


def _report(found: ConditionFit, streams: Sequence[Floats]) -> None:
    made = found.conditions
    assert made is not None  # noqa: S101
    at, off = made.nearest(np.concatenate(streams))
    unknown = float(off.any(axis=1).mean())
    shares = np.bincount(at, minlength=len(made.low)) / len(at)
    each = "; ".join(
        f"{', '.join(f'{name} {value:.4g}' for name, value in made.described(k).items())}:"
        f" {share:.0%}"
        for k, share in enumerate(shares)
    )
    found.figures |= {"conditions": float(len(made.low)), "unknown": unknown}
    found.notes.append(
        f"{len(made.low)} operating conditions, distinguished by {', '.join(made.indicators)}, each"
        f" with normal values of its own ({each}); {unknown:.1%} of the readings are in none of"
        " them and are compared with the nearest"
    )
