"""Measure the budget of incidents and the delay it causes: ``python -m benchmarks.incidents``.

Counts false incidents on simulated normal streams, fitted on the first part of each and counted on
the rest, or with ``--unmet N`` fitted on N streams and counted on others. The rates are one reading
per hour, per minute, per second and ten per second; the counts are compared with the budget at
criticality medium, with exact 95 % intervals (Poisson). Then labelled faults measure how many
become exactly one incident, and the cost of the on-delay. Recursion, event and opening are the
service's own (:class:`AdaptiveTail`, :func:`advance`, :class:`Burst`), called without building
results; the faults use the whole scoring. If this takes too long, ``--share`` simulates a part of
the months. Each line names the share and the fitted detectors.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.stats import chi2

from models.arrays import Floats, Times
from models.detectors.base import ISOLATION_FOREST, LSTM_AUTOENCODER, MODEL_NAMES, ONE_CLASS_SVM
from models.fitting.model_set_fit import fit_model_set
from models.fitting.options import FitOptions
from models.fitting.reading_times import epoch_seconds
from models.scoring.alarms.bursts import AT_ONCE_WHY, MONTH_S, Burst, OpeningRule
from models.scoring.alarms.events import ANOMALY, Event, advance
from models.scoring.magnitudes.calibration import subset_key
from models.scoring.model_set import ModelSet
from models.scoring.policy import ScoringPolicy
from models.scoring.stream_replay import replay
from models.scoring.stream_work import Reading
from runtime import run_command
from training.simulate import FEATURES, Plant, simulate

_ORIGIN = datetime(2026, 1, 1, tzinfo=UTC)
_BLOCK = 100_000
_OTHERS = 500  # first seed of streams that are not fitted on


@dataclass(frozen=True, slots=True)
class Case:
    """Normal streams at one sampling rate: readings of each for the fit and for the count."""

    name: str
    interval_s: float
    streams: int
    train: int
    test: int
    budget: float
    models: tuple[str, ...]


_FAST = (ONE_CLASS_SVM,)
CASES = (
    Case("hourly", 3600.0, 100, 720, 720, 1.0, MODEL_NAMES),
    Case("minute", 60.0, 100, 5040, 43_200, 1.0, (ISOLATION_FOREST, ONE_CLASS_SVM)),
    Case("1 Hz", 1.0, 10, 86_400, 2_592_000, 1.0, _FAST),
    Case("10 Hz", 0.1, 1, 864_000, 25_920_000, 30.0, _FAST),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the requested cases and print one line each."""
    parser = argparse.ArgumentParser(description=__doc__)
    names = [case.name for case in CASES] + ["faults"]
    parser.add_argument("--only", choices=names, action="append", help="this one; repeatable")
    parser.add_argument("--share", type=float, default=1.0, help="part of the streams' readings")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--unmet", type=int, help="fit on so many streams, and count on others")
    args = parser.parse_args(argv)
    for case in CASES:
        if args.only is None or case.name in args.only:
            print(normal(case, args.share, args.seed, args.unmet), flush=True)
    if args.only is None or "faults" in args.only:
        print(faults(args.seed), flush=True)
    return 0


def normal(case: Case, share: float, seed: int, unmet: int | None) -> str:
    """Compare the false incidents of one case with its budget."""
    began = time.perf_counter()
    part = max(math.ceil(case.test * share), min(case.test, 2000))

    def plant(i: int) -> Plant:
        return simulate(
            assets=1, readings=case.train + part, seed=1000 * seed + i, machines=("PUMP",),
            interval_s=case.interval_s,
        )  # fmt: skip

    fitted = unmet or case.streams
    # copies, because views would keep all months in memory
    rows = [plant(i).values[0][: case.train].copy() for i in range(fitted)]
    times = [plant(0).timestamps[: case.train].copy()] * fitted
    options = FitOptions(models=case.models, seed=seed)
    model_set, _ = fit_model_set(rows, times, FEATURES, options)
    del rows
    policy = ScoringPolicy(incident_budgets={"medium": case.budget})
    rule = policy.opening_rule(model_set.bursts, "medium")
    assert rule is not None
    level = -math.log10(policy.budgets["medium"])
    alarms = found = severe = 0
    for i in range(case.streams):
        number = i if unmet is None else _OTHERS + i
        other = plant(number)
        rarities = _rarities(model_set, other.values[0], other.timestamps)[-part:]
        alarms += int((rarities >= level).sum())
        opened = openings(rarities, case.interval_s, level, rule, policy.event_silence_s)
        found += len(opened)
        severe += sum(why == AT_ONCE_WHY for _, why in opened)
    readings = case.streams * part
    months = readings * case.interval_s / MONTH_S
    which = "the streams fitted on" if unmet is None else f"streams not met, {fitted} fitted on"
    low, high = poisson(found)
    expected = case.budget * months
    whole = case.streams * case.test * case.interval_s / MONTH_S
    shares = [count / expected for count in (found, low, high)]
    return (
        f"{case.name}, {which}: {found} false incidents ({severe} at once) in {months:.3g} of"
        f" {whole:g} asset-months, the budget allows {expected:.3g}:"
        f" {shares[0]:.2f} x [{shares[1]:.2f}, {shares[2]:.2f}];"
        f" alarms {alarms / readings / policy.budgets['medium']:.2f} x their budget;"
        f" on-delay {rule.on_delay}, peak 1e-{rule.peak:.2f}, at once 1e-{rule.at_once:.2f};"
        f" {'+'.join(case.models)}; {time.perf_counter() - began:.0f} s"
    )


