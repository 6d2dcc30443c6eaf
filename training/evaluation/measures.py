"""Measure alarm rates, and detection against labels, of scored data.

Every function takes one :class:`Scored` per stream, so that no event spans two streams. Labels are
0 (normal), 1 (faulty) and -1 (unknown).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from models.arrays import Bools, Floats, Times
from models.scoring.alarms.bursts import MONTH_S

Labels = npt.NDArray[np.int8]

_DRAWS = 400  # bootstrap draws: more would move the interval's ends by less than a tenth of it


@dataclass(frozen=True, slots=True)
class Scored:
    """The scores of one stream, in time order; NaN where a reading was not scored."""

    asset_id: str
    sensor_id: str | None
    timestamps: Times  # (n,)
    final_score: Floats  # (n,)
    p: Floats  # (n,)
    threshold: Floats  # (n,)
    is_anomaly: Bools  # (n,)
    detectors: Mapping[str, Floats] = field(default_factory=dict)  # name -> (n,)
    labels: Labels | None = None  # (n,)
    log10_p: Floats | None = None  # (n,), not clipped: still ranks readings of score 1
    incidents: tuple[int, ...] = ()  # indices of the readings at which incidents open
    suppressed: Bools | None = None  # (n,), in maintenance or with the machine off; None: no plan


def judged_on(one: Scored) -> Scored:
    """Return the stream with suppressed readings as not scored and without alarms."""
    if one.suppressed is None:
        return one
    return replace(
        one,
        final_score=np.where(one.suppressed, np.nan, one.final_score),
        is_anomaly=one.is_anomaly & ~one.suppressed,
    )


def alarm_rate(scored: Sequence[Scored]) -> dict[str, float]:
    """Return alarms per scored normal reading (:func:`normal`), with a 90 % interval.

    The interval is a block bootstrap.

    Returns
    -------
    dict
        ``readings, alarms, rate, low, high``; rate and interval are NaN without readings.
    """
    parts = []
    for one in scored:
        counted = np.isfinite(one.final_score) & normal(one)
        parts.append(one.is_anomaly[counted].astype(np.float64))
    flags = np.concatenate(parts) if parts else np.empty(0)
    if not len(flags):
        return {"readings": 0, "alarms": 0, "rate": np.nan, "low": np.nan, "high": np.nan}
    low, high = _block_interval(parts)
    return {
        "readings": len(flags),
        "alarms": int(flags.sum()),
        "rate": float(flags.mean()),
        "low": low,
        "high": high,
    }


def normal(one: Scored) -> Bools:
    """Return which readings (n,) count for the false-alarm rate.

    Readings labelled 1 should alarm, so they do not count; neither does the rest of an alarm that
    began among them.
    """
    out = np.ones(len(one.is_anomaly), np.bool_)
    if one.labels is not None:
        out &= one.labels == 0
        for start, end in runs(one.is_anomaly):
            faulty = np.flatnonzero(one.labels[start:end] == 1)
            if len(faulty):
                out[start + faulty[0] : end] = False
    return out


def _block_interval(parts: list[Floats]) -> tuple[float, float]:
    """Return a 90 % bootstrap interval; it resamples blocks, since alarms come in runs."""
    total = sum(len(part) for part in parts)
    length = max(1, min(200, total // 20))
    sums, sizes = [], []
    for part in parts:
        for start in range(0, len(part), length):
            block = part[start : start + length]
            sums.append(block.sum())
            sizes.append(len(block))
    chosen = np.random.default_rng(0).integers(0, len(sums), (_DRAWS, len(sums)))
    rates = np.array(sums)[chosen].sum(1) / np.array(sizes)[chosen].sum(1)
    low, high = np.quantile(rates, [0.05, 0.95])
    return float(low), float(high)


def reliability(scored: Sequence[Scored], targets: Sequence[float]) -> list[dict[str, float]]:
    """Compare target alarm rates with the share of normal readings at or below that p."""
    rows = []
    for target in targets:
        as_if = [replace(one, is_anomaly=one.p <= target) for one in scored]
        rows.append({"target": target, **alarm_rate(as_if)})
    return rows


def labelled(scored: Sequence[Scored]) -> list[tuple[Scored, Labels]]:
    """Return the streams that have labels, with their labels."""
    return [(one, one.labels) for one in scored if one.labels is not None]


def confusion(scored: Sequence[Scored]) -> dict[str, float] | None:
    """Return point-wise measures against the labels; None without labels.

    Readings with an unknown label (-1) do not count.

    Returns
    -------
    dict
        ``tp, fp, fn, tn`` and ``precision, recall, f1``, ``false_alarm_rate`` (alarms per
        normal reading) and ``missed_alarm_rate`` (share of faulty readings without an alarm).
    """
    counts = np.zeros(4, int)  # normal or faulty, silent or alarmed
    for one, labels in labelled(scored):
        known = np.isfinite(one.final_score) & (labels >= 0)
        kinds = 2 * (labels[known] == 1) + one.is_anomaly[known]
        counts += np.bincount(kinds, minlength=4)
    if not labelled(scored):
        return None
    tn, fp, fn, tp = counts.tolist()
    return {
        "tp": tp, "fp": fp, "fn": fn, "tn": tn,
        "precision": _share(tp, tp + fp),
        "recall": _share(tp, tp + fn),
        "f1": _share(2 * tp, 2 * tp + fp + fn),
        "false_alarm_rate": _share(fp, fp + tn),
        "missed_alarm_rate": _share(fn, fn + tp),
    }  # fmt: skip


def labelled_events(scored: Sequence[Scored]) -> list[dict[str, Any]]:
    """Return each run of readings labelled 1, and whether and when it alarmed.

    Returns
    -------
    list of dict
        ``asset_id, sensor_id, start, end, readings, detected, delay_readings, delay_s,
        lead_readings, lead_s``. The delay is from the event's start to its first alarm, the lead
        from that alarm to the event's end; both are None without an alarm.
    """
    out = []
    for one, labels in labelled(scored):
        for start, end in runs(labels == 1):
            hits = np.flatnonzero(one.is_anomaly[start:end])
            event: dict[str, Any] = {
                "asset_id": one.asset_id,
                "sensor_id": one.sensor_id,
                "start": str(one.timestamps[start]),
                "end": str(one.timestamps[end - 1]),
                "readings": end - start,
                "detected": bool(len(hits)),
            }
            first = start + int(hits[0]) if len(hits) else None
            event |= _around(one.timestamps, start, end - 1, first)
            out.append(event)
    return out


def confirmed_faults(scored: Sequence[Scored]) -> tuple[int, int]:
    """Return the number of detected faults of assets, and of all their faults.

    Overlapping labelled runs of an asset's streams are one fault, which is detected if any of the
    streams alarms in its run.
    """
    spans: dict[str, list[tuple[Any, Any, bool]]] = {}
    for one, labels in labelled(scored):
        spans.setdefault(one.asset_id, []).extend(
            (one.timestamps[start], one.timestamps[end - 1],
             bool(one.is_anomaly[start:end].any()))
            for start, end in runs(labels == 1)
        )  # fmt: skip
    found = of = 0
    for parts in spans.values():
        until, hit = None, False
        for start, end, alarmed in sorted(parts):
            if until is None or start > until:
                found, of, hit, until = found + alarmed, of + 1, alarmed, end
            else:
                found, hit, until = found + (alarmed and not hit), hit or alarmed, max(until, end)
    return found, of


def _around(times: Times, start: int, last: int, first: int | None) -> dict[str, float | None]:
    if first is None:
        return dict.fromkeys(("delay_readings", "delay_s", "lead_readings", "lead_s"))
    second = np.timedelta64(1, "s")
    return {
        "delay_readings": first - start,
        "delay_s": float((times[first] - times[start]) / second),
        "lead_readings": last - first,
        "lead_s": float((times[last] - times[first]) / second),
    }


def runs(flags: Bools) -> list[tuple[int, int]]:
    """Return begin and end (exclusive) of each run of True in flags (n,)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def alarm_events(one: Scored, silence_s: float) -> list[tuple[int, int]]:
    """Return first and last alarm of each event: alarms at most ``silence_s`` apart."""
    at = np.flatnonzero(one.is_anomaly)
    if not len(at):
        return []
    gaps = np.diff(one.timestamps[at]) / np.timedelta64(1, "s")
    cuts = np.flatnonzero(gaps > silence_s) + 1
    return [(int(part[0]), int(part[-1])) for part in np.split(at, cuts)]


