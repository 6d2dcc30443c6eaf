"""Check one sensor's readings for defects; each check returns its findings.

The readings ``x`` (n,) of a check belong to one stream and are in order, with NaN where nothing was
measured; ``rows`` (n,) are their row numbers in the file. No check uses labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from datasets.types import span_text
from models.arrays import Bools, Floats, Times
from models.detectors.covariance import median_deviation
from models.fitting.counter_rates import counts_up
from models.fitting.operation.condition_fit import MAX_RANGES, ranges
from models.scoring.features.garbage import FAR, named, row_ranges

Rows = NDArray[np.int64]

HIGH, MEDIUM, LOW = "High", "Medium", "Low"
_ORDER: Final = (HIGH, MEDIUM, LOW)
#: Minimum number of readings for most checks, and minimum for a calibration to hold a rare budget.
_MIN_READINGS: Final = 60
_FEW_READINGS: Final = 600
#: Minimum share of equal readings of a nearly constant sensor.
_NEARLY_CONSTANT: Final = 0.95
#: A stuck sensor: minimum length of a run of equal readings, in readings and in usual runs.
_STUCK: Final = 30
_STUCK_TIMES: Final = 10
#: Minimum distance of a spike in robust deviations, and minimum length of a gap in usual intervals.
_SPIKE: Final = 15.0
_GAP: Final = 20.0
_RARE: Final = 0.02
#: Minimum distance of a reading that cannot be of the same unit, in robust deviations.
_FAR_OFF: Final = 1000
_BLOCKS: Final = 24
#: Fewest runs that a column must number: fewer values may be levels.
_RUNS: Final = 4
_VALUES: Final = 5  # of garbage, named one by one; the most frequent ones
#: Minimum number of readings for operating modes: fewer leave holes between values by chance.
_MODES: Final = 200


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding: its grade, a stable name, a sentence, and the affected rows."""

    grade: str
    kind: str
    text: str
    rows: str = ""


def worst(grades: Sequence[str]) -> str:
    """Return the worst grade; High if there are none."""
    return max(grades, key=_ORDER.index, default=HIGH)


def of_sensor(x: Floats, garbage: Bools, rows: Rows) -> list[Finding]:
    """Return all findings on one sensor; garbage is left out of the later checks.

    Parameters
    ----------
    x : (n,)
        The readings.
    garbage : (n,)
        Which of them are error codes and the like.
    rows : (n,)
        Their row numbers in the file.
    """
    absent = np.isnan(x)
    found = [*_missing(absent, rows), *_garbage(x, garbage, rows)]
    clean = np.where(garbage, np.nan, x)
    known = ~np.isnan(clean)
    values, at = clean[known], rows[known]
    if len(values) < 2:
        return found
    constant = list(_constant(values))
    if constant:
        return [*found, *constant]
    if counts_up(values):
        return [*found, _counter(values)]
    found += [*_quantised(values), *_numbers_runs(values)]
    if len(values) >= _MIN_READINGS:
        far = _far(values)
        found += [*_stuck(values, at), *_spikes(values, at), *_far_off(values, far, at)]
        # a level that shifts far is one all the same, but far readings make no operating modes
        levels = _levels(values, at)
        found += [one for one in levels if one.kind != "modes"] if far.any() else levels
    return found


def of_times(times: Times, rows: Rows) -> tuple[float | None, list[Finding]]:
    """Return a stream's usual interval in seconds, and findings on its times (n,)."""
    n = len(times)
    found = []
    if n < _MIN_READINGS:
        few = count(n, "reading is", "readings are")
        found.append(Finding(LOW, "too_few", f"{few} too few to train on alone"))
    elif n < _FEW_READINGS:
        found.append(Finding(MEDIUM, "too_few", f"{n} readings are too few to hold a rare budget"))
    steps = np.diff(times).astype("timedelta64[us]").astype(np.float64) / 1e6
    equal = int((steps == 0).sum())
    if equal:
        often = 2 * equal > len(steps)  # then order and spacing of most readings are unknown
        found.append(
            Finding(MEDIUM if often else HIGH, "equal_times",
                    f"{count(equal, 'reading has', 'readings have')} the time of the one before",
                    row_ranges(rows[1:][steps == 0], rows))
        )  # fmt: skip
    steps, after = steps[steps > 0], rows[1:][steps > 0]
    if not len(steps):
        return None, found
    usual = float(np.median(steps))
    gaps = steps > _GAP * usual
    if gaps.any():
        longest = float(steps.max())
        found.append(
            Finding(MEDIUM if gaps.mean() > 0.001 else HIGH, "gaps",
                    f"{count(int(gaps.sum()), 'gap', 'gaps')}, the longest {span_text(longest)}",
                    row_ranges(after[gaps], rows))
        )  # fmt: skip
    odd = float((np.abs(steps[~gaps] - usual) > 0.5 * usual).mean())
    if odd > 0.1:
        found.append(Finding(MEDIUM, "irregular", _rates(steps[~gaps], usual, odd)))
    return usual, found


