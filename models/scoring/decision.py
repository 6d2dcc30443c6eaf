"""Turn calibrated magnitudes into results: update the stream's state, decide, build the entry."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import numpy as np

from errors import AnomalyError
from models.arrays import Bools
from models.detectors.base import LSTM_AUTOENCODER, Array
from models.scoring.adaptation import GATE, AdaptationParams, AdaptiveTail
from models.scoring.bursts import Burst, OpeningRule
from models.scoring.calibration import Calibration
from models.scoring.clock import Step
from models.scoring.departures import Range
from models.scoring.events import ANOMALY, SENSOR_FAULT, advance
from models.scoring.explanation import Explainer
from models.scoring.model_set import ModelSet
from models.scoring.policy import ScoringPolicy
from models.scoring.settling import MAX_LEVELS, PARTS, Level32
from models.scoring.standing import Standing
from models.scoring.stream_state import StreamState
from models.scoring.tail import FLOOR, criticality_of, score_of
from models.scoring.windows import LEFT_OUT, PreparedReading, PreparedStream
from schemas import REPEATED_HOUR_S

#: The tail adapts by the default parameters at a settled level: training never saw that level.
AT_A_LEVEL: Final = AdaptationParams()


class CalibratedScores:
    """Calibrated magnitudes of all ``n`` rows of a run.

    Attributes
    ----------
    decades, log10_p : (n,) by detector.
    fast : (n,) combined magnitude.
    by : (n,) the calibration that applies to each row; None without a detector.
    """

    def __init__(self, names: tuple[str, ...], n: int) -> None:
        self.decades = {name: [0.0] * n for name in names}
        self.log10_p = {name: [0.0] * n for name in names}
        self.fast = [0.0] * n
        self.by: list[Calibration | None] = [None] * n

    def put(self, mask: Bools, cal: Calibration, raw: Mapping[str, Array]) -> None:
        """Calibrate the raw magnitudes of some rows and store the result.

        Parameters
        ----------
        mask : (n,)
            Which rows to calibrate.
        cal
            Calibration of the detectors that scored these rows.
        raw : {detector: (rows,)}
            Their raw magnitudes.
        """
        decades = cal.decades(raw)
        fast = cal.combined(decades).tolist()
        rows = np.flatnonzero(mask).tolist()
        for k, name in enumerate(cal.detectors):
            own = cal.tails[name].log10_ps(raw[name]).tolist()
            mine, theirs = self.decades[name], self.log10_p[name]
            for i, d, lp in zip(rows, decades[k].tolist(), own, strict=True):
                mine[i] = d
                theirs[i] = lp
        for i, f in zip(rows, fast, strict=True):
            self.fast[i] = f
            self.by[i] = cal


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
        self.raised = policy.raised(stream.work.false_alarms)
        self.criticality, self.threshold = "", 0.0
        self.opening: OpeningRule | None = None
        self.moved = False  # the stream's levels changed, so later rows must be scored again
        self.how = model_set.adaptation if policy.adaptation else None
        if self.how is not None and self.how.rate == 0.0:
            self.how = None
        if self.how is not None and stream.state.settling.shifted:
            self.how = AT_A_LEVEL
        settles = self.how is not None and model_set.preprocessing.drift_mode == "normal"
        self.settles_after = policy.persistent_after if settles else 0
        self.part = -(-self.settles_after // PARTS)

    def judge(self, at: int) -> list[dict[str, Any]]:
        """Return results of the stream's readings; their scored rows start at ``at``.

        Stops where the stream's levels change: later readings must be scored again.
        """
        results: list[dict[str, Any]] = []
        row = window = 0
        for reading in self.stream.readings:
            if reading.error is not None:
                results.append(error_entry(reading.error))
                continue
            if reading.criticality != self.criticality:
                self._judge_for(reading.criticality)
            results.append(self._one(reading, at + row, row, window))
            row += 1
            window += reading.windowed
            if self.moved:
                break
        return results

    def _judge_for(self, criticality: str) -> None:
        """Set the thresholds for an asset's criticality; scores do not depend on them."""
        self.criticality, self.threshold = criticality, self.policy.threshold(criticality)
        self.opening = self.policy.opening_rule(self.model_set.bursts, criticality, self.raised)

    def _one(self, reading: PreparedReading, at: int, row: int, window: int) -> dict[str, Any]:
        cal = self.scored.by[at]
        fast = self.scored.fast[at]
        away: dict[int, float] = {}
        if reading.moved and (standing := self.model_set.preprocessing.standing) is not None:
            away = self._away(reading, standing)
            if reading.moved:
                fast = standing.together(fast, reading.moved)
        m, log10_p = self._magnitude(reading, cal, fast)
        score = score_of(log10_p)
        # if detectors exist but none could score this reading, it is neither normal nor anomalous
        judged = cal is not None or not self.model_set.names or bool(reading.outside)
        anomalous = judged and score >= self.threshold
        work, model_set = self.stream.work, self.model_set
        metadata: dict[str, Any] = {
            "group": model_set.group,
            "bundle_version": model_set.version,
            "asset_criticality": self.criticality,
            "window": reading.mark,
        }
        self._flags(metadata, reading, cal, log10_p)
        state = self.stream.state
        if reading.step is Step.SET_BACK:
            _set_back(state, reading)
        if not judged:
            metadata["not_scored"] = True
        elif anomalous or state.events:
            self._event(metadata, reading, anomalous, m)
            self._incident(metadata, reading, cal, anomalous, log10_p)
        if log10_p < GATE or state.settling.active:
            self._levels(metadata, reading, row, m, away, beyond=judged and log10_p < GATE)
        if reading.ended:
            _name(metadata, list(reading.ended))
        scores = self._votes(cal, at)
        if anomalous:
            self._explain(metadata, reading, cal, at, row, window, scores)
        if cal is not None and log10_p > GATE and self._teaches(reading):
            state.learn_level(self.stream.raw[row])
        time = reading.point.timestamp
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
            "features": reading.point.features,
            "metadata": metadata,
        }

    def _magnitude(
        self, reading: PreparedReading, cal: Calibration | None, fast: float
    ) -> tuple[float, float]:
        """Return the reading's magnitude and ``log10 p``; update the stream's adaptive tail."""
        follower = self.stream.state.follower
        if reading.gap:
            follower.pause(self.model_set.median)
        if reading.resumed:
            follower.settle_again()
        if reading.outside:
            beyond = 0.0 if cal is None else cal.final.log10_p(fast)
            return fast, min(FLOOR, beyond)
        if cal is None:  # no detector: ``fast`` is the rarity of features constant in training
            return fast, 0.0 - fast
        # these readings must not change the tail; it starts once the baseline is known
        if reading.late or reading.warm or reading.suppressed is not None:
            m, u = fast, follower.alone(fast, cal, self.how)
        else:
            m, u = follower.step(fast, cal, self.how, self.policy.accept_shift_after)
        return m, (cal.final if self.how else cal.fixed).log10_p(u)

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
        if reading.elsewhere:
            metadata["stands_elsewhere"] = reading.elsewhere
        if reading.interval is not None:
            step = self.model_set.preprocessing.step
            metadata["interval_unlike_training"] = {
                "seconds": round(reading.interval, 3), "trained_at": step,
            }  # fmt: skip
        if reading.moved and (rare := _rare(reading)):
            metadata["stood_still"] = rare

    def _event(
        self, metadata: dict[str, Any], reading: PreparedReading, anomalous: bool, m: float
    ) -> None:
        if reading.point.timestamp is None:
            return
        recent = reading.behind_s <= max(self.policy.event_silence_s, REPEATED_HOUR_S)
        if reading.late and not (anomalous and recent):
            return  # a late reading can open or extend an event, but not end one
        state, events = self.stream.state, self.stream.state.events
        kind = SENSOR_FAULT if reading.outside else ANOMALY
        if not events and kind == ANOMALY and self._placing(state):
            return  # the anomaly belongs to the persistent event
        work = self.stream.work
        event, entry = advance(
            next(iter(events.values()), None),
            anomalous=anomalous,
            kind=kind,
            magnitude=m,
            at=reading.point.timestamp,
            silence_s=self.policy.event_silence_s,
            stream=(work.asset_id, work.sensor_id, work.feature),
        )
        events.clear()
        if event is not None:
            events[event.kind] = event
        if entry is not None:
            metadata["event"] = entry

    def _placing(self, state: StreamState) -> bool:
        """Return whether the tail is still adapting to a newly settled level."""
        young = state.follower.quantiles.age < AT_A_LEVEL.start and state.settling.shifted
        return young and bool(state.settling.entries())

    def _levels(
        self,
        metadata: dict[str, Any],
        reading: PreparedReading,
        row: int,
        m: float,
        away: dict[int, float],
        *,
        beyond: bool,
    ) -> None:
        """Settle at a new level, or leave one; add the persistent events to the metadata.

        ``away`` are the values, by number, of standing features away from their usual ones.
        """
        state, at = self.stream.state, reading.point.timestamp
        settling, near = state.settling, -1 if self.stream.near is None else self.stream.near[row]
        if at is None:
            return
        left = None
        if self._in_order(reading):
            stands = self._depart(reading, away)
            level: Level32 | None = None
            if beyond or settling.stretch.balance:
                scaled = self.stream.scaled[len(self.stream.scaled) - len(self.stream.rows) + row]
                level = settling.take(scaled, near, beyond, self.part)
            if level is None and stands and self._placing(state):
                settling.levels[-1].stands.update(stands)
                settling.departures.forget(stands)
            elif level is not None or (stands and len(settling.levels) < MAX_LEVELS):
                former = None if near < 0 else settling.levels[near].at
                self._settle(metadata, former if level is None else level, stands, at, m)
                self.moved = level is not None
                return
            if settling.levels and not beyond:
                left = settling.left(near, at.timestamp(), self.policy.event_silence_s, away)
        entries = settling.entries()
        if left is not None:
            self.moved = left.at is not None
            entries.insert(0, left.entry("cleared"))
        _name(metadata, entries)

    def _away(self, reading: PreparedReading, standing: Standing) -> dict[int, float]:
        """Return the values of standing features away from their usual ones, by number.

        Those at values that the stream has settled at no longer count as moved.
        """
        features, numbers = reading.point.features, standing.numbers
        away = {numbers[name]: features[name] for name in reading.moved}
        if self.stream.state.settling.levels:
            unknown = self.stream.state.settling.unknown(away)
            reading.elsewhere = sorted(n for n in reading.moved if numbers[n] not in unknown)
            reading.moved = {n: r for n, r in reading.moved.items() if numbers[n] in unknown}
        return away

    def _depart(self, reading: PreparedReading, away: dict[int, float]) -> dict[int, Range]:
        """Follow the features that alarm by standing elsewhere; return those that have settled."""
        settling, standing = self.stream.state.settling, self.model_set.preprocessing.standing
        departures, rare = settling.departures, _rare(reading)
        if standing is None or not self.settles_after or not (rare or departures.known):
            return {}
        features, numbers = reading.point.features, standing.numbers
        present = [at for name, at in numbers.items() if features.get(name) is not None]
        room = settling.room(self.stream.scaled.shape[1])
        departures.take({numbers[name]: away[numbers[name]] for name in rare}, present, room)
        return departures.steady(self.settles_after)

    def _settle(
        self,
        metadata: dict[str, Any],
        level: Level32 | None,
        stands: dict[int, Range],
        at: datetime,
        m: float,
    ) -> None:
        """Make the event persistent; a shift that has not alarmed gets an event now."""
        state, work = self.stream.state, self.stream.work
        event, others = state.events.get(ANOMALY), state.settling.entries()
        if event is None:
            stream = (work.asset_id, work.sensor_id, work.feature)
            event, _ = advance(
                None, anomalous=True, kind=ANOMALY, magnitude=m, at=at, silence_s=0.0, stream=stream
            )
            assert event is not None  # noqa: S101
        alarm = metadata.pop("event", None) or event.entry("opened")
        usual = level is None  # rows that have not shifted need no tail of their own
        tail = self.model_set.new_tail() if usual else AdaptiveTail(self.model_set.median)
        settled = state.settle(level, at, tail, event, stands)
        entry = settled.entry(alarm["state"])
        entry["incident"] = {**alarm.get("incident", {}), **entry["incident"]}
        _name(metadata, [entry, *others])

    def _incident(
        self,
        metadata: dict[str, Any],
        reading: PreparedReading,
        cal: Calibration | None,
        anomalous: bool,
        log10_p: float,
    ) -> None:
        """Add to the reading's event whether and when its incident opened."""
        event, state, at = metadata.get("event"), self.stream.state, reading.point.timestamp
        if event is None or at is None:
            return
        burst = state.burst
        if burst is None or burst.event != event["id"]:
            burst = Burst(event["id"])
        if reading.suppressed is not None:
            incident = event["incident"] = burst.restart()
        else:
            incident = event["incident"] = burst.take(-log10_p, anomalous, at, self.opening)
            if self.raised and ("why" in incident or not incident["opens"]):
                incident["affected_by_feedback"] = True  # reported false alarms raised the rule
        if "why" in incident and cal is not None and cal.final.extrapolated(-burst.peak):
            incident["extrapolated"] = True
        state.burst = burst if state.events else None

    def _votes(self, cal: Calibration | None, at: int) -> list[dict[str, Any]]:
        if cal is None:
            return []
        quantiles, threshold = self.stream.state.follower.quantiles, self.threshold
        votes = []
        for name in cal.detectors:
            log10_p = self.scored.log10_p[name][at]
            if self.how is not None:
                log10_p = -quantiles.relative(-log10_p, cal)
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
        if cal is None:
            return
        pre, stream = self.model_set.preprocessing, self.stream
        inputs = {}
        for name in cal.detectors:
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
        rows = (stream.raw[row], stream.received[row])
        time = reading.point.timestamp
        seconds = 0.0 if time is None else time.timestamp()
        self.explainer.add(metadata, rows, level, inputs, reading.condition, seconds)

    def _in_order(self, reading: PreparedReading) -> bool:
        """Return whether a reading is in order, plausible and not suppressed."""
        return not (reading.late or reading.outside or reading.suppressed is not None)

    def _teaches(self, reading: PreparedReading) -> bool:
        """Return whether the stream's level may learn from a reading: in order and complete."""
        baseline = self.model_set.preprocessing.baseline
        out_of_order = reading.late or reading.suppressed is not None
        return not (baseline or out_of_order or reading.imputed or reading.unfit)


def _rare(reading: PreparedReading) -> list[str]:
    """Return the standing features whose movement alone is beyond the gate, by name."""
    return sorted(name for name, rarity in reading.moved.items() if rarity >= -GATE)


def _set_back(state: StreamState, reading: PreparedReading) -> None:
    """Let no event have lasted beyond a reading at which the clock is set back."""
    if (time := reading.point.timestamp) is not None:
        for event in state.events.values():
            event.last = min(event.last, time.timestamp())


def _name(metadata: dict[str, Any], entries: list[dict[str, Any]]) -> None:
    """Add events to a result: the first as its event if it has none, others as ``on_top_of``."""
    if entries and "event" not in metadata:
        metadata["event"], *entries = entries
    if entries:
        metadata["event"].setdefault("on_top_of", []).extend(entries)