def false_events_per_month(
    scored: Sequence[Scored],
    budgets: Mapping[str, float],
    interval_s: float,
    silence_s: float,
) -> dict[str, float]:
    """Estimate the false events per stream and month (30 days) at each budget.

    The budget gives alarms per reading. The mean number of alarms per event is measured on the
    :func:`normal` readings, at this budget or, with fewer than five events there, at the next
    larger one that has enough.

    Parameters
    ----------
    scored
        One per stream.
    budgets : {criticality: alarms per reading}
    interval_s
        Seconds between readings.
    silence_s
        Seconds without an alarm that end an event.
    """
    out: dict[str, float] = {}
    size = 1.0
    for name, budget in sorted(budgets.items(), key=lambda item: -item[1]):
        alarms = events = 0
        for one in scored:
            cut = replace(one, is_anomaly=one.p <= budget)
            cut = replace(cut, is_anomaly=cut.is_anomaly & normal(cut))
            alarms += int(cut.is_anomaly.sum())
            events += len(alarm_events(cut, silence_s))
        if events >= 5:
            size = alarms / events
        # at most one event per silence, however many alarms there are
        out[name] = min(budget * MONTH_S / interval_s / size, MONTH_S / max(silence_s, interval_s))
    return out


def curves(scored: Sequence[Scored]) -> dict[str, Any] | None:
    """Return ROC and precision-recall of the final score; None unless both labels occur."""
    from sklearn.metrics import auc as area
    from sklearn.metrics import average_precision_score, precision_recall_curve, roc_curve

    faulty, scores = [], []
    for one, labels in labelled(scored):
        known = np.isfinite(one.final_score) & (labels >= 0)
        faulty.append(labels[known])
        # the score is clipped at 1 and p underflows, but the logarithm still ranks the readings
        rarity = np.log10(np.maximum(one.p, 1e-300)) if one.log10_p is None else one.log10_p
        scores.append(-rarity[known])
    if not faulty or len(np.unique(np.concatenate(faulty))) < 2:
        return None
    y, s = np.concatenate(faulty), np.concatenate(scores)
    fpr, tpr, _ = roc_curve(y, s)
    precision, recall, _ = precision_recall_curve(y, s)
    return {
        "roc": (fpr, tpr),
        "pr": (recall, precision),
        "roc_auc": float(area(fpr, tpr)),
        "average_precision": float(average_precision_score(y, s)),
    }


def _share(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")