def _rarities(model_set: ModelSet, values: Floats, times: Times) -> Floats:
    """Return ``-log10 p`` (n,) of one new stream by the service's recursion."""
    cal = model_set.calibrations[subset_key(model_set.names, False)]
    tail = model_set.new_tail()
    parts = []
    for fast in _fast(model_set, values, times):
        steps = [tail.step(f, cal, model_set.adaptation)[1] for f in fast.tolist()]
        parts.append(-cal.final.log10_ps(np.array(steps)))
    return np.concatenate(parts)


def _fast(model_set: ModelSet, values: Floats, times: Times) -> Iterator[Floats]:
    """Yield combined magnitudes in decades, block by block."""
    cal = model_set.calibrations[subset_key(model_set.names, False)]
    pre, width = model_set.preprocessing, model_set.window
    for start in range(width - 1, len(values), _BLOCK):
        block = slice(start - width + 1, start + _BLOCK)
        own = values[block]
        if pre.seasonality is not None:
            own = own - pre.seasonality.offsets(epoch_seconds(times[block]))
        rows = pre.scaled(own)
        raw = {}
        for name in cal.detectors:
            detector = model_set.detectors[name]
            x = rows[width - 1 :]
            if name == LSTM_AUTOENCODER:
                x = sliding_window_view(rows, width, axis=0).transpose(0, 2, 1)
            raw[name] = detector.score(x)
        yield cal.combined(cal.decades(raw))


def openings(
    rarities: Floats, interval_s: float, level: float, rule: OpeningRule, silence_s: float
) -> list[tuple[int, str]]:
    """Return the indices of (n,) readings where incidents open, and why, by the service's code."""
    event: Event | None = None
    burst: Burst | None = None
    out = []
    at = 0
    ahead = np.append(np.flatnonzero(rarities >= level), len(rarities))
    while at < len(rarities):
        if event is None:  # skip to the next anomaly
            at = int(ahead[np.searchsorted(ahead, at)])
            if at == len(rarities):
                break
        rarity = float(rarities[at])
        now = _ORIGIN + timedelta(seconds=at * interval_s)
        event, entry = advance(
            event, anomalous=rarity >= level, kind=ANOMALY, magnitude=rarity, at=now,
            silence_s=silence_s, stream=("A", None, None),
        )  # fmt: skip
        if entry is not None:
            if burst is None or burst.event != entry["id"]:
                burst = Burst(entry["id"])
            incident = burst.take(rarity, rarity >= level, now, rule)
            if "why" in incident:
                out.append((at, incident["why"]))
        at += 1
    return out


def poisson(count: int) -> tuple[float, float]:
    """Return the exact 95 % interval of a Poisson mean."""
    low = chi2.ppf(0.025, 2 * count) / 2 if count else 0.0
    return float(low), float(chi2.ppf(0.975, 2 * count + 2) / 2)


def faults(seed: int) -> str:
    """Measure labelled faults that become exactly one incident, and the cost of the delay."""
    plant = simulate(
        assets=16, readings=9000, seed=seed, machines=("PUMP",), faults=4, first_fault=2880
    )
    train = plant.cut(0, 2880)
    options = FitOptions(seed=seed)
    model_set, _ = fit_model_set(train.values, train.times(), train.feature_names, options)
    seen = exactly = 0
    costs: list[int] = []
    allowed: list[float] = []
    for asset in range(len(plant.asset_ids)):
        alarm, incident = _replayed(model_set, plant, asset)
        for fault in plant.faults:
            if fault.asset_id != plant.asset_ids[asset]:
                continue
            first = next((i for i in range(fault.start, fault.end) if alarm[i]), None)
            begun = {incident[i] for i in range(fault.start, fault.end)} - {None}
            before = {incident[i] for i in range(fault.start)}
            seen += first is not None
            exactly += len(begun - before) == 1
            opened = next((i for i in range(fault.start, fault.end) if incident[i]), None)
            if first is not None and opened is not None:
                costs.append(opened - first)
                allowed.append(max(15.0, 0.1 * (fault.end - fault.start)))
    total = len(plant.faults)
    over = sum(cost > bound for cost, bound in zip(costs, allowed, strict=True))
    return (
        f"faults: {exactly} of {total} became exactly one incident ({exactly / total:.1%}),"
        f" {seen} alarmed; the on-delay costs {np.median(costs):g} readings in the median,"
        f" {np.quantile(costs, 0.9):g} in nine of ten, {over} faults more than 15 readings or"
        " a tenth of their length"
    )


def _replayed(model_set: ModelSet, plant: Plant, asset: int) -> tuple[list[bool], list[str | None]]:
    """Return per reading whether it alarms, and the event whose incident is open."""
    times = plant.timestamps.astype("datetime64[us]").tolist()
    points = (
        Reading(t.replace(tzinfo=UTC), dict(zip(plant.feature_names, row, strict=True)))
        for t, row in zip(times, plant.values[asset].tolist(), strict=True)
    )
    stream = (plant.asset_ids[asset], None, None)
    alarm, incident = [], []
    for part in replay(model_set, stream, points, ScoringPolicy()):
        for result in part:
            event = result["metadata"].get("event")
            alarm.append(bool(result["is_anomaly"]))
            incident.append(event["id"] if event and event["incident"]["opens"] else None)
    return alarm, incident


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    run_command(main)