def _rates(steps: Floats, usual: float, odd: float) -> str:
    rounded = np.round(steps, 1)
    values, counts = np.unique(rounded, return_counts=True)
    often = values[counts >= 0.1 * len(steps)]
    if len(often) > 1:
        return "mixed sampling: " + " and ".join(span_text(float(v)) for v in often[:3]) + " apart"
    return f"irregular sampling: {odd:.0%} of the steps are not {span_text(usual)}"


def _missing(absent: Bools, rows: Rows) -> Iterator[Finding]:
    share = float(absent.mean()) if len(absent) else 1.0
    if share:
        grade = LOW if share > 0.5 else MEDIUM if share > 0.05 else HIGH
        where = row_ranges(rows[absent], rows)
        yield Finding(grade, "missing", f"missing in {share:.2%} of the readings", where)


def _garbage(x: Floats, garbage: Bools, rows: Rows) -> Iterator[Finding]:
    values, counts = np.unique(x[garbage], return_counts=True)
    grade = LOW if garbage.mean() > 0.5 else MEDIUM
    often = np.argsort(-counts, kind="stable")
    for value, n in zip(values[often[:_VALUES]], counts[often[:_VALUES]], strict=True):
        where = row_ranges(rows[garbage & (x == value)], rows)
        text = f"{named(value)} in {count(n, 'reading', 'readings')} is no measurement"
        yield Finding(grade, "garbage", text, where)
    others = values[often[_VALUES:]]
    if len(others):
        at = garbage & np.isin(x, others)
        text = (
            f"{count(len(others), 'other value', 'other values')}"
            f" ({named(others.min())} to {named(others.max())}) in"
            f" {count(int(at.sum()), 'reading', 'readings')} are no measurements"
        )
        yield Finding(grade, "garbage", text, row_ranges(rows[at], rows))


def _constant(values: Floats) -> Iterator[Finding]:
    found, counts = np.unique(values, return_counts=True)
    share, usual = counts.max() / len(values), found[counts.argmax()]
    if len(found) == 1:
        yield Finding(LOW, "constant", f"constant: {usual:.6g}")
    elif share >= _NEARLY_CONSTANT:
        text = f"nearly constant: {usual:.6g} in {share:.2%} of the readings"
        yield Finding(MEDIUM, "nearly_constant", text)


def _counter(values: Floats) -> Finding:
    steps = np.diff(values)
    anew = (steps < 0.0) & (values[1:] == values.min())  # runs on end
    if bool((anew | (steps == 1.0)).all()):
        return Finding(LOW, "row_number", "counts the rows: it says nothing about the machine")
    rate = float(steps[steps >= 0].mean())  # falls are resets; most steps may be 0
    text = f"only rises, as a counter does (by {rate:.3g} per reading): its rate per hour is used"
    return Finding(MEDIUM, "counter", text)


