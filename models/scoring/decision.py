"""Turn calibrated magnitudes into results: update the stream's state, decide, build the entry."""

from __future__ import annotations

from typing import Any

import numpy as np

from errors import AnomalyError
from models.detectors.base import LSTM_AUTOENCODER
from models.scoring.alarms.stream_events import (
    AT_SETTLED_LEVEL,
    StreamEvents,
    add_events,
    rare_features,
)
from models.scoring.explanation import Explainer
from models.scoring.magnitudes.calibrated_scores import CalibratedScores
from models.scoring.magnitudes.calibration import Calibration
from models.scoring.magnitudes.tail import FLOOR, criticality_of, score_of
from models.scoring.magnitudes.tail_kernel import GATE
from models.scoring.model_set import ModelSet
from models.scoring.policy import ScoringPolicy
from models.scoring.prepared import LEFT_OUT, PreparedReading, PreparedStream
from models.scoring.readings.clock import Step


def error_entry(error: AnomalyError) -> dict[str, Any]:
    """Return the entry that replaces the result of a reading that could not be scored."""
    return {"error": error.entry(), "metadata": {"window": LEFT_OUT}}


class StreamScorer:
    """Decide on one stream's readings in order, updating its state."""

    def __init__(
        self,
        model_set: ModelSet,
        stream: PreparedStream,
        scored: CalibratedScores,
        policy: ScoringPolicy,
        explainer: Explainer,
    ) -> None:
        self.model_set = model_set
        self.stream = stream
        self.scored = scored
        self.policy = policy
        self.explainer = explainer
        self.criticality, self.threshold = "", 0.0
        self.adaptation = model_set.adaptation if policy.adaptation else None
        if self.adaptation is not None and self.adaptation.rate == 0.0:
            self.adaptation = None
        if self.adaptation is not None and stream.state.settling.shifted:
            self.adaptation = AT_SETTLED_LEVEL
        adapts = self.adaptation is not None
        self.events = StreamEvents(model_set, stream, policy, adapts=adapts)

    def results(self, first: int) -> list[dict[str, Any]]:
        """Return results of the stream's readings; their rows start at ``first`` of the scored.

        Stops where the stream's levels change: later readings must be scored again.
        """
        results: list[dict[str, Any]] = []
        row = window = 0
        for reading in self.stream.readings:
            if reading.error is not None:
                results.append(error_entry(reading.error))
                continue
            if reading.criticality != self.criticality:
                self._set_criticality(reading.criticality)
            results.append(self._result(reading, first + row, row, window))
            row += 1
            window += reading.windowed
            if self.events.levels_changed:
                break
        return results

    def _set_criticality(self, criticality: str) -> None:
        """Set the thresholds for an asset's criticality; scores do not depend on them."""
        self.criticality, self.threshold = criticality, self.policy.threshold(criticality)
        self.events.set_criticality(criticality)

    def _result(self, reading: PreparedReading, at: int, row: int, window: int) -> dict[str, Any]:
        """Decide on one reading: row ``at`` of all scored rows, ``row`` of the stream's own.

        ``window`` is the index of its window, if it has one.
        """
        cal = self.scored.by[at]
        fast = self.scored.fast[at]
        away: dict[int, float] = {}
        if reading.rare:
            away = self.events.away(reading)
            fast = self.model_set.preprocessing.with_rarity(fast, reading.rare)
        magnitude, log10_p = self._magnitude(reading, cal, fast)
        score = score_of(log10_p)
        # what is no measurement, or could be scored by no detector, is neither normal nor anomalous
        could = cal is not None or not self.model_set.names or bool(reading.outside)
        decided = could and not reading.zeros
        anomalous = decided and score >= self.threshold
        work, model_set = self.stream.work, self.model_set
        metadata: dict[str, Any] = {
            "group": model_set.group,
            "bundle_version": model_set.version,
            "asset_criticality": self.criticality,
            "window": reading.mark,
        }
        self._flags(metadata, reading, cal, log10_p)
        state, events = self.stream.state, self.events
        if reading.step is Step.SET_BACK:
            events.set_back_clock(reading)
        if not decided:
            metadata["not_scored"] = True
        elif anomalous or state.events:
            events.update_event(metadata, reading, anomalous, magnitude)
            events.update_incident(metadata, reading, cal, anomalous, log10_p)
        if log10_p < GATE or state.settling.active:
            beyond = decided and log10_p < GATE
            events.update_levels(metadata, reading, row, magnitude, away, beyond=beyond)
        if reading.ended:
            add_events(metadata, list(reading.ended))
        scores = [] if reading.zeros else self._votes(cal, at)
        if anomalous:
            self._explain(metadata, reading, cal, at, row, window, scores)
        if cal is not None and log10_p > GATE and self._teaches(reading):
            state.learn_level(self.stream.raw[row])
        time = reading.received.timestamp
        return {
            "asset_id": work.asset_id,
            "sensor_id": work.sensor_id,
            "timestamp": time.isoformat() if time else None,
            "scores": scores,
            "final_score": score,
            "p": 10.0 ** max(log10_p, FLOOR),
            "log10_p": round(log10_p, 4),
            "threshold": self.threshold,
            "is_anomaly": anomalous,
            "criticality": criticality_of(score),
            "features": reading.received.features,
            "metadata": metadata,
        }

    def _magnitude(
        self, reading: PreparedReading, cal: Calibration | None, fast: float
    ) -> tuple[float, float]:
        """Return the reading's magnitude and ``log10 p``; update the stream's adaptive tail."""
        if reading.zeros:
            return 0.0, 0.0
        tail = self.stream.state.tail
        if reading.gap or reading.mended:  # a mended sensor must not ring on in the averages
            tail.pause(self.model_set.median)
        if reading.resumed:
            tail.settle_again()
        if reading.outside:
            beyond = 0.0 if cal is None else cal.final.log10_p(fast)
            return fast, min(FLOOR, beyond)
        if cal is None:  # no detector: ``fast`` is the rarity of features scored by frequency
            return fast, 0.0 - fast
        # these readings must not change the tail; it starts once the baseline is known
        if reading.late or reading.warm or reading.suppressed is not None:
            m, u = fast, tail.alone(fast, cal, self.adaptation)
        else:
            m, u = tail.step(fast, cal, self.adaptation, self.policy.accept_shift_after)
        return m, (cal.final if self.adaptation else cal.fixed).log10_p(u)

    def _flags(
        self,
        metadata: dict[str, Any],
        reading: PreparedReading,
        cal: Calibration | None,
        log10_p: float,
    ) -> None:
        if reading.restarted:
            metadata["restarted"] = reading.restarted
        if reading.warm:
            metadata["warming_up"] = True
        known = reading.windowed or reading.aside
        if not known and LSTM_AUTOENCODER in self.model_set.names:
            metadata["insufficient_history"] = True
        if reading.late:
            metadata["late"] = True
        if reading.suppressed is not None:
            metadata["suppressed"] = reading.suppressed
        if cal is not None and not reading.outside and cal.final.extrapolated(log10_p):
            metadata["extrapolated"] = True
        if reading.imputed:
            metadata["imputed"] = reading.imputed
        if reading.unknown:
            metadata["unknown_features"] = reading.unknown
        if reading.unfit:
            metadata["unknown_condition"] = reading.unfit
        if reading.outside:
            metadata["outside_limits"] = reading.outside
        if reading.missing:
            metadata["no_value_since"] = dict(reading.missing)
        if reading.elsewhere:
            metadata["stands_elsewhere"] = reading.elsewhere
        if reading.interval is not None:
            step = self.model_set.preprocessing.step
            metadata["interval_unlike_training"] = {
                "seconds": round(reading.interval, 3), "trained_at": step,
            }  # fmt: skip
        if reading.rare and (rare := rare_features(reading)):
            rare = [name for name in rare if name not in reading.missing]
            stuck = {name: reading.repeated[name] for name in rare if name in reading.repeated}
            if stuck:
                metadata["stuck"] = stuck
            if moved := [name for name in rare if name not in stuck]:
                metadata["stood_still"] = moved

    def _votes(self, cal: Calibration | None, at: int) -> list[dict[str, Any]]:
        if cal is None:
            return []
        tail, threshold = self.stream.state.tail, self.threshold
        votes = []
        for name in cal.detectors:
            log10_p = self.scored.log10_p[name][at]
            if self.adaptation is not None:
                log10_p = -tail.relative(-log10_p, cal)
                log10_p = log10_p if log10_p < 0.0 else 0.0
            score = score_of(log10_p)
            votes.append(
                {
                    "model_name": name,
                    "score": score,
                    "threshold": threshold,
                    "is_anomaly": score >= threshold,
                    "p": 10.0 ** (log10_p if log10_p > FLOOR else FLOOR),
                    "criticality": criticality_of(score),
                }
            )
        return votes

    def _explain(
        self,
        metadata: dict[str, Any],
        reading: PreparedReading,
        cal: Calibration | None,
        at: int,
        row: int,
        window: int,
        scores: list[dict[str, Any]],
    ) -> None:
        metadata["explanation"] = {
            "features": [],
            "votes": {s["model_name"]: s["is_anomaly"] for s in scores},
        }
        if cal is None and not reading.rare:
            return
        pre, stream = self.model_set.preprocessing, self.stream
        inputs = {}
        for name in cal.detectors if cal else ():
            x = stream.rows[row]
            if name == LSTM_AUTOENCODER:
                assert stream.windows is not None  # noqa: S101
                x = stream.windows[window]
            inputs[name] = (self.scored.decades[name][at], x)
        level = pre.center if reading.warm else stream.state.normal(pre)
        if pre.conditions is not None:
            metadata["explanation"]["condition"] = pre.conditions.described(reading.condition)
        if pre.seasonality is not None:
            metadata["explanation"]["seasons"] = pre.seasonality.described()
        received = stream.received[row].copy()
        received[[pre.names.index(name) for name in reading.imputed]] = np.nan
        rows = (stream.raw[row], received)
        self.explainer.add(metadata, reading, rows, level, inputs)

    def _teaches(self, reading: PreparedReading) -> bool:
        """Return whether the stream's level may learn from a reading: in order and complete."""
        baseline = self.model_set.preprocessing.baseline
        out_of_order = reading.late or reading.suppressed is not None
        return not (baseline or out_of_order or reading.imputed or reading.unfit)
