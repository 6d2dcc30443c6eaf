"""Make training data usable: without garbage and unlabelled faults, missing values imputed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import numpy as np

from models.arrays import Times
from models.fitting.counter_rates import Rated, among
from models.fitting.faults.moved_sensors import realigned
from models.fitting.faults.trimming import without_faulty
from models.fitting.garbage.cleaning import Cleaned, clean
from models.fitting.imputation import imputed_again
from models.fitting.operation.condition_fit import ConditionFit, find_conditions, restate
from models.fitting.options import FitOptions
from models.fitting.scaling import check_training, drift_is_fault
from models.fitting.seasonality_fit import SeasonalFit, find_seasonality

LEAST_ROWS: Final = 60  # readings without which nothing is fitted


def usable_data(
    rated: Rated,
    timestamps: Sequence[Times] | None,
    options: FitOptions,
    who: Sequence[str] | None = None,
    healthy: Mapping[str, Times] | None = None,
) -> tuple[Cleaned, ConditionFit, SeasonalFit]:
    """Return the data of one group to fit on, and the conditions and the season that they follow.

    Faults are looked for in readings less what is usual in these: a changed load is no fault.

    Parameters
    ----------
    rated : readings (n_i, d) by stream, counters as rates; NaN is a missing value.
    timestamps : list of (n_i,), or None when there are none.
    who : names of the streams, if known, for the notes.
    healthy : times (m,) by stream whose readings are no faults, as people said.

    Raises
    ------
    TrainingError
        Too few readings are left.
    """
    share = options.trim if options.watch_stuck and options.drift != "fault" else 0.0
    cleaned = clean(rated.streams, timestamps, rated.names, options.imputed, share, who)
    cleaned = among(cleaned, rated)
    check_training(cleaned.streams, cleaned.names, LEAST_ROWS)
    wears = drift_is_fault(cleaned.streams)
    if options.trim and options.drift != "fault" and not wears:
        streams, notes = realigned(
            cleaned.streams, cleaned.names, cleaned.places, options.indicators
        )
        cleaned = replace(cleaned, streams=streams, notes=[*cleaned.notes, *notes])
    search = partial(
        find_conditions, asked=options.indicators or options.condition, seed=options.seed,
        rates=rated.counters.names if rated.counters else (),
    )  # fmt: skip
    found = search(cleaned.streams, cleaned.names)
    kept, seasonal = _without_faults(cleaned, found, options, wears, healthy)
    if found.conditions is None and (gone := _readings(cleaned) - _readings(kept)):
        # faults may have hidden the conditions, and without these other faults
        again = search(kept.streams, kept.names)
        if again.conditions is not None:
            found = again
            share = max(options.trim * _readings(cleaned) - gone, 0.0) / _readings(kept)
            rest = replace(options, trim=share)
            kept, seasonal = _without_faults(kept, found, rest, wears, healthy)
    return replace(kept, notes=[*kept.notes, *found.notes, *seasonal.notes]), found, seasonal


def _without_faults(
    cleaned: Cleaned,
    found: ConditionFit,
    options: FitOptions,
    wears: bool,
    healthy: Mapping[str, Times] | None,
) -> tuple[Cleaned, SeasonalFit]:
    """Return the data without unlabelled faults, and the season that they follow.

    Parameters
    ----------
    cleaned : the data.
    found : their operating conditions.
    options : of the fit.
    wears : whether slow drift is the fault.
    healthy : times (m,) by stream whose readings are no faults.
    """
    seasonal = SeasonalFit()
    if options.drift == "fault":
        return _imputed_again(cleaned, found, seasonal), seasonal
    if not wears:
        seasonal = find_seasonality(
            restate(found.conditions, cleaned.streams),
            cleaned.timestamps,
            cleaned.names,
            options.seasonality,
            options.seed,
            options.trim,
            cleaned.holes,
        )
    cleaned = _imputed_again(cleaned, found, seasonal)
    usual = seasonal.restate(restate(found.conditions, cleaned.streams), cleaned.timestamps)
    return without_faulty(cleaned, options.trim, usual, healthy), seasonal


def _readings(data: Cleaned) -> int:
    return sum(map(len, data.streams))


def _imputed_again(cleaned: Cleaned, found: ConditionFit, seasonal: SeasonalFit) -> Cleaned:
    """Impute missing values by what is usual in their condition and at their time, as live."""
    conditions = found.conditions
    if cleaned.holes is None or (conditions is None and seasonal.seasonality is None):
        return cleaned
    usual = restate(conditions, cleaned.streams)
    restated = seasonal.restate(usual, cleaned.timestamps)
    filled = imputed_again(restated, cleaned.holes)
    out = []
    each = zip(cleaned.streams, usual, restated, filled, cleaned.holes, strict=True)
    for values, of_condition, before, after, hole in each:
        moved = of_condition + (after - before)
        if conditions is not None:
            moved = conditions.original(moved, conditions.nearest(values)[0])
        out.append(np.where(hole, moved, values))
    return replace(cleaned, streams=out)
