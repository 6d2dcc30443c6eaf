"""Compress the fleet's lanes to runs of equal steps, so that a thousand lanes stay small. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

from schemas import CRITICALITIES
from serving.page.words import ago
from serving.swim_lanes import SILENT, AssetLane, FleetLanes, Step

#: Words for the states, shown with their counts beside the lane.
LANE_WORDS: Final = {
    "anomaly": "anomalies", "maintenance": "in maintenance", "off": "switched off",
    "warming_up": "warming up", SILENT: "no data", "normal": "well",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive equal steps: start and length in percent of the lane."""

    left: float
    width: float
    kind: str
    title: str


@dataclass(frozen=True, slots=True)
class Row:
    """One asset as drawn.

    ``now`` is the severity of its newest step with a reading, ``worst`` the highest of the whole
    span, ``score`` the highest score. ``spent`` is the time in each state, in words.
    """

    asset_id: str
    runs: list[Run]
    now: str | None
    worst: str | None
    score: float | None
    spent: dict[Step, str]


def rows(fleet: FleetLanes, *, wrong_only: bool) -> list[Row]:
    """Return the lanes as rows, sorted by name."""
    found = (_row(lane, fleet) for lane in fleet.assets)
    return [row for row in found if row.worst is not None or not wrong_only]


def worst_first(found: list[Row], most: int) -> list[Row]:
    """Return at most ``most`` rows, sorted by name: those worst now, then worst in the span."""
    if len(found) <= most:
        return found

    def rank(row: Row) -> tuple[int, int, float]:
        order: list[str | None] = [*CRITICALITIES, None]
        return (
            order.index(row.now),
            order.index(row.worst),
            1.0 if row.score is None else -row.score,
        )

    chosen = sorted(found, key=rank)[:most]
    return sorted(chosen, key=lambda row: row.asset_id)


def _row(lane: AssetLane, fleet: FleetLanes) -> Row:
    kinds = [
        severity or state for severity, state in zip(lane.severities, lane.states, strict=True)
    ]
    share = 100 / len(kinds)
    runs, at = [], 0
    for kind, group in groupby(kinds):
        length = sum(1 for _ in group)
        if kind != "normal":  # normal has the lane's background colour
            worst = max((s for s in lane.scores[at : at + length] if s is not None), default=None)
            runs.append(Run(round(at * share, 2), round(length * share, 2), kind,
                            _title(kind, worst, length * fleet.step_s)))  # fmt: skip
        at += length
    seen_kinds = [kind for kind, state in zip(kinds, lane.states, strict=True) if state != SILENT]
    now = seen_kinds[-1] if seen_kinds else None
    seen = [one for one in lane.severities if one is not None]
    spent = {
        state: ago(lane.states.count(state) * fleet.step_s)
        for state in LANE_WORDS
        if state != "normal" and state in lane.states
    }
    return Row(
        lane.asset_id, runs, now if now in CRITICALITIES else None,
        min(seen, key=CRITICALITIES.index, default=None),
        max((s for s in lane.scores if s is not None), default=None), spent,
    )  # fmt: skip


def _title(kind: str, worst: float | None, seconds: int) -> str:
    if kind in CRITICALITIES:
        return f"{kind}, score {worst:.2f}, {ago(seconds)}"
    return f"{LANE_WORDS[kind]}, {ago(seconds)}"


def marks(fleet: FleetLanes, count: int) -> list[Any]:
    """Return evenly spaced times of the span, for the axis."""
    return [fleet.start + (fleet.end - fleet.start) * at / count for at in range(count)]
