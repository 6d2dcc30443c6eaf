"""Fit a model set: preprocessing, detectors and an out-of-fold calibration."""

from __future__ import annotations

import importlib
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime

import numpy as np

from models.arrays import Floats, Times
from models.detectors.base import (
    ISOLATION_FOREST,
    LSTM_AUTOENCODER,
    ONE_CLASS_SVM,
    Array,
    Detector,
    Progress,
)
from models.feature_drift import make_profile, score_columns
from models.fitting.calibration.burst_rates import Sample, fit_bursts
from models.fitting.calibration.calibrate import (
    MAX_WIDER,
    calibrate,
    fast_magnitudes,
    fit_first_tail,
    scores,
    unmet_ratio,
)
from models.fitting.calibration.cross_validation import (
    FEWEST_STREAMS,
    FoldResult,
    OutOfFold,
    Part,
    held_out,
    out_of_fold,
    point_magnitudes,
    stream_folds,
)
from models.fitting.calibration.levels import aligned, lifted
from models.fitting.counter_rates import with_rates
from models.fitting.garbage.stay_rates import fit_stays
from models.fitting.garbage.zero_row_fit import without_zero_rows
from models.fitting.missing_rates import fit_missing_runs
from models.fitting.neighbour_fit import fit_neighbours
from models.fitting.operation.condition_fit import restate
from models.fitting.options import FitOptions
from models.fitting.plan import FitPlan
from models.fitting.plan_notes import describe
from models.fitting.scaling import check_training
from models.fitting.usable_data import LEAST_ROWS, usable_data
from models.scoring.features.level_offsets import LevelOffsets, unmixed
from models.scoring.features.preprocessing import Preprocessing
from models.scoring.magnitudes.adaptation import AdaptationParams
from models.scoring.magnitudes.calibration import Calibration, subset_key, subsets
from models.scoring.model_set import ModelSet
from models.scoring.policy import BUDGETS

_COPIES = 6  # copies of the data that one fit holds at its peak
_MEMORY = 1 << 30  # bytes that the copies of parallel fits may take
_PROMISED = (
    "the incident budget is calibrated for the training streams only: fewer than"
    f" {FEWEST_STREAMS} streams do not show how much other streams differ, and these may open more"
    " incidents"
)
_TOO_LITTLE = (
    "{:,} readings, worth some {:,.0f} independent ones, are too few to promise the budget of"
    " criticality medium, one false alarm in {:,.0f}: there may be several times as many. Results"
    " far beyond what these readings show are marked extrapolated"
)
_STANDING = "no feature ever varied: no detector is fitted, and any movement is reported"
_UNMET = (
    "streams left out of the fit have magnitudes {:.0%} larger than later readings of the fitted"
    " streams: alarm thresholds are raised by {} to allow for new streams{}"
)
_IMPUTED = (
    "if missing, {} are imputed from similar ones of {:,} training readings, which predicted them"
    " better in trials than their correlations with the other features"
)
_NOT_PROMISED = (
    ", which may still exceed the budget: the streams are of different kinds (try --group-by)"
)
_LIBRARIES = {
    ISOLATION_FOREST: "pyod.models.iforest",
    ONE_CLASS_SVM: "pyod.models.ocsvm",
    LSTM_AUTOENCODER: "models.detectors.lstm_network",
}


@dataclass
class FitReport:
    """Decisions and figures of a fit, for people and for MLflow."""

    rows: int = 0
    streams: int = 0
    seconds: float = 0.0
    drift_mode: str = ""
    baseline: int = 0
    horizon: int = 0
    notes: list[str] = field(default_factory=list)
    figures: dict[str, dict[str, float]] = field(default_factory=dict)