def _quantised(values: Floats) -> Iterator[Finding]:
    found = np.unique(values)
    if len(found) == 2:
        yield Finding(HIGH, "two_levels", f"two values: {found[0]:.4g} and {found[1]:.4g}")
    elif len(values) >= _MIN_READINGS and len(found) <= max(10, len(values) // 500):
        grade = MEDIUM if len(found) <= 5 else HIGH
        step = float(np.diff(found).min())
        text = f"quantised: {len(found)} different values, {step:.3g} apart"
        yield Finding(grade, "quantised", text)


def _numbers_runs(values: Floats) -> Iterator[Finding]:
    """Find what may number runs or batches; too few of them to tell it from a level that shifts."""
    steps = np.diff(values)
    rises = int((steps == 1.0).sum())
    if rises >= _RUNS - 1 and bool(np.isin(steps, (0.0, 1.0)).all()) and not (values % 1).any():
        text = (
            f"rises by 1, {rises} times, and never falls: if it numbers runs or batches, --exclude"
            " it: training shows no value that it will have"
        )
        yield Finding(MEDIUM, "run_number", text)


def _stuck(values: Floats, rows: Rows) -> Iterator[Finding]:
    edges = np.flatnonzero(np.concatenate([[True], np.diff(values) != 0, [True]]))
    lengths = np.diff(edges)
    usual = float(np.quantile(lengths, 0.95))
    long = np.flatnonzero((lengths >= _STUCK) & (lengths >= _STUCK_TIMES * usual))
    if len(long):
        at = np.concatenate([np.arange(edges[i], edges[i + 1]) for i in long])
        text = f"stuck for {int(lengths[long].max()):,} readings in a row"
        yield Finding(MEDIUM, "stuck", text, row_ranges(rows[at], rows))


def _spikes(values: Floats, rows: Rows) -> Iterator[Finding]:
    """Find single readings that deviate from both neighbours, which agree."""
    middle = np.median(np.stack([values[:-2], values[1:-1], values[2:]]), axis=0)
    off = np.abs(values[1:-1] - middle)
    usual = 1.4826 * float(np.median(np.abs(np.diff(values))))
    at = np.flatnonzero(off > _SPIKE * usual) + 1
    if usual and 0 < len(at) <= _RARE * len(values):  # frequent spikes are normal for the sensor
        text = count(len(at), "single spike", "single spikes")
        yield Finding(MEDIUM, "spikes", text, row_ranges(rows[at], rows))


def far_from(values: Floats, middle: float, spread: float) -> Bools:
    """Return which values are so far away that they must be of another unit, or of none.

    A machine that stands still is far from its usual readings too, but not larger than them.

    Parameters
    ----------
    values : (n,)
        NaN is not far.
    middle, spread
        The usual value, and the robust deviation of the usual ones; 0: nothing is known to be far.
    """
    far = np.abs(values - middle) > _FAR_OFF * spread
    return far & (np.abs(values) > FAR * abs(middle)) & (spread > 0)


def _far(values: Floats) -> Bools:
    return far_from(values, float(np.median(values)), median_deviation(values))


def _far_off(values: Floats, far: Bools, rows: Rows) -> Iterator[Finding]:
    if far.any():
        n, beyond = int(far.sum()), values[far]
        text = (
            f"{count(n, 'reading lies', 'readings lie')} more than {_FAR_OFF:,} usual deviations"
            f" from the others ({beyond.min():.4g} to {beyond.max():.4g}): another unit, or no"
            " measurements? They hide smaller faults"
        )
        yield Finding(MEDIUM, "far_off", text, row_ranges(rows[far], rows))


def _levels(values: Floats, rows: Rows) -> list[Finding]:
    """Find a shift of level, a trend or cycle longer than the data, or operating modes."""
    size = max(1, len(values) // _BLOCKS)
    blocks = values[: size * (len(values) // size)].reshape(-1, size)
    levels = np.median(blocks, axis=1)
    within = 1.4826 * float(np.median(np.abs(blocks - levels[:, None])))
    n = len(levels)
    if within <= 0 or n < 12:
        return []
    cut = _cut(levels)
    before, after = np.median(levels[:cut]), np.median(levels[cut:])
    jump = abs(after - before)
    rest = np.concatenate([levels[:cut] - before, levels[cut:] - after])
    around = 1.4826 * float(np.median(np.abs(rest)))
    lasts = n // 8 <= cut <= n - n // 8
    if lasts and jump > 3 * within and jump > 6 * around and np.abs(rest).max() < jump:
        text = f"the level shifts for good by {jump:.4g}"
        return [Finding(MEDIUM, "level_shift", text, f"about {rows[cut * size]}")]
    trend = np.polyfit(np.arange(n), levels, 2)
    left = levels - np.polyval(trend, np.arange(n))
    if levels.std() > 2 * within and left.std() < 0.3 * levels.std():
        text = "drifts over the whole length: a trend, or a cycle longer than the data"
        return [Finding(MEDIUM, "long_cycle", text)]
    levels = levels - np.median(levels)
    if levels.std() > 2 * within and (np.diff(levels > 0) != 0).sum() <= 3:
        text = (
            f"the level wanders over the data {levels.std() / within:.1f} times as far as within a"
            f" {n}th of it; smaller faults may be taken for this"
        )
        return [Finding(MEDIUM, "wanders", text)]
    return list(_modes(values))


def _cut(levels: Floats) -> int:
    """Return where to cut block levels (n,) in two so that each part is nearest to its median.

    The largest difference of medians would not do: while a part's smaller share comes from the
    other side of the shift, its median hardly moves.
    """
    cuts = range(1, len(levels))
    left = [
        sum(np.abs(part - np.median(part)).sum() for part in (levels[:k], levels[k:])) for k in cuts
    ]
    return cuts[int(np.argmin(left))]


def _modes(values: Floats) -> Iterator[Finding]:
    """Find two or more ranges of values with hardly any values between."""
    if len(values) < _MODES:
        return
    found = ranges(values)
    if len(np.unique(values)) > 20 and 2 <= len(found) <= MAX_RANGES:
        each = ", ".join(
            f"{((values >= low) & (values <= high)).mean():.0%} in {low:.4g} to {high:.4g}"
            for low, high in found
        )
        yield Finding(HIGH, "modes", f"operating modes: {each}")


def count(n: int, one: str, more: str) -> str:
    """Return a number with its noun.

    Parameters
    ----------
    n : the number.
    one, more : the noun for one, and for any other number.
    """
    return f"{n:,} {one if n == 1 else more}"
