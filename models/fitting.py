"""Fitting a model set: preprocessing, detectors, and an honest calibration."""

from __future__ import annotations

import importlib
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from models.base import (
    ISOLATION_FOREST,
    LSTM_AUTOENCODER,
    MODEL_NAMES,
    ONE_CLASS_SVM,
    Array,
    Detector,
    Progress,
)
from models.calibrating import calibrate, scores
from models.combination import subset_key
from models.drift import make_profile, score_columns
from models.ensemble import ModelSet
from models.folds import Held, Part, held_out, make_folds, out_of_fold
from models.options import FitOptions
from models.preprocessing import BASELINE_READINGS, Preprocessing
from models.scaling import (
    Scales,
    baseline_helps,
    check_training,
    decorrelation,
    drift_is_fault,
    fit_scales,
    robust_spread,
    step_correlation,
)
from models.state import WIDEST_BASELINE
from models.thresholds import Adaptation

Floats = NDArray[np.float64]
Times = NDArray[np.datetime64]

_LEAST_ROWS = 60
_MANY_ROWS = 3_000
_COPIES = 6  # of the data that one fit holds at its peak
_MEMORY = 1 << 30  # bytes that fits side by side may take for them
_LIBRARIES = {
    ISOLATION_FOREST: "pyod.models.iforest",
    ONE_CLASS_SVM: "pyod.models.ocsvm",
    LSTM_AUTOENCODER: "models.lstm_network",
}


@dataclass
class FitReport:
    """What a fit found out, for people and for MLflow."""

    rows: int = 0
    streams: int = 0
    seconds: float = 0.0
    drift_mode: str = ""
    baseline: int = 0
    notes: list[str] = field(default_factory=list)
    figures: dict[str, dict[str, float]] = field(default_factory=dict)


def fit_model_set(
    values: Sequence[Array],
    timestamps: Sequence[Times] | None,
    feature_names: Sequence[str],
    options: FitOptions | None = None,
    progress: Progress | None = None,
    threads: int = 1,
) -> tuple[ModelSet, FitReport]:
    """Fit one group's model set.

    Parameters
    ----------
    values : list of (n_i, d)
        Normal readings in their own units, one array a stream, in time order.
    timestamps : list of (n_i,) datetime64, or None when there are none
    feature_names : d names
    progress : told of each step, from whatever thread it is made in
    threads : how many fits, of the folds and of all the data, run side by side. The outcome is
        the same for any number; fewer where the data are large, for the sake of memory.

    Raises
    ------
    TrainingError
        Names the problem: too few rows, a NaN with its column, all features constant.
    """
    began = time.perf_counter()
    options = options or FitOptions()
    streams = check_training(values, feature_names, _LEAST_ROWS)
    plan = _Plan(streams, timestamps, feature_names, options)
    folds = make_folds([len(s) for s in streams], plan.folds(), plan.fleet)
    kept = [s[:, plan.scales.kept] for s in streams]
    (pre, detectors), found = _side_by_side(plan, kept, folds, progress, threads)
    magnitudes = out_of_fold(kept, found)
    calibrations = calibrate(options.models, magnitudes, plan.adaptation)
    cal = calibrations[subset_key([n for n in MODEL_NAMES if n in options.models], False)]
    report = FitReport(
        sum(map(len, streams)), len(streams), 0.0, plan.drift_mode, plan.baseline, plan.scales.notes
    )
    for name in cal.detectors:
        tail = cal.tails[name]
        report.figures[name] = {"n_eff": tail.n_eff, "tail_shape": tail.xi}
    report.figures["ensemble"] = {
        "n_eff": cal.final.n_eff, "tail_shape": cal.final.xi, "slow_gain": cal.gain,
    }  # fmt: skip
    pooled = np.concatenate(streams)
    columns = {n: pooled[:, j] for j, n in enumerate(feature_names)}
    columns |= score_columns(scores(cal, magnitudes, plan.adaptation))
    profile = make_profile(columns)
    report.seconds = round(time.perf_counter() - began, 3)
    model_set = ModelSet(
        pre, detectors, calibrations, plan.adaptation, options.to_dict(),
        datetime.now(UTC).isoformat(timespec="seconds"), asdict(report), profile,
    )  # fmt: skip
    return model_set, report