def fit_model_set(
    values: Sequence[Array],
    timestamps: Sequence[Times] | None,
    feature_names: Sequence[str],
    options: FitOptions | None = None,
    progress: Progress | None = None,
    threads: int = 1,
    streams_per_asset: float = 1.0,
    who: Sequence[str] | None = None,
    healthy: Mapping[str, Times] | None = None,
) -> tuple[ModelSet, FitReport]:
    """Fit one group's model set.

    Parameters
    ----------
    values : list of (n_i, d)
        Normal readings in their own units, one array per stream, in time order. NaN is a missing
        value; a reading that lacks more of them than the options allow is left out.
    timestamps : list of (n_i,) datetime64, or None when there are none
    feature_names : d names
    options : None for the defaults
    progress : called at each step, from any thread
    threads : maximum number of parallel fits (of the folds and of all data); fewer for large data,
        to save memory. The result does not depend on it.
    streams_per_asset : streams of all groups that share an asset's incident budget
    who : names of the streams, for the notes
    healthy : times (m,) by stream at which people said that an alarm was false; the readings of
        these times are no unlabelled faults

    Raises
    ------
    TrainingError
        Names the problem: too few rows, an infinite value with its column, all features constant.
    """
    began = time.perf_counter()
    options = options or FitOptions()
    sent = check_training(values, feature_names, LEAST_ROWS, missing=True)
    measured, timestamps, zero_rows, notes = without_zero_rows(
        sent, timestamps, feature_names, options.trim
    )
    rated = with_rates(measured, timestamps, feature_names, options.counters, options.indicators)
    if who is not None and len(who) != len(rated.streams):
        who = None  # whole streams were rows of zeros
    clean_data, found, seasonal = usable_data(rated, timestamps, options, who, healthy)
    received = check_training(clean_data.streams, clean_data.names, LEAST_ROWS)
    usual = restate(found.conditions, received)
    streams = seasonal.restate(usual, clean_data.timestamps)
    least = [one for one in (found.least(received), seasonal.least(usual)) if one is not None]
    plan = FitPlan(
        replace(clean_data, streams=streams), options, found.conditions,
        np.max(least, axis=0) if least else None, seasonal.seasonality, received,
    )  # fmt: skip
    folds = plan.folds() if plan.scales.kept else []
    report = _report(plan, streams)
    report.notes[:0] = notes
    figures = {"conditions": found.figures, "seasonality": seasonal.figures}
    report.figures |= {name: of for name, of in figures.items() if of}
    columns: dict[str, Floats] = {}
    if plan.scales.kept:
        model_set, columns = _fit_detectors(
            plan, folds, streams, report, progress, threads, streams_per_asset
        )
    else:  # without a varying feature, only movements can be scored
        report.notes.append(_STANDING)
        pre = plan.preprocess(list(enumerate(plan.varied)))
        model_set = ModelSet(pre, {}, {}, plan.adaptation)
    pooled = np.concatenate(received)
    pre = _with_examples(model_set.preprocessing, plan, pooled, report)
    counted = rated.counters.names if rated.counters else ()
    pre = replace(pre, counters=rated.counters, zero_rows=zero_rows)
    if plan.standing is not None:
        still = [stream[:, plan.scales.dropped] for stream in received]
        pre = replace(pre, stays=fit_stays(still, plan.standing, counted))
    if pre.missing == "impute":
        pre = replace(pre, missing_runs=fit_missing_runs(pre, measured, feature_names))
    model_set.preprocessing = pre
    model_set.options = plan.options.to_dict()  # without detectors that the data are too short for
    model_set.trained_at = datetime.now(UTC).isoformat(timespec="seconds")
    # recent readings are compared with this profile, so it leaves out counters: they always grow
    own = {n: pooled[:, j] for j, n in enumerate(plan.names) if n not in counted}
    model_set.profile = make_profile({**own, **columns})
    report.seconds = round(time.perf_counter() - began, 3)
    model_set.figures = asdict(report)
    return model_set, report


