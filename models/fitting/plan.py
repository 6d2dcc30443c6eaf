"""What is decided once from all of the data, so that all of it and every fold are fitted alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from errors import TrainingError
from models.detectors.base import LSTM_AUTOENCODER, MODEL_NAMES, Array, Detector, Progress
from models.fitting.cross_validation import Part, make_folds, training_parts
from models.fitting.options import FitOptions
from models.fitting.scaling import (
    Scales,
    baseline_helps,
    decorrelation,
    drift_is_fault,
    fit_scales,
    robust_spread,
    step_correlation,
)
from models.scoring.adaptation import AdaptationParams
from models.scoring.baseline import IMPOSSIBLE, skipped_mean
from models.scoring.preprocessing import BASELINE_READINGS, Preprocessing
from models.scoring.stream_state import WIDEST_BASELINE

Floats = NDArray[np.float64]
Times = NDArray[np.datetime64]

_MANY_ROWS = 3_000


class FitPlan:
    """Scales, drift mode, baseline, adaptation and folds of one fit.

    Parameters
    ----------
    streams : list of (n_i, d)
        Normal readings, checked.
    timestamps : list of (n_i,) datetime64, or None
    names : d features
    options : FitOptions
    """

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
        self.first = [self._first(s) for s in streams] if self.baseline else []

    def _first(self, values: Floats) -> Floats:
        """Where a stream (n, d) began, (d,) of the kept features: garbage is passed over."""
        center, spread = self.scales.center, self.scales.spread
        first = values[: self.baseline, self.scales.kept]
        z = np.clip((first - center) / spread, -IMPOSSIBLE, IMPOSSIBLE)
        level, agreed = skipped_mean(z)
        out: Floats = np.where(agreed, first.mean(axis=0), center + spread * level)
        return out

    def _baseline(self, streams: list[Floats]) -> int:
        asked = self.options.baseline
        if not isinstance(asked, str):
            return int(asked)
        kept = [s[:, self.scales.kept] for s in streams]
        if self.drift_mode != "fault" or len(self.scales.kept) > WIDEST_BASELINE:
            return 0
        return BASELINE_READINGS * baseline_helps(kept, self.scales.spread, BASELINE_READINGS)

    def _adaptation(self) -> AdaptationParams:
        """Where drift is the fault the tail may follow the stream only a little."""
        asked = self.options.adaptation
        rate = AdaptationParams().rate if isinstance(asked, str) else float(asked)
        if self.drift_mode == "fault":
            return AdaptationParams(rate, most=1.5, furthest=1.0, start=0)
        return AdaptationParams(rate)

    def folds(self) -> list[list[Part]]:
        """What each fold of the calibration holds out.

        Fewer folds where there is much data: their detectors then hardly differ. The window
        detector is left out, with a note, where what a fold leaves is too short for it.

        Raises
        ------
        TrainingError
            It is the only detector.
        """
        count = self.options.folds
        if sum(self.lengths) > _MANY_ROWS:
            count = min(count, 3)
        folds = make_folds(self.lengths, count, self.fleet)
        if LSTM_AUTOENCODER in self.options.models:
            left = min(
                max((p.end - p.start for p in training_parts(self.lengths, f)), default=0)
                for f in folds
            )
            if left < self.options.detector(LSTM_AUTOENCODER).window:
                self._leave_window_out(left)
        return folds

    def _leave_window_out(self, left: int) -> None:
        """Go on without the window detector, which finds ``left`` readings in a row at most."""
        window = self.options.detector(LSTM_AUTOENCODER).window
        why = (
            f"{LSTM_AUTOENCODER} looks at {window} readings in a row, and calibration, which holds"
            f" out a part at a time, leaves {left} of {sum(self.lengths)}"
        )
        others = tuple(name for name in self.options.models if name != LSTM_AUTOENCODER)
        if not others:
            raise TrainingError(f"data: too few readings: {why}; give more, or a smaller window")
        self.options = replace(self.options, models=others)
        smaller = f", or --window {left}" if left > 1 else ""
        self.scales.notes.append(f"{why}: fitted without it; longer streams{smaller} bring it back")

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
        imputed = self.options.imputed(len(self.scales.kept))
        return Preprocessing(
            tuple(self.names[j] for j in self.scales.kept),
            tuple(self.names[j] for j in self.scales.dropped),
            np.median(pooled, axis=0), scale, spread, mix, self.drift_mode, self.baseline,
            self.interval, "impute" if imputed else "refuse", imputed, limits,
        )  # fmt: skip


def median_interval(timestamps: Sequence[Times] | None) -> float | None:
    """Median seconds between neighbouring readings; None without times."""
    if not timestamps:
        return None
    steps = [np.diff(t).astype("timedelta64[us]").astype(np.float64) / 1e6 for t in timestamps]
    pooled = np.concatenate(steps) if steps else np.empty(0)
    pooled = pooled[pooled > 0]
    return float(np.median(pooled)) if len(pooled) else None
