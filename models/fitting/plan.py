"""Decide, once and from all data, the choices that all folds share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Final

import numpy as np

from errors import TrainingError
from models.arrays import Floats
from models.detectors.base import LSTM_AUTOENCODER, MODEL_NAMES, Array, Detector, Progress
from models.detectors.covariance import scarce, winsorised_std
from models.fitting.calibration.cross_validation import Part, make_folds, training_parts
from models.fitting.garbage.cleaning import Cleaned
from models.fitting.garbage.repeat_rates import fit_repeats
from models.fitting.options import FitOptions
from models.fitting.reading_times import median_interval, regular_interval
from models.fitting.scaling import (
    SHRINKAGE,
    Scales,
    baseline_helps,
    decorrelation,
    drift_is_fault,
    fit_scales,
    step_correlation,
)
from models.fitting.trials.allowance import does_without
from models.fitting.trials.following import Following, judge_following, narrow_limits
from models.fitting.trials.forecasting import Forecast, choose_forecast
from models.fitting.trials.quickness import Basis, Way, choose_pace
from models.fitting.trials.resting import RESTS, judge_resting
from models.fitting.trials.steadiness import Steadiness, judge_steadiness
from models.fitting.trials.swiftness import choose_swiftness
from models.fitting.trials.tolerance import Trial, choose_horizon, choose_shrinkage
from models.fitting.trials.ways_of_scoring import HOLDS
from models.scoring.features.baseline import skipped_mean
from models.scoring.features.conditions import Conditions
from models.scoring.features.preprocessing import BASELINE_READINGS, IMPOSSIBLE, Preprocessing
from models.scoring.features.repeats import Repeats
from models.scoring.features.seasonality import Seasonality
from models.scoring.features.standing import Standing, fit_standing
from models.scoring.magnitudes.adaptation import AdaptationParams
from models.scoring.stream_state import MAX_BASELINE_FEATURES

#: From so many rows on the detectors of a few folds hardly differ, unless these are scarce.
_MANY_ROWS: Final = 3_000
_FEW_FOLDS: Final = 3
#: Past readings that a forecast uses.
LAGS: Final = 5


class FitPlan:
    """Decide scales, drift mode, baseline, adaptation and folds of one fit.

    Parameters
    ----------
    data : normal readings without garbage, restated for the usual operating condition and without
        what is usual at their times.
    options : FitOptions
    conditions : operating conditions of the readings; None: a single one.
    least : (d,) spread of features that are constant within conditions but differ between them.
    seasonality : what is usual at each time; None: the same at all times.
    received : the same readings, (n_i, d) per stream, as received; None: as in ``data``.
    """

    def __init__(
        self,
        data: Cleaned,
        options: FitOptions,
        conditions: Conditions | None = None,
        least: Floats | None = None,
        seasonality: Seasonality | None = None,
        received: Sequence[Floats] | None = None,
    ) -> None:
        self.options = options
        self.data = data
        self.conditions = conditions
        self.seasonality = seasonality
        streams, self.names = data.streams, tuple(data.names)
        self.lengths = [len(s) for s in streams]
        fate = "any other value is rare" if options.watch_still else "not used"
        self.scales: Scales = fit_scales(streams, self.names, fate, least)
        self.resting = self._resting(streams)
        self.standing = self._standing(streams)
        self.varied = varied = [s[:, self.scales.kept] for s in streams]
        self.repeats: Repeats | None = None
        if options.watch_stuck and self.scales.kept:
            self.repeats = fit_repeats([s[:, self.scales.kept] for s in received or streams])
        self.step_correlation = step_correlation(varied) if self.scales.kept else np.zeros((0, 0))
        self.interval = median_interval(data.timestamps)
        fault = drift_is_fault(streams)
        self.drift_mode = options.drift
        if options.drift == "auto":
            self.drift_mode = "fault" if fault else "normal"
        self.short_runs = fault
        self.horizon, self.trials = self._horizon(varied)
        basis, steadiness = self._judged(self.horizon)
        self.following = self._following(basis)
        # the horizon of an allowance that was dropped, and the results with it
        self.dropped: tuple[int, Following] | None = None
        if self.horizon and self.trials and min(one.surplus for one in self.trials) > HOLDS:
            allowed, bare = self.following, self._following(self._bare[0])
            if allowed is not None and bare is not None and does_without(allowed, bare):
                basis, steadiness = self._bare
                self.following, self.dropped = bare, (self.horizon, allowed)
        self._rest_on(basis, steadiness)
        self.baseline = self._baseline(varied)
        self.forecast: Forecast | None = None
        swiftness = 1.0
        self.swift_power: tuple[float, ...] = ()
        if self.drift_mode == "normal" and self.scales.kept:
            swiftness, self.swift_power = choose_swiftness(
                varied, self.horizon, self.shrinkage, options.seed
            )
        # levels are steady or not with the allowance that the swiftness was chosen with
        steady = self.steadiness is not None and self.steadiness.steady
        self.paces = self._paces()
        self.lags = self._lags(varied)
        # where levels wander and the slow magnitude is used, swift smoothing would prolong false
        # alarms too
        swift_helps = steady or (not self.slow and self.narrow_enough)
        self.swiftness = swiftness if swift_helps else 1.0
        self.adaptation = self._adaptation()
        # of each stream, also for folds that hold out its first readings
        self.initial_levels = [self._initial_level(s) for s in streams] if self.baseline else []

    def _judged(self, horizon: int) -> tuple[Basis, Steadiness | None]:
        """Return what is decided on readings whose drift over ``horizon`` is tolerated."""
        shrinkage = self._shrinkage(horizon)
        steadiness = None
        if self.drift_mode == "normal" and self.scales.kept:
            steadiness = judge_steadiness(self.varied, horizon, shrinkage, self.options.seed)
        return Basis(horizon, shrinkage, steadiness is None or steadiness.slow), steadiness

    def _rest_on(self, basis: Basis, steadiness: Steadiness | None) -> None:
        """Adopt what :meth:`_judged` returned."""
        self.horizon, self.shrinkage, self.slow = basis.horizon, basis.shrinkage, basis.slow
        self.steadiness = steadiness

    @cached_property
    def _bare(self) -> tuple[Basis, Steadiness | None]:
        """What is decided without an allowance for drift."""
        return self._judged(0)

    def _following(self, basis: Basis) -> Following | None:
        asked = self.options.adaptation
        if self.drift_mode != "normal" or not self.scales.kept or not isinstance(asked, str):
            return None
        return judge_following(
            self.varied, basis.horizon, basis.shrinkage, basis.slow, self.options.seed
        )

    def _shrinkage(self, horizon: int) -> float:
        if self.drift_mode == "normal" and self.scales.kept:
            return choose_shrinkage(self.varied, horizon, self.options.seed)
        return SHRINKAGE

    def _paces(self) -> tuple[Way, Way] | None:
        """Choose pace and drift allowance that hold the budget far from the fitted readings."""
        if self.following is None or self.following.narrow_enough:
            return None
        usual = Basis(self.horizon, self.shrinkage, self.slow)
        free = self.options.horizon == "auto" and self.horizon > 0
        bare = (lambda: self._bare[0]) if free else None
        found = choose_pace(self.varied, usual, bare, self.options.seed)
        if found is not None and found[1].basis != usual:
            self._rest_on(*self._bare)
        return found

    def _lags(self, varied: list[Floats]) -> int:
        """Return the forecast's number of past readings; 0 if no forecast is used."""
        lags = min(LAGS, self.options.window - 1)
        if self.steadiness is None or LSTM_AUTOENCODER not in self.options.models or not lags:
            return 0
        self.forecast = choose_forecast(varied, self.shrinkage, lags)
        return lags if self.forecast is not None and self.forecast.holds else 0

    def _initial_level(self, values: Floats) -> Floats:
        """Return a stream's robust initial level, (d,) of the kept features."""
        center, spread = self.scales.center, self.scales.spread
        first = values[: self.baseline, self.scales.kept]
        z = np.clip((first - center) / spread, -IMPOSSIBLE, IMPOSSIBLE)
        level, agreed = skipped_mean(z)
        out: Floats = np.where(agreed, first.mean(axis=0), center + spread * level)
        return out

    def _horizon(self, varied: list[Floats]) -> tuple[int, list[Trial]]:
        """Choose the number of readings over which drift is tolerated; also return the trials."""
        if self.drift_mode != "normal" or not self.scales.kept:
            return 0, []
        if self.options.horizon != "auto":
            return int(self.options.horizon), []
        return choose_horizon(varied, self.options.seed)

    def _resting(self, streams: list[Floats]) -> list[str]:
        """Score features that nearly always rest by frequency, where that shows more of others.

        Only where readings are scored as received: a frequency is that of values in own units.
        Returns a note on it.
        """
        restated = self.conditions is not None or self.seasonality is not None
        if not self.options.watch_still or restated or self.options.drift == "fault":
            return []
        kept = self.scales.kept
        found = judge_resting([s[:, kept] for s in streams], self.options.seed)
        if found is None:
            return []
        if found.counted:
            self.scales = self.scales.without(found.columns)
        names = ", ".join(self.names[kept[j]] for j in found.columns)
        return [
            f"{names}: usually at one value (in {RESTS:.0%} of the readings or more) and scored by"
            f" how {'often' if found.counted else 'far'} they move: trials detected"
            f" {found.by_distance:.0%} of steps injected into the other features beside their"
            f" distance, {found.by_frequency:.0%} without"
        ]

    def _standing(self, streams: list[Floats]) -> Standing | None:
        """Return how often features without a scale moved; None if they are not watched.

        Raises
        ------
        TrainingError
            All of several features are constant, as with a machine that is switched off; or the
            only feature is constant and not watched.
        """
        dropped = self.scales.dropped
        if not self.scales.kept and len(self.names) > 1:
            raise TrainingError(
                f"data: all {len(self.names)} features are constant, as if the machine were"
                " switched off: there is nothing to learn from"
            )
        if not self.options.watch_still:
            if not self.scales.kept:
                raise TrainingError(
                    f"data: {self.names[0]!r}, the only feature, is constant, and movements of"
                    " constant features do not count (--watch-still 0): there is nothing to learn"
                )
            return None
        values = np.concatenate([s[:, dropped] for s in streams])
        return fit_standing(values, [self.names[j] for j in dropped])

    @property
    def narrow_enough(self) -> bool:
        """Return whether the data show that adaptation within narrow limits is enough."""
        if self.following is not None:
            return self.following.narrow_enough
        return self.steadiness is not None and self.steadiness.steady

    def rarity(self, streams: list[Floats]) -> list[Floats]:
        """Return the rarity (n_i,) of constant features' movements by stream; empty without any.

        No value repeats more often in training than in training.
        """
        if self.standing is None:
            return []
        return [self.standing.decades(s[:, self.scales.dropped]) for s in streams]

    def _baseline(self, varied: list[Floats]) -> int:
        asked = self.options.baseline
        if not self.scales.kept:
            return 0
        if not isinstance(asked, str):
            return int(asked)
        if self.drift_mode != "fault" or len(self.scales.kept) > MAX_BASELINE_FEATURES:
            return 0
        return BASELINE_READINGS * baseline_helps(varied, self.scales.spread, BASELINE_READINGS)

    def _adaptation(self) -> AdaptationParams:
        """Return the adaptation parameters.

        Limits are narrow where drift is the fault, and where the data show that narrow limits are
        enough: a tail that adapts also adapts to faults.
        """
        asked = self.options.adaptation
        rate = AdaptationParams().rate if isinstance(asked, str) else float(asked)
        if self.drift_mode == "fault":
            return AdaptationParams(rate, max_stretch=1.5, max_offset=1.0, start=0)
        if isinstance(asked, str) and self.narrow_enough:
            return narrow_limits(rate)
        return self.paces[1].how if self.paces else AdaptationParams(rate)

    def folds(self) -> list[list[Part]]:
        """Choose the parts that each calibration fold holds out.

        Large data need fewer folds: their detectors hardly differ. Where readings are
        :func:`models.detectors.covariance.scarce` they do: fitted on two thirds of them, detectors
        find the others farther off than those that serve do, and the threshold would lie beyond
        most faults. The window detector is dropped, with a note, if the stretches outside a fold
        are too short for it.

        Raises
        ------
        TrainingError
            The window detector would be dropped but is the only one.
        """
        count = self.options.folds
        if sum(self.lengths) > _MANY_ROWS and not scarce(np.concatenate(self.varied)):
            count = min(count, _FEW_FOLDS)
        folds = make_folds(self.lengths, count, self.short_runs)
        if LSTM_AUTOENCODER in self.options.models:
            left = min(
                max((p.end - p.start for p in training_parts(self.lengths, f)), default=0)
                for f in folds
            )
            if left < self.options.detector(LSTM_AUTOENCODER).window:
                self._leave_window_out(left)
        return folds

    def _leave_window_out(self, left: int) -> None:
        """Drop the window detector: a fold leaves at most ``left`` consecutive readings."""
        window = self.options.detector(LSTM_AUTOENCODER).window
        why = (
            f"{LSTM_AUTOENCODER} needs {window} consecutive readings, and the folds of calibration"
            f" leave {left} of {sum(self.lengths)}"
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
        """Fit preprocessing and detectors on stretches (stream, (n, d) of the kept features)."""
        pre = self.preprocess(parts)
        rows: list[Array] = [self.rows(pre, i, values) for i, values in parts]
        detectors = {}
        for name in MODEL_NAMES:
            if name in self.options.models:
                detector = self.options.detector(name, self._ahead(name))
                detectors[name] = detector.fit(rows, progress=progress)
        return pre, detectors

    def _ahead(self, name: str) -> dict[str, float]:
        """Return the decided parameters of a detector: those of the forecast."""
        if name != LSTM_AUTOENCODER:
            return {}
        if not self.lags or self.forecast is None:
            return {"lags": self.lags}
        return {"lags": self.lags, "penalty": self.forecast.penalty}

    def rows(self, pre: Preprocessing, stream: int, values: Floats) -> Floats:
        """Return the detectors' rows (n, d) of a stream's training readings.

        Parameters
        ----------
        pre
            Fitted on the readings.
        stream
            The stream's number.
        values : (n, d)
            The readings, kept features only, in own units.
        """
        scaled = pre.scaled(values)
        return scaled - pre.scaled(self.initial_levels[stream][None]) if self.baseline else scaled

    def preprocess(self, parts: Sequence[tuple[int, Floats]]) -> Preprocessing:
        """Fit scales and decorrelation on stretches (stream, (n, d) of the kept features)."""
        pooled = np.concatenate([v for _, v in parts])
        flat = pooled
        if self.baseline:
            flat = np.concatenate([v - self.initial_levels[i] for i, v in parts])
        # a feature may be constant in all blocks but the held-out one
        spread = np.maximum(winsorised_std(flat), 0.1 * self.scales.spread)
        scale = spread
        if self.drift_mode == "normal":
            scale = np.hypot(spread, self.scales.drift * self.horizon)
        rows = (flat - np.median(flat, axis=0)) / scale
        whitening = decorrelation(rows, spread / scale, self.step_correlation, self.shrinkage)
        limits = {name: (pair[0], pair[1]) for name, pair in self.options.limits.items()}
        # the share is of all features, constant ones too, as in data preparation; one must remain
        imputed = min(self.options.imputed(len(self.names)), max(len(self.scales.kept) - 1, 0))
        dropped = tuple(self.names[j] for j in self.scales.dropped)
        return Preprocessing(
            tuple(self.names[j] for j in self.scales.kept),
            np.median(pooled, axis=0), scale, spread, whitening, self.drift_mode, self.baseline,
            self.interval, (*dropped, *self.data.unusable),
            "impute" if imputed else "refuse", imputed, limits, self.standing,
            self.data.garbage.of(self.scales.kept), self.data.nulls,
            self.conditions.of(self.scales.kept) if self.conditions else None,
            seasonality=self.seasonality.of(self.scales.kept) if self.seasonality else None,
            step=regular_interval(self.data.timestamps), repeats=self.repeats,
            beyond=self.data.beyond,
        )  # fmt: skip