def _with_examples(
    pre: Preprocessing, plan: FitPlan, received: Floats, report: FitReport
) -> Preprocessing:
    """Return the preprocessing with the mean of training's rows, and those to impute from.

    Parameters
    ----------
    pre : fitted on all of the data.
    plan : of the fit.
    received : (n, d) all training readings, in own units, of all features.
    report : receives a note on the features that are imputed from similar readings.
    """
    rows = np.concatenate([plan.rows(pre, i, values) for i, values in enumerate(plan.varied)])
    gain = None
    if pre.conditions is not None:
        gain = pre.conditions.gain(pre.conditions.nearest(received[:, plan.scales.kept])[0])
    mean: Floats = LevelOffsets(pre.mix, gain).usual(rows).mean(axis=0)
    if pre.missing != "impute":
        return replace(pre, mean=mean)
    precision = None if pre.mix is None else pre.mix @ pre.mix
    neighbours = fit_neighbours(unmixed(rows, pre.mix), precision)
    if neighbours is not None:
        better = zip(pre.names, neighbours.better, strict=True)
        names = ", ".join(name for name, yes in better if yes)
        report.notes.append(_IMPUTED.format(names, len(neighbours.rows)))
    return replace(pre, mean=mean, neighbours=neighbours)


def _fit_detectors(
    plan: FitPlan,
    folds: Sequence[list[Part]],
    streams: list[Floats],
    report: FitReport,
    progress: Progress | None,
    threads: int,
    streams_per_asset: float,
) -> tuple[ModelSet, dict[str, Floats]]:
    """Fit detectors and calibrations; return them with the scores (n,) by name for the profile.

    Adds to the report.
    """
    apart = [] if plan.short_runs else stream_folds(plan.lengths)
    short = _without_window(plan)
    jobs = [(plan, held) for held in folds] + [(short, held) for held in apart]
    (pre, detectors), fold_results = _side_by_side(plan, jobs, progress, threads)
    models = plan.options.models
    magnitudes = out_of_fold(plan.varied, fold_results[: len(folds)])
    magnitudes.rare = plan.rarity(streams)
    calibrations = calibrate(models, magnitudes, plan.adaptation, plan.slow, plan.swiftness)
    strange: Sample | None = None
    ratio = 1.0
    if apart:
        unmet = out_of_fold(plan.varied, fold_results[len(folds) :])
        unmet.rare = magnitudes.rare
        calibrations, strange, ratio = _for_unmet(calibrations, unmet, short)
        alike = ratio <= MAX_WIDER
        much = "that much" if alike else f"{MAX_WIDER - 1.0:.0%}"
        report.notes.append(_UNMET.format(ratio - 1.0, much, "" if alike else _NOT_PROMISED))
    cal = calibrations[subset_key(subsets(models)[0], False)]
    met = Sample(cal, fast_magnitudes(cal, magnitudes))
    how = fit_first_tail(plan.adaptation, met.cal, met.fast)
    report.figures |= _figures(plan, cal, ratio, how)
    one_in = 1.0 / BUDGETS["medium"]
    if cal.final.n_eff < one_in:
        report.notes.append(_TOO_LITTLE.format(report.rows, cal.final.n_eff, one_in))
    bursts = None
    # a budget per month becomes a rate per reading only if the readings have times
    if plan.interval is not None:
        samples = [met]
        if strange:
            samples.append(strange)
        elif not plan.short_runs:
            report.notes.append(_PROMISED)
        bursts = fit_bursts(samples, plan.adaptation, plan.interval, streams_per_asset)
    model_set = ModelSet(pre, detectors, calibrations, how, bursts=bursts)
    return model_set, score_columns(scores(cal, magnitudes, plan.adaptation))


