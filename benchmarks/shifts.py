"""The experiments of the quality benchmark on shifts that last: for two days, and for good."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np

from benchmarks.report import OURS, Row
from benchmarks.scored import as_points
from datasets import Stream
from models.detectors.covariance import winsorised_std
from models.fitting.model_set_fit import fit_model_set
from models.fitting.options import FitOptions
from models.scoring.ensemble import score
from models.scoring.model_set import ModelSet
from models.scoring.policy import ScoringPolicy
from models.scoring.stream_replay import replay
from models.scoring.stream_work import StreamWork
from training.fitting.stream_scores import HeldOut, readings_of, score_streams
from training.simulate import simulate

_STEPS = 20
_HOURS = 48
_TRAIN = 2880
_LASTS = 2000  # readings from the shift to the second fault
_SECOND = 60  # readings the second fault lasts
_STREAMS = 20


def days_seen(
    model_set: ModelSet, stream: Stream, names: list[str], cut: int, null: float, seed: int
) -> float:
    """Return the share of injected steps that are detected where nothing alarmed before.

    A step of 6 sd in three features lasts 48 readings.

    ``null`` stands for "not measured", and so does NaN: such values stay.
    """
    rng = np.random.default_rng([seed, _HOURS])
    edges = np.linspace(cut + 10, len(stream.values) - _HOURS, _STEPS + 1).astype(int)
    starts = [int(rng.integers(a, b)) for a, b in itertools.pairwise(edges)]
    held = HeldOut([model_set], names, [stream], [cut], ScoringPolicy())
    (calm,), points = score_streams(held, [starts])
    measured = np.isfinite(stream.values) & (stream.values != null)
    used = [names.index(name) for name in model_set.preprocessing.names]
    seen = []
    for point in points:
        at, rows = point.at, slice(point.at, point.at + _HOURS)
        changed = stream.values[rows].copy()
        for j in rng.choice(used, 3, replace=False).tolist():
            spread = winsorised_std(stream.values[:cut][measured[:cut, j]][:, [j]])[0]
            changed[measured[rows, j], j] += 6.0 * spread * rng.choice((-1, 1))
        part = replace(stream.take(rows), values=changed)
        work = StreamWork(stream.asset_id, stream.sensor_id, None, "medium", point.state,
                          point.window, list(readings_of(part, names)))  # fmt: skip
        (found,) = score(model_set, [work], ScoringPolicy())
        alarms = np.array([bool(one.get("is_anomaly")) for one in found.results])
        seen.append(bool((alarms & ~calm.is_anomaly[at - cut : at - cut + _HOURS]).any()))
    return float(np.mean(seen))


def lasting(seed: int, quick: bool) -> list[Row]:
    """Measure a fault of 6 sd, 2,000 readings after other features have shifted by 4 sd for good.

    Simulated pumps. Asked is one persistent event, and a second one for the second fault.
    """
    streams = 4 if quick else _STREAMS
    plant = simulate(
        assets=streams, readings=_TRAIN + 4000, seed=seed, machines=("PUMP",), faults=0
    )
    train = [v[:_TRAIN] for v in plant.values]
    model_set, _ = fit_model_set(train, None, plant.feature_names, FitOptions(seed=seed))
    spread = winsorised_std(np.concatenate(train))
    one, second, settled = 0, 0, []
    for k, values in enumerate(plant.values):
        rng = np.random.default_rng([seed, k])
        first, other = rng.choice(values.shape[1], 2, replace=False)
        fresh = values[_TRAIN:].copy()
        at = 500
        fresh[at:, first] += 4.0 * spread[first] * rng.choice((-1, 1))
        on_top = slice(at + _LASTS, at + _LASTS + _SECOND)
        fresh[on_top, other] += 6.0 * spread[other] * rng.choice((-1, 1))
        points = iter(as_points(plant.timestamps[_TRAIN:], fresh, plant.feature_names))
        results = [r for part in replay(model_set, ("A", None, None), points, ScoringPolicy())
                   for r in part]  # fmt: skip
        events = [r["metadata"].get("event") or {} for r in results]
        last = {e["id"] for e in events if e.get("persistent")}
        one += len(last) == 1
        alarms = [r["is_anomaly"] and e.get("id") not in last
                  for r, e in zip(results[on_top], events[on_top], strict=True)]  # fmt: skip
        second += bool(last) and any(alarms)
        later = slice(on_top.stop + 120, None)
        settled.append(float(np.mean([r["is_anomaly"] for r in results[later]])))
    name = "lasting shift"
    return [
        Row(name, OURS, "one persistent event", one / streams),
        Row(name, OURS, "second fault has its own event", second / streams),
        Row(name, OURS, "alarms per 1,000 at the settled level", 1e3 * float(np.mean(settled))),
    ]
