"""Keep one stream's events, settled levels and incidents up to date, reading by reading.

An anomalous reading opens or continues an event (:mod:`models.scoring.alarms.events`). A burst of
them opens its incident (:mod:`models.scoring.alarms.bursts`). A shift that lasts becomes a
persistent event at a new level (:mod:`models.scoring.alarms.settling`). Each reading's metadata has
the entries of its events.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from models.scoring.alarms.bursts import Burst, OpeningRule
from models.scoring.alarms.departures import Range
from models.scoring.alarms.events import ANOMALY, SENSOR_FAULT, advance
from models.scoring.alarms.settling import MAX_LEVELS
from models.scoring.alarms.stretch import PARTS, Level32
from models.scoring.magnitudes.adaptation import AdaptationParams, AdaptiveTail
from models.scoring.magnitudes.calibration import Calibration
from models.scoring.magnitudes.tail_kernel import GATE
from models.scoring.model_set import ModelSet
from models.scoring.policy import ScoringPolicy
from models.scoring.prepared import PreparedReading, PreparedStream
from schemas import REPEATED_HOUR_S

#: The tail adapts by the default parameters at a settled level: training never saw that level.
AT_SETTLED_LEVEL: Final = AdaptationParams()


class StreamEvents:
    """Events, settled levels and incidents of one stream; kept in the stream's state.

    Attributes
    ----------
    levels_changed : the stream settled at a level or left one: later rows must be scored again.
    """

    def __init__(
        self, model_set: ModelSet, stream: PreparedStream, policy: ScoringPolicy, *, adapts: bool
    ) -> None:
        self.model_set = model_set
        self.stream = stream
        self.policy = policy
        self.levels_changed = False
        settles = adapts and model_set.preprocessing.drift_mode == "normal"
        self._settles_after = policy.persistent_after if settles else 0
        self._part_length = -(-self._settles_after // PARTS)
        self._raised = policy.raised(stream.work.false_alarms)
        self._opening: OpeningRule | None = None

    def set_criticality(self, criticality: str) -> None:
        """Set the rule that opens incidents for an asset's criticality."""
        rates = self.model_set.bursts
        self._opening = self.policy.opening_rule(rates, criticality, self._raised)

    def set_back_clock(self, reading: PreparedReading) -> None:
        """Let no event have lasted beyond a reading at which the clock is set back."""
        if (time := reading.received.timestamp) is not None:
            for event in self.stream.state.events.values():
                event.last = min(event.last, time.timestamp())

    def away(self, reading: PreparedReading) -> dict[int, float]:
        """Return the rare values of features that are scored by frequency, by number.

        Those at values that the stream has settled at no longer count as rare.
        """
        features = reading.received.features
        numbers = {name: self._number(reading, name) for name in reading.rare}
        away = {
            at: 0.0 if name in reading.missing else features[name] for name, at in numbers.items()
        }
        if self.stream.state.settling.levels:
            unknown = self.stream.state.settling.unknown(away)
            reading.elsewhere = sorted(n for n in reading.rare if numbers[n] not in unknown)
            reading.rare = {n: r for n, r in reading.rare.items() if numbers[n] in unknown}
        return away

    def _number(self, reading: PreparedReading, name: str) -> int:
        """Return the number of a rare feature; one that lacks values stands elsewhere as another.

        So its values are not confused with those of a sensor that is stuck.
        """
        numbers = self.model_set.preprocessing.numbers
        return numbers[name] + (len(numbers) if name in reading.missing else 0)

    def update_event(
        self, metadata: dict[str, Any], reading: PreparedReading, anomalous: bool, magnitude: float
    ) -> None:
        """Open, continue or end the stream's event by one reading; add it to the metadata.

        Parameters
        ----------
        metadata
            Of the reading's result.
        reading, anomalous
            The reading, and whether it is an anomaly.
        magnitude
            Its magnitude, in decades.
        """
        at, work = reading.received.timestamp, self.stream.work
        if at is None:
            return
        recent = reading.behind_s <= max(self.policy.event_silence_s, REPEATED_HOUR_S)
        if reading.late and not (anomalous and recent):
            return  # a late reading can open or extend an event, but not end one
        events = self.stream.state.events
        silent = reading.rare.keys() & reading.missing.keys()
        kind = SENSOR_FAULT if reading.outside or silent else ANOMALY
        if not events and kind == ANOMALY and self._adapting_to_level():
            return  # the anomaly belongs to the persistent event
        event, entry = advance(
            next(iter(events.values()), None),
            anomalous=anomalous,
            kind=kind,
            magnitude=magnitude,
            at=at,
            silence_s=self.policy.event_silence_s,
            stream=(work.asset_id, work.sensor_id, work.feature),
        )
        events.clear()
        if event is not None:
            events[event.kind] = event
        if entry is not None:
            metadata["event"] = entry

    def update_incident(
        self,
        metadata: dict[str, Any],
        reading: PreparedReading,
        cal: Calibration | None,
        anomalous: bool,
        log10_p: float,
    ) -> None:
        """Add to the reading's event whether and when its incident opened.

        Parameters
        ----------
        metadata
            Of the reading's result; without an event nothing is added.
        reading, anomalous
            The reading, and whether it is an anomaly.
        cal
            The calibration that applies to the reading; None without a detector.
        log10_p
            Logarithm of the reading's tail probability.
        """
        event, state, at = metadata.get("event"), self.stream.state, reading.received.timestamp
        if event is None or at is None:
            return
        burst = state.burst
        if burst is None or burst.event != event["id"]:
            burst = Burst(event["id"])
        if reading.suppressed is not None:
            incident = event["incident"] = burst.restart()
        else:
            incident = event["incident"] = burst.take(-log10_p, anomalous, at, self._opening)
            if self._raised and ("why" in incident or not incident["opens"]):
                incident["affected_by_feedback"] = True  # reported false alarms raised the rule
        if "why" in incident and cal is not None and cal.final.extrapolated(-burst.peak):
            incident["extrapolated"] = True
        state.burst = burst if state.events else None

    def update_levels(
        self,
        metadata: dict[str, Any],
        reading: PreparedReading,
        row: int,
        magnitude: float,
        away: dict[int, float],
        *,
        beyond: bool,
    ) -> None:
        """Settle at a new level, or leave one; add the persistent events to the metadata.

        Parameters
        ----------
        metadata
            Of the reading's result.
        reading, row
            The reading, and its row in the stream's.
        magnitude
            Its magnitude, in decades.
        away
            What :meth:`away` returned for the reading.
        beyond
            Whether the reading lies beyond the gate.
        """
        at, settling = reading.received.timestamp, self.stream.state.settling
        if at is None:
            return
        left = None
        if not (reading.late or reading.outside or reading.suppressed is not None):
            near = -1 if self.stream.near is None else self.stream.near[row]
            stands = self._standing_again(reading, away)
            level = self._new_level(reading, row, near, beyond)
            if level is None and stands and self._adapting_to_level():
                settling.levels[-1].stands.update(stands)
                settling.departures.forget(stands)
                self.levels_changed = True
            elif level is not None or (stands and len(settling.levels) < MAX_LEVELS):
                self.levels_changed = True  # rows do without the values of stuck sensors, too
                tail = AdaptiveTail(self.model_set.median)
                if level is None:  # the rows stay at the level that they are near
                    level = settling.levels[near].at if near >= 0 else None
                    tail = self.stream.state.tail
                    tail.pause(self.model_set.median)
                self._settle(metadata, level, stands, at, magnitude, tail)
                return
            if settling.levels and not beyond:
                left = settling.left(near, at.timestamp(), self.policy.event_silence_s, away)
        entries = settling.entries()
        if left is not None:
            # rows know their nearest level by its place among them
            self.levels_changed = True
            entries.insert(0, left.entry("cleared"))
        add_events(metadata, entries)

    def _adapting_to_level(self) -> bool:
        """Return whether the tail is still adapting to a newly settled level."""
        state = self.stream.state
        young = state.tail.numbers["age"] < AT_SETTLED_LEVEL.start and state.settling.shifted
        return young and bool(state.settling.entries())

    def _new_level(
        self, reading: PreparedReading, row: int, near: int, beyond: bool
    ) -> Level32 | None:
        """Add a row, nearest to level ``near``, to the stretch; return a level that it settles."""
        settling, stream = self.stream.state.settling, self.stream
        if not beyond and not settling.stretch.balance:
            return None
        at = len(stream.scaled) - len(stream.rows) + row
        usual = stream.offsets.usual(stream.scaled[at], at)
        pre = self.model_set.preprocessing
        if pre.mean is not None:  # means are compared, and training's need not be its centre
            usual = usual - pre.mean
        lacking = [pre.names.index(name) for name in reading.imputed]
        return settling.take(usual, near, beyond, self._part_length, stream.offsets.mix, lacking)

    def _standing_again(self, reading: PreparedReading, away: dict[int, float]) -> dict[int, Range]:
        """Follow the features that alarm by standing elsewhere; return those that have settled."""
        settling, numbers = self.stream.state.settling, self.model_set.preprocessing.numbers
        departures, rare = settling.departures, rare_features(reading)
        if not self._settles_after or not (rare or departures.known):
            return {}
        features = reading.received.features
        present = [at for name, at in numbers.items() if features.get(name) is not None]
        measured = features.keys() - set(reading.imputed)
        present += [len(numbers) + at for name, at in numbers.items() if name in measured]
        room = settling.room(self.stream.scaled.shape[1])
        left = [self._number(reading, name) for name in rare]
        departures.take({at: away[at] for at in left}, present, room)
        return departures.steady(self._settles_after)

    def _settle(
        self,
        metadata: dict[str, Any],
        level: Level32 | None,
        stands: dict[int, Range],
        at: datetime,
        magnitude: float,
        tail: AdaptiveTail,
    ) -> None:
        """Make the event persistent; a shift that has not alarmed gets an event now."""
        state, work = self.stream.state, self.stream.work
        event, others = next(iter(state.events.values()), None), state.settling.entries()
        if event is None:
            event, _ = advance(
                None,
                anomalous=True,
                kind=ANOMALY,
                magnitude=magnitude,
                at=at,
                silence_s=0.0,
                stream=(work.asset_id, work.sensor_id, work.feature),
            )
            assert event is not None  # noqa: S101
        alarm = metadata.pop("event", None) or event.entry("opened")
        settled = state.settle(level, at, tail, event, stands)
        entry = settled.entry(alarm["state"])
        entry["incident"] = {**alarm.get("incident", {}), **entry["incident"]}
        add_events(metadata, [entry, *others])


def rare_features(reading: PreparedReading) -> list[str]:
    """Return the features scored by frequency that alone are beyond the gate, by name."""
    return sorted(name for name, rarity in reading.rare.items() if rarity >= -GATE)


def add_events(metadata: dict[str, Any], entries: list[dict[str, Any]]) -> None:
    """Add events to a result: the first as its event if it has none, others as ``on_top_of``."""
    if entries and "event" not in metadata:
        metadata["event"], *entries = entries
    if entries:
        metadata["event"].setdefault("on_top_of", []).extend(entries)