def _figures(
    plan: FitPlan, cal: Calibration, ratio: float, how: AdaptationParams
) -> dict[str, dict[str, float]]:
    """Return the figures of decisions and fits, by subject."""
    out: dict[str, dict[str, float]] = {
        f"horizon_{trial.horizon}": {
            "steps_seen": trial.power, "later_alarms_per_budget": trial.surplus,
        }
        for trial in plan.trials
    }  # fmt: skip
    out["scaling"] = {"horizon": plan.horizon, "shrinkage": plan.shrinkage}
    for name in cal.detectors:
        tail = cal.tails[name]
        out[name] = {"n_eff": tail.n_eff, "tail_shape": tail.xi}
    out["ensemble"] = {
        "n_eff": cal.final.n_eff, "tail_shape": cal.final.xi, "slow_gain": cal.gain,
        "unmet_ratio": ratio, "first_stretch": how.first_stretch,
    }  # fmt: skip
    return out


def _for_unmet(
    calibrations: Mapping[str, Calibration], unmet: OutOfFold, short: FitPlan
) -> tuple[dict[str, Calibration], Sample, float]:
    """Widen the tails to fit held-out streams; return them with these streams and the ratio.

    Parameters
    ----------
    calibrations
        Calibrations by subset, fitted on blocks of time.
    unmet
        Magnitudes of detectors that never saw the stream.
    short
        Plan of those detectors.
    """
    key = subset_key(subsets(short.options.models)[0], False)
    fast = fast_magnitudes(calibrations[key], unmet)
    ratio = unmet_ratio(calibrations[key], fast, short.adaptation)
    widened = {
        name: replace(cal, final=cal.final.stretched(min(ratio, MAX_WIDER)))
        for name, cal in calibrations.items()
    }
    return widened, Sample(widened[key], fast), ratio


def _without_window(plan: FitPlan) -> FitPlan:
    """Return the plan without the window detector, the slowest, unless it is the only one."""
    others = tuple(name for name in plan.options.models if name != LSTM_AUTOENCODER)
    short = copy(plan)
    short.options = replace(plan.options, models=others or plan.options.models)
    return short


def _report(plan: FitPlan, streams: list[Floats]) -> FitReport:
    """Start the report from the plan's decisions and notes."""
    return FitReport(
        sum(map(len, streams)), len(streams), 0.0, plan.drift_mode, plan.baseline, plan.horizon,
        [*plan.data.notes, *plan.scales.notes, *describe(plan)],
    )  # fmt: skip


def _side_by_side(
    plan: FitPlan,
    folds: Sequence[tuple[FitPlan, list[Part]]],
    progress: Progress | None,
    threads: int,
) -> tuple[tuple[Preprocessing, dict[str, Detector]], list[FoldResult]]:
    """Run the fit of all data and those of the folds in parallel threads.

    Threads rather than processes: the libraries release the interpreter lock while they compute,
    and threads share the data, which may be large.
    """
    report = progress or (lambda stage, done, total, figures: None)
    counting = threading.Lock()
    done = 0

    def fold(plan: FitPlan, held: list[Part]) -> FoldResult:
        nonlocal done
        found = held_out(plan.varied, held, lambda parts: plan.fit(parts, None), plan.rows)
        with counting:
            done += 1
            report("calibration", done, len(folds), {})
        return found

    _import_libraries(plan.options.models)
    size = max(1, sum(s.nbytes for s in plan.varied))
    threads = max(1, min(threads, _MEMORY // (_COPIES * size)))
    report("calibration", 0, len(folds), {})
    with ThreadPoolExecutor(threads, "fit") as pool:
        whole = pool.submit(plan.fit, list(enumerate(plan.varied)), progress)
        waiting = [pool.submit(fold, *one) for one in folds]
        try:
            (pre, detectors), results = whole.result(), [one.result() for one in waiting]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    levels = (point_magnitudes(pre, detectors, one.known, plan.rows) for one in results)
    level = [aligned(*one) for one in zip(results, levels, strict=True)]
    return (pre, detectors), [lifted(one, plan.varied, pre, detectors, plan.rows) for one in level]


def _import_libraries(names: Sequence[str]) -> None:
    """Import the detectors' libraries before threads start: concurrent imports are unsafe."""
    for name in names:
        importlib.import_module(_LIBRARIES[name])
