"""Run the quality benchmark's experiments on data never used for tuning: servers, bearings, ...

Ours is fitted by the path of ``training.fit`` with its defaults and measured by ``log10_p``
(ranking) and ``is_anomaly`` (own alarms); simple methods are fitted on the same rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.measures import events_seen, first_run
from benchmarks.plain import precision, ranked
from benchmarks.report import OURS, Row
from benchmarks.scored import run_series
from benchmarks.shifts import days_seen
from datasets import Stream, load
from models.arrays import Bools, Floats
from models.fitting.model_set_fit import fit_model_set
from models.fitting.options import FitOptions
from models.scoring.model_set import ModelSet
from models.scoring.policy import ScoringPolicy
from training.data.preparation import Prepared, prepare
from training.data.splits import prepared
from training.evaluation.measures import Scored
from training.fitting.parallel_fit import Result, Task, perform
from training.simulate import Plant, simulate

#: Share of normal test readings above the threshold at which methods are compared.
FALSE = 1e-3
_ASD, _ASD_TRAIN = tuple(f"asd_SERVER_0{i}.csv" for i in range(1, 7)), 8640
_SMD = {"smd_MACHINE_2-7.parquet": 23_696, "smd_MACHINE_3-4.parquet": 23_687}
_INPUTS = ("01_clean", "01_one_65535", "01_twelve_-999", "01_one_fltmin",
           "09_labelled_fault_in_training")  # fmt: skip
_INPUTS_TRAIN = 3000
_AIR_TRAIN = 4000
_IMS_TRAIN = 300
_FD002_TRAIN = 60
_DAYS = 2880  # training readings of the simulated plant, one per minute
_FAULT = 60  # length of an unlabelled fault in readings


@dataclass(slots=True)
class Ranked:
    """Test readings: truth (n,), scores (n,) of each method, and our own alarms (n,)."""

    truth: Bools
    scores: dict[str, Floats]
    alarms: Bools


def _load(path: Path) -> tuple[list[Stream], list[str]]:
    found = load(path)
    return list(found.streams), list(found.feature_names)


def _fitted(ready: Prepared, seed: int) -> Result:
    result = perform(Task("data", ready, FitOptions(seed=seed), ScoringPolicy()), None)
    if result.error is not None:
        raise result.error
    return result


def _ours(ready: Prepared, seed: int) -> list[Scored]:
    return _fitted(ready, seed).scored


def _ranked(path: Path, train: int, seed: int) -> Ranked:
    streams, names = _load(path)
    (stream,) = streams
    assert stream.labels is not None
    (scored,) = _ours(prepared([stream], [train], names, "data"), seed)
    known, fresh = stream.values[:train], stream.values[train:]
    assert scored.log10_p is not None
    scores = ranked(known, fresh, -scored.log10_p)
    return Ranked(stream.labels[train:] > 0, scores, scored.is_anomaly)


def _servers(name: str, paths: dict[Path, int], seed: int) -> list[Row]:
    judged = [_ranked(path, train, seed) for path, train in paths.items()]
    rows = precision(name, [r.truth for r in judged], [r.scores for r in judged])
    for method in judged[0].scores:
        found = [
            events_seen(r.truth, r.scores[method] > _line(r.scores[method][~r.truth]))
            for r in judged
        ]
        rows.append(Row(name, method, "events at .1 % false", float(sum(found))))
    own = sum(events_seen(r.truth, r.alarms) for r in judged)
    false = [float(r.alarms[~r.truth].mean()) for r in judged]
    rows.append(Row(name, OURS, "own alarms: events", float(own)))
    rows.append(Row(name, OURS, "own alarms: false per 1,000", 1e3 * float(np.mean(false))))
    return rows


def _line(normal: Floats) -> float:
    return float(np.quantile(normal, 1.0 - FALSE))


def servers(shared: Path, seed: int, quick: bool) -> list[Row]:
    """Measure six application servers (ASD): trained on 30 days with faults, tested on 15."""
    files = _ASD[: 1 if quick else None]
    return _servers("asd", {shared / "real" / file: _ASD_TRAIN for file in files}, seed)


def machines(shared: Path, seed: int, quick: bool) -> list[Row]:
    """Measure two server machines of 38 metrics (SMD)."""
    chosen = list(_SMD.items())[: 1 if quick else None]
    return _servers("smd", {shared / "real" / file: train for file, train in chosen}, seed)


def inputs(shared: Path, seed: int, quick: bool) -> list[Row]:
    """Measure garbage and a labelled fault in training: F1 of a later fault."""
    rows, truths, scores = [], [], []
    for name in _INPUTS[: 2 if quick else None]:
        streams, names = _load(shared.parent / "inputs" / f"{name}.csv")
        (stream,) = streams
        (scored,) = _ours(prepared([stream], [_INPUTS_TRAIN], names, "data"), seed)
        assert stream.labels is not None
        truth, alarms = stream.labels[_INPUTS_TRAIN:] > 0, scored.is_anomaly
        assert scored.log10_p is not None
        known, fresh = np.split(stream.values, [_INPUTS_TRAIN])
        truths.append(truth)
        scores.append(ranked(known, fresh, -scored.log10_p))
        hit = int((truth & alarms).sum())
        f1 = 2.0 * hit / max(int(truth.sum() + alarms.sum()), 1)
        rows.append(Row("inputs", OURS, f"{name}: F1", f1))
    return rows + precision("inputs", truths, scores)


def bearings(shared: Path, seed: int, quick: bool) -> list[Row]:
    """Measure a bearing run to failure (IMS, second test): when alarms begin, whether they last."""
    streams, names = _load(shared / "real" / "ims_test2.csv")
    (scored,) = _ours(prepared(streams, [_IMS_TRAIN], names, "data"), seed)
    alarms = scored.is_anomaly
    first = first_run(alarms, 5)
    begin = float("nan") if first is None else float(first - 4 + _IMS_TRAIN)
    late = float(alarms[650 - _IMS_TRAIN :].mean())
    return [
        Row("ims", OURS, "first of 5 alarms in a row", begin),
        Row("ims", OURS, "alarmed from row 650 on", late),
    ]


def air(shared: Path, seed: int, quick: bool) -> list[Row]:
    """Measure a year of air quality with gaps as blanks and as -200, and steps of two days."""
    rows, rates = [], []
    for file, null in (("air_quality_blanks.csv", np.nan), ("air_quality_minus200.csv", -200.0)):
        streams, names = _load(shared / "real" / file)
        ready = prepare(
            streams, names, holdout=1.0 - _AIR_TRAIN / len(streams[0].timestamps),
            imputed=FitOptions().imputed,
        )  # fmt: skip
        result = _fitted(ready, seed)
        ((scored,), model_set) = result.scored, result.model_set
        assert model_set is not None
        known = np.isfinite(scored.final_score)
        rates.append(1e3 * float(scored.is_anomaly[known].mean()))
        rows.append(Row("air quality", OURS, f"{Path(file).stem}: alarms per 1,000", rates[-1]))
        seen = days_seen(model_set, ready.streams[0], ready.feature_names, ready.cut[0], null, seed)
        rows.append(Row("air quality", OURS, f"{Path(file).stem}: 48-hour steps seen", seen))
    rows.append(Row("air quality", OURS, "difference", abs(rates[0] - rates[1])))
    return rows


def conditions(shared: Path, seed: int, quick: bool) -> list[Row]:
    """Measure FD002's six operating conditions: engines' first 60 cycles, one model for all."""
    streams, names = _load(shared / "real" / "cmapss_FD002_part.csv")
    whole = [s for s in streams if s.asset_id != "E086"]
    cut = [min(_FD002_TRAIN, len(s.timestamps)) for s in whole]
    scored = _ours(prepared(whole, cut, names, "data"), seed)
    known = np.concatenate([s.values[:k] for s, k in zip(whole, cut, strict=True)])
    false, late, truths, scores = [], [], [], []
    for one, stream in zip(scored, [s for s in whole if len(s.timestamps) > 60], strict=True):
        n = len(stream.timestamps)
        early = one.is_anomaly[: max(n // 2 - _FD002_TRAIN, 0)]
        false.append(float(first_run(early, 5) is not None))
        late.append(float(one.is_anomaly[-30:].mean()))
        assert one.log10_p is not None
        truths.append(np.arange(n)[_FD002_TRAIN:] >= n - 30)
        scores.append(ranked(known, stream.values[_FD002_TRAIN:], -one.log10_p))
    return [
        Row("FD002", OURS, "falsely alarmed", float(np.mean(false))),
        Row("FD002", OURS, "alarmed in the last 30 cycles", float(np.mean(late))),
        *precision("FD002", truths, scores),
    ]


def contaminated(shared: Path, seed: int, quick: bool) -> list[Row]:
    """Measure the simulated plant with unlabelled faults in a share of its training readings.

    Compares detected events with those after clean training, and false alarms with the budget.
    """
    plant = simulate(
        assets=4, readings=6000, seed=seed, machines=("PUMP",), faults=4, first_fault=_DAYS
    )
    clean = [v[:_DAYS] for v in plant.values]
    rows: list[Row] = []
    found: dict[float, int] = {}
    for share in (0.0, 0.02) if quick else (0.0, 0.01, 0.02, 0.05, 0.1):
        train = dirty(clean, share, seed)
        options = FitOptions(seed=seed)
        model_set, _ = fit_model_set(train, None, plant.feature_names, options)
        found[share], rate = _plant_found(plant, model_set)
        if share:
            kept = found[share] / max(found[0.0], 1)
            rows.append(Row("contamination", OURS, f"{share:.0%}: events kept", kept))
        rows.append(Row("contamination", OURS, f"{share:.0%}: alarms / 0.001", 1e3 * rate))
    return rows


def _plant_found(plant: Plant, model_set: ModelSet) -> tuple[int, float]:
    """Return the number of detected faults, and the alarm rate outside faults."""
    seen, false = 0, []
    for asset, values, labels in zip(plant.asset_ids, plant.values, plant.labels, strict=True):
        times, fresh = plant.timestamps[_DAYS:], values[_DAYS:]
        run = run_series(model_set, times, fresh, plant.feature_names, asset=asset)
        alarms = run.alarms(0.5)
        quiet = labels[_DAYS:] == 0
        for fault in (f for f in plant.faults if f.asset_id == asset):
            seen += bool(alarms[fault.start - _DAYS : fault.end - _DAYS].any())
            quiet[fault.end - _DAYS : fault.end - _DAYS + 120] = False
        false.append(float(alarms[quiet].mean()))
    return seen, float(np.mean(false))


def dirty(streams: list[Floats], share: float, seed: int) -> list[Floats]:
    """Return readings (n_i, d) with faults in ``share`` of them: 3 to 8 sd over 60 readings."""
    rng = np.random.default_rng([seed, 7])
    out = [values.copy() for values in streams]
    for _ in range(round(share * sum(map(len, streams)) / _FAULT)):
        values = out[int(rng.integers(len(out)))]
        start = int(rng.integers(0, len(values) - _FAULT))
        column = int(rng.integers(values.shape[1]))
        spread = streams[0][:, column].std()
        values[start : start + _FAULT, column] += rng.uniform(3, 8) * spread
    return out
