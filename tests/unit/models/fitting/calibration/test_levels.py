"""Out-of-fold magnitudes stand for those of the detectors fitted on all data."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks.scored import run_series
from models.fitting.calibration.cross_validation import FoldResult, Part
from models.fitting.calibration.levels import aligned, lifted
from models.fitting.model_set_fit import fit_model_set
from models.fitting.options import FitOptions
from models.scoring.stream_work import Reading
from tests.unit.ensemble_scoring import one
from tests.unit.models.scoring.readings.test_lost_readings import START, STEP

TRAINED, LIVE = 2500, 600


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.1, 0.2])
def test_a_rounded_sensor_beside_a_switch_is_not_rare_for_good(share: float) -> None:
    """Most of its readings are alike, and so are their magnitudes, of which each fold has one."""
    draw = np.random.default_rng(0)
    level = np.round(draw.normal(0.3, 0.02, 6000), 2)
    rows = np.column_stack([level, draw.random(6000) < share])[: TRAINED + LIVE]
    times = np.datetime64("2026-01-01", "us") + np.arange(TRAINED) * np.timedelta64(600, "s")
    model_set, _ = fit_model_set([rows[:TRAINED]], [times], ["level", "valve"], FitOptions(seed=0))
    live = [
        Reading(START + i * STEP, {"level": float(level), "valve": float(valve)})
        for i, (level, valve) in enumerate(rows[TRAINED:])
    ]
    p = np.array([result["p"] for result in one(model_set, live).results])
    assert (p <= 1e-2).mean() <= 0.05
    assert np.median(p) >= 0.1


@pytest.mark.parametrize(("spread", "shift"), [(0.0, 0.1), (0.05, 0.1), (0.2, 0.05), (1.0, 0.01)])
def test_a_fold_is_shifted_if_its_readings_are_more_alike_than_the_levels(spread, shift) -> None:
    own = np.linspace(-spread, spread, 1001)  # the middle half is as wide as ``spread``
    fold = FoldResult(
        [(Part(0, 0, 2), {"a": np.array([1.0, np.nan]), "b": np.ones(2)}, {})], [], {"a": own}
    )
    ((_, found, warm),) = aligned(fold, {"a": own + 0.1}).parts
    assert found["a"][0] == pytest.approx(1.0 + shift)
    assert np.isnan(found["a"][1])
    assert (found["b"] == 1.0).all()
    assert warm == {}


def network(factor: float) -> Any:
    """A window detector whose magnitude is the newest reading's value, times a factor."""
    return SimpleNamespace(window=3, score=lambda x: factor * np.asarray(x)[:, -1, 0])


@pytest.mark.parametrize(("factor", "lift"), [(2.0, 1.0), (0.5, 0.0)])
def test_a_network_that_serves_lifts_the_magnitudes_of_a_fold_and_never_lowers_them(factor, lift):
    stream = np.random.default_rng(0).uniform(size=(900, 1))
    part = Part(0, 300, 900)
    found = {"network": stream[300:, 0].copy(), "forest": np.ones(600)}
    fold = FoldResult([(part, found, {})], [], {})
    pre: Any = None
    new = lifted(fold, [stream], pre, {"network": network(factor)}, lambda pre, i, v: v)
    ((_, magnitudes, _),) = new.parts
    body = (found["network"] > 0.05) & (found["network"] < 0.95)
    expected = found["network"] * (1.0 + lift)
    np.testing.assert_allclose(magnitudes["network"][body], expected[body], atol=0.02)
    assert (np.diff(magnitudes["network"][np.argsort(found["network"])]) >= 0.0).all()
    assert (magnitudes["forest"] == 1.0).all()


def test_a_fold_without_networks_stays_as_it_is() -> None:
    fold = FoldResult([(Part(0, 0, 9), {"forest": np.ones(9)}, {})], [], {})
    pre: Any = None
    given = [np.ones((9, 1))], pre, {"network": network(2.0)}, lambda pre, i, v: v
    assert lifted(fold, *given) is fold


@pytest.mark.slow
def test_streams_held_out_whole_are_tried_without_the_network() -> None:
    draw = np.random.default_rng(0)
    times = np.datetime64("2026-01-01", "us") + np.arange(300) * np.timedelta64(60, "s")
    streams = [draw.normal(size=(300, 2)) for _ in range(6)]
    options = FitOptions(lstm_autoencoder={"epochs": 1, "device": "cpu"})
    model_set, _ = fit_model_set(streams, [times] * 6, ["a", "b"], options)
    assert len(model_set.names) == 3


@pytest.mark.slow
def test_readings_between_rare_high_spikes_are_not_rare() -> None:
    """Spikes set the network's scale, and chance the level of all other readings beside it."""
    draw = np.random.default_rng(3)
    rows = draw.uniform(0, 1, 3000)
    rows[::40] = 15 + draw.uniform(-1, 1, len(rows[::40]))
    times = np.datetime64("2026-01-01", "us") + np.arange(3000) * np.timedelta64(300, "s")
    model_set, _ = fit_model_set([rows[:1600, None]], [times[:1600]], ["load"], FitOptions(seed=0))
    run = run_series(model_set, times[1600:], rows[1600:, None], ["load"])
    assert (run.score >= 0.5).mean() < 0.01