def _side_by_side(
    plan: _Plan,
    streams: list[Floats],
    folds: Sequence[list[Part]],
    progress: Progress | None,
    threads: int,
) -> tuple[tuple[Preprocessing, dict[str, Detector]], list[Held]]:
    """The fit of all the data and those of the folds, in threads: they do not share anything.

    Threads and not processes: the libraries let go of the interpreter's lock while they compute,
    and the data, which may be large, are there once.
    """
    tell = progress or (lambda stage, done, total, figures: None)
    counting = threading.Lock()
    done = 0

    def fold(held: list[Part]) -> Held:
        nonlocal done
        found = held_out(streams, held, lambda parts: plan.fit(parts, None))
        with counting:
            done += 1
            tell("calibration", done, len(folds), {})
        return found

    _import_libraries(plan.options.models)
    size = max(1, sum(s.nbytes for s in streams))
    threads = max(1, min(threads, _MEMORY // (_COPIES * size)))
    tell("calibration", 0, len(folds), {})
    with ThreadPoolExecutor(threads, "fit") as pool:
        whole = pool.submit(plan.fit, list(enumerate(streams)), progress)
        waiting = [pool.submit(fold, held) for held in folds]
        try:
            return whole.result(), [one.result() for one in waiting]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _import_libraries(names: Sequence[str]) -> None:
    """Before there are threads: two that import one package at once may see half of it."""
    for name in names:
        importlib.import_module(_LIBRARIES[name])


class _Plan:
    """Decisions taken once from all of the data, so that every fold is fitted alike."""

    def __init__(
        self,
        streams: list[Floats],
        timestamps: Sequence[Times] | None,
        names: Sequence[str],
        options: FitOptions,
    ) -> None:
        self.options = options
        self.names = tuple(names)
        self.lengths = [len(s) for s in streams]
        self.scales: Scales = fit_scales(streams, names)
        self.together = step_correlation([s[:, self.scales.kept] for s in streams])
        self.interval = median_interval(timestamps)
        fault = drift_is_fault(streams, options.horizon)
        self.drift_mode = options.drift
        if options.drift == "auto":
            self.drift_mode = "fault" if fault else "normal"
        self.fleet = fault
        self.baseline = self._baseline(streams)
        self.adaptation = self._adaptation()
        # the first readings of each stream, for folds that hold these out
        self.first = (
            [s[: self.baseline, self.scales.kept].mean(axis=0) for s in streams]
            if (self.baseline)
            else []
        )

    def _baseline(self, streams: list[Floats]) -> int:
        asked = self.options.baseline
        if not isinstance(asked, str):
            return int(asked)
        kept = [s[:, self.scales.kept] for s in streams]
        if self.drift_mode != "fault" or len(self.scales.kept) > WIDEST_BASELINE:
            return 0
        return BASELINE_READINGS * baseline_helps(kept, self.scales.spread, BASELINE_READINGS)

    def _adaptation(self) -> Adaptation:
        """Where drift is the fault the tail may follow the stream only a little."""
        asked = self.options.adaptation
        rate = Adaptation().rate if isinstance(asked, str) else float(asked)
        if self.drift_mode == "fault":
            return Adaptation(rate, most=1.5, furthest=1.0, start=0)
        return Adaptation(rate)

    def folds(self) -> int:
        """Fewer where there is much data: a fold's detectors then hardly differ."""
        return min(self.options.folds, 3) if sum(self.lengths) > _MANY_ROWS else self.options.folds

    def fit(
        self, parts: Sequence[tuple[int, Floats]], progress: Progress | None
    ) -> tuple[Preprocessing, dict[str, Detector]]:
        """Preprocessing and detectors on stretches (stream, (n, d) of the kept features)."""
        pre = self._preprocess(parts)
        rows: list[Array] = []
        for i, values in parts:
            scaled = pre.scaled(values)
            if self.baseline:
                scaled = scaled - pre.scaled(self.first[i][None])
            rows.append(scaled)
        detectors = {}
        for name in MODEL_NAMES:
            if name in self.options.models:
                detectors[name] = self.options.detector(name).fit(rows, progress=progress)
        return pre, detectors

    def _preprocess(self, parts: Sequence[tuple[int, Floats]]) -> Preprocessing:
        pooled = np.concatenate([v for _, v in parts])
        flat = pooled
        if self.baseline:
            flat = np.concatenate([v - self.first[i] for i, v in parts])
        # a feature may stand still in all blocks but the one left out
        spread = np.maximum(robust_spread(flat), 0.1 * self.scales.spread)
        scale = spread
        if self.drift_mode == "normal":
            scale = np.hypot(spread, self.scales.drift * self.options.horizon)
        mix = None
        if self.options.decorrelate:
            rows = (flat - np.median(flat, axis=0)) / scale
            mix = decorrelation(rows, spread / scale, self.together)
        limits = {name: (pair[0], pair[1]) for name, pair in self.options.limits.items()}
        return Preprocessing(
            tuple(self.names[j] for j in self.scales.kept),
            tuple(self.names[j] for j in self.scales.dropped),
            np.median(pooled, axis=0), scale, spread, mix, self.drift_mode, self.baseline,
            self.interval, self.options.missing, self.options.max_imputed, limits,
        )  # fmt: skip


def median_interval(timestamps: Sequence[Times] | None) -> float | None:
    """Median seconds between neighbouring readings; None without times."""
    if not timestamps:
        return None
    steps = [np.diff(t).astype("timedelta64[us]").astype(np.float64) / 1e6 for t in timestamps]
    pooled = np.concatenate(steps) if steps else np.empty(0)
    pooled = pooled[pooled > 0]
    return float(np.median(pooled)) if len(pooled) else None


__all__ = ["FitOptions", "FitReport", "fit_model_set"]
