"""Detect anomalies, independent of HTTP; used by the REST handlers and BentoML's methods."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from errors import InputError
from models.scoring.ensemble import StreamOutcome
from serving import metrics
from serving.bundles.manager import BundleManager
from serving.detection.journal import Journal
from serving.detection.planning import group_by_stream, reassemble, set_times
from serving.detection.scoring_engine import ScoringEngine
from serving.detection.stream_lookup import StreamLookup
from serving.requests.detect import Item
from serving.requests.stream_request import Stream

#: Fields that ``"echo": false`` omits from a result, because the caller has them.
ECHO = ("asset_id", "sensor_id", "timestamp", "features")


@dataclass(slots=True)
class DetectionService:
    """Coordinate look-up, scoring and journal for detection calls.

    Parameters
    ----------
    bundles : BundleManager
        Provides the loaded bundle.
    engine : ScoringEngine
        Scores.
    lookup, journal
        Read from and store in the database.
    deadline_s : float
        Time limit of a detection, then 503.
    """

    bundles: BundleManager
    engine: ScoringEngine
    lookup: StreamLookup
    journal: Journal
    deadline_s: float = 30.0

    async def detect(self, items: Sequence[Item | InputError]) -> list[dict[str, Any]]:
        """Score items: one result or error entry per item, in order.

        Raises
        ------
        NoModel, Busy, Unavailable
        """
        self.bundles.current()
        deadline = asyncio.get_running_loop().time() + self.deadline_s
        set_times(items)
        known = await self.lookup.find(items)
        await self._settle_versions([s.state for s in known.stored.values()], deadline)
        bundle = self.bundles.current()
        planned = group_by_stream(items, known)
        outcomes = await self.engine.score(bundle, [p.work for p in planned], deadline)
        results = reassemble(items, planned, outcomes)
        if known.degraded:
            for result in results:
                if "metadata" in result:
                    result["metadata"]["degraded"] = True
        await self.journal.store(results)
        _count(results)
        return results

    async def detect_one(self, item: Item) -> dict[str, Any]:
        """Score a single reading; its error is raised instead of returned."""
        (result,) = await self.detect([item])
        if "error" in result:
            entry = result["error"]
            raise InputError(entry["message"], code=entry["code"], field=entry.get("field"))
        return result

    async def detect_streams(self, streams: Sequence[Stream], echo: bool) -> dict[str, Any]:
        """Score the bridge's streams; stores nothing."""
        self.bundles.current()
        deadline = asyncio.get_running_loop().time() + self.deadline_s
        await self._settle_versions([stream.work.state for stream in streams], deadline)
        bundle = self.bundles.current()
        works = [stream.work for stream in streams]
        outcomes = await self.engine.score(bundle, works, deadline) if works else []
        answers = []
        for stream, outcome in zip(streams, outcomes, strict=True):
            results = _with_errors(stream, outcome)
            _count(results)
            if not echo:
                for result in results:
                    for name in ECHO:
                        result.pop(name, None)
            answers.append(
                {"results": results, "state": outcome.state, "window_length": outcome.window_length}
            )
        return {"bundle_version": bundle.version, "streams": answers}

    async def _settle_versions(
        self, states: Sequence[dict[str, Any] | None], deadline: float
    ) -> None:
        """First switch to a newer champion if it has already scored one of these streams."""
        in_force = self.bundles.current().version
        named = [state.get("bundle") for state in states if state]
        unknown = {v for v in named if isinstance(v, str) and v != in_force}
        if unknown:
            await self.bundles.ensure_versions(unknown, deadline)


def _with_errors(stream: Stream, outcome: StreamOutcome) -> list[dict[str, Any]]:
    """Return the outcome's results, with the errors of rejected readings in their places."""
    if len(outcome.results) == len(stream.readings):
        return outcome.results
    scored = iter(outcome.results)
    return [
        {"error": r.entry(), "metadata": {"window": "left_out"}}
        if isinstance(r, InputError)
        else next(scored)
        for r in stream.readings
    ]


_READINGS = {
    name: metrics.READINGS.labels(name) for name in ("refused", "anomaly", "normal", "not_scored")
}


def _count(results: Sequence[dict[str, Any]]) -> None:
    refused = anomalous = not_scored = 0
    for result in results:
        if "error" in result:
            refused += 1
            continue
        metadata = result["metadata"]
        anomalous += result["is_anomaly"]
        not_scored += "not_scored" in metadata
        if "event" in metadata:
            _count_persistent(metadata["event"], result["timestamp"])
    for outcome, number in (
        ("refused", refused),
        ("anomaly", anomalous),
        ("not_scored", not_scored),
        ("normal", len(results) - refused - anomalous - not_scored),
    ):
        if number:
            _READINGS[outcome].inc(number)


def _count_persistent(event: dict[str, Any], at: str | None) -> None:
    """Count events that this reading makes persistent, or ends."""
    for one in (event, *event.get("on_top_of", ())):
        if one.get("state") == "cleared" and one.get("persistent"):
            metrics.PERSISTENT.labels("ended").inc()
        elif one.get("persistent_since") == at:
            metrics.PERSISTENT.labels("settled").inc()
