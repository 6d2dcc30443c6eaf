"""Streams with a level of their own: skewed features settle, missing values keep to the level."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from models.fitting.model_set_fit import fit_model_set
from models.fitting.options import FitOptions
from models.scoring.features.missing_runs import LASTING
from models.scoring.model_set import ModelSet
from models.scoring.policy import ScoringPolicy
from models.scoring.stream_work import Reading
from tests.unit.ensemble_scoring import in_pieces, one

pytestmark = pytest.mark.slow  # fits models

NAMES = [f"f{j}" for j in range(5)]
STEP = timedelta(minutes=10)
START = datetime(2026, 1, 5, tzinfo=UTC)
TRAINED = 1500
SHIFTED = 100  # reading at which the level shifts, and
SETTLED = 500  # by which it has settled
POLICY = ScoringPolicy(persistent_after=300)


def cycles(n: int) -> np.ndarray:
    """Rows (n, 5) of a cycle of 20 readings; medians and means of its features differ."""
    phase = 2.0 * np.pi * np.arange(n)[:, None] / 20.0
    lag = 1.3 * np.arange(5)
    noise = 0.3 * np.random.default_rng(0).normal(size=(n, 5))
    return 3.0 * np.sin(phase + lag) + 1.5 * np.sin(2.0 * phase + lag**2) + noise


ROWS = cycles(TRAINED + 1400)


@pytest.fixture(scope="module")
def cyclic() -> ModelSet:
    options = FitOptions(seed=0, models=("isolation_forest", "one_class_svm"))
    return fit_model_set([ROWS[:TRAINED]], [times(TRAINED)], NAMES, options)[0]


def times(n: int) -> np.ndarray:
    return np.datetime64("2026-01-05", "us") + np.arange(n) * np.timedelta64(600, "s")


def sent(rows: np.ndarray, lacking: dict[int, str] | None = None) -> list[Reading]:
    """One reading per row; some lack a feature."""
    out = []
    for i, row in enumerate(rows):
        features = dict(zip(NAMES, map(float, row), strict=True))
        features.pop((lacking or {}).get(i, ""), None)
        out.append(Reading(START + i * STEP, features))
    return out


def shifted() -> np.ndarray:
    """Rows after training whose first feature shifts for good."""
    rows = ROWS[TRAINED:].copy()
    rows[SHIFTED:, 0] += 6.0 * ROWS[:TRAINED, 0].std()
    return rows


def explained(result: dict) -> dict[str, dict]:
    """The features of a result's explanation by name."""
    return {one["feature"]: one for one in result["metadata"]["explanation"]["features"]}


def test_a_cycle_settles_at_a_new_level(cyclic) -> None:
    """As far from the training's mean as its median is, all later readings alarmed."""
    assert cyclic.preprocessing.mean is not None
    assert np.abs(cyclic.preprocessing.mean).max() > 0.2
    results = one(cyclic, sent(shifted()), POLICY).results
    events = [result["metadata"].get("event") or {} for result in results]
    assert any(event.get("persistent") for event in events[SHIFTED:SETTLED])
    assert np.mean([result["is_anomaly"] for result in results[SETTLED:]]) < 0.01


def test_while_a_shifted_sensor_is_out_its_event_lasts_and_nothing_alarms(cyclic) -> None:
    """Imputed at the training's level, it had returned, and shifted again afterwards."""
    lacking = {i: "f0" for s in (600, 900, 1200) for i in range(s, s + LASTING)}
    results = one(cyclic, sent(shifted(), lacking), POLICY).results[SETTLED:]
    assert np.mean([result["is_anomaly"] for result in results]) < 0.01
    assert all("event" in result["metadata"] for result in results)


def test_what_a_shifted_stream_lacks_is_explained_at_its_level(cyclic) -> None:
    """At the former level, it was called a deviation, and all others were expected elsewhere."""
    rows = shifted()
    rows[650:, 1] += 8.0
    whole, holed = (
        one(cyclic, sent(rows[:660], lacking), POLICY).results[650:]
        for lacking in (None, dict.fromkeys(range(640, 660), "f0"))
    )
    for a, b in zip(whole, holed, strict=True):
        first, second = explained(a), explained(b)
        for name in NAMES:
            assert second[name]["expected"] == pytest.approx(first[name]["expected"], abs=3.0)
        assert abs(second["f0"]["deviation"]) < 6.0


def test_where_streams_have_baselines_levels_settle_relative_to_these() -> None:
    """Training's mean was taken without regard to these: all readings went on alarming."""
    options = FitOptions(seed=0, drift="normal", baseline=20, models=("one_class_svm",))
    model_set, _ = fit_model_set([ROWS[:TRAINED]], [times(TRAINED)], NAMES, options)
    results = one(model_set, sent(shifted()), POLICY).results
    assert np.mean([result["is_anomaly"] for result in results[SETTLED:]]) < 0.01


@pytest.mark.parametrize("seed", range(3))
def test_values_that_miss_while_it_settles_do_not_blur_the_level(cyclic, seed: int) -> None:
    """Imputed at the former level, they drew it back by a third of a deviation: 0.95 alarmed."""
    lost = np.random.default_rng(seed).random((len(ROWS), 5)) < 0.06
    lacking = {i: NAMES[int(row.argmax())] for i, row in enumerate(lost) if row.any()}
    results = one(cyclic, sent(shifted(), lacking), POLICY).results[SETTLED:]
    assert all("event" in result["metadata"] for result in results)
    assert np.mean([result["is_anomaly"] for result in results]) < 0.01


def test_a_shifted_stream_is_cut_anywhere(cyclic) -> None:
    lacking = dict.fromkeys(range(1150, 1160), "f0") | dict.fromkeys(range(1200, 1240), "f2")
    readings = sent(shifted(), lacking)[:1300]
    whole = one(cyclic, readings)
    assert whole.results[1155]["metadata"]["event"]["persistent"]
    results, _ = in_pieces(cyclic, readings, 7)
    for a, b in zip(whole.results, results, strict=True):
        assert b["log10_p"] == pytest.approx(a["log10_p"], abs=1e-4)


@pytest.fixture(scope="module")
def fleet() -> tuple[ModelSet, np.ndarray]:
    """A model set of six units with baselines of their own, and another unit's readings."""
    loads = np.random.default_rng(1).normal(size=(2, 5))

    def unit(seed: int) -> np.ndarray:
        random = np.random.default_rng([2, seed])
        common = random.normal(size=(300, 2)) @ loads
        return 5.0 * random.normal(size=5) + common + 0.5 * random.normal(size=(300, 5))

    options = FitOptions(seed=0, drift="fault", models=("isolation_forest", "one_class_svm"))
    units = [unit(seed) for seed in range(7)]
    model_set, _ = fit_model_set(units[:6], [times(300)] * 6, NAMES, options)
    assert model_set.preprocessing.baseline == 20
    return model_set, units[6]


def test_what_a_unit_lacks_is_imputed_at_its_own_baseline(fleet) -> None:
    """At the group's level, half of the readings alarmed."""
    model_set, rows = fleet
    lacking = {i: NAMES[i // 50 % 5] for i in range(60, 300) if i % 50 < LASTING}
    whole = one(model_set, sent(rows)).results
    results = one(model_set, sent(rows, lacking)).results
    alarms = [np.mean([x["p"] <= 1e-2 for x in of[40:]]) for of in (whole, results)]
    assert alarms[1] <= alarms[0] + 0.01


@pytest.mark.parametrize("lost", [(3, 7, 12, 18), range(8), range(2, 20)])
def test_what_misses_at_first_does_not_blur_the_baseline(fleet, lost) -> None:
    """Imputed at the group's level, 8 of the first 20 values made all later readings alarm."""
    model_set, rows = fleet
    results = one(model_set, sent(rows, dict.fromkeys(lost, "f0"))).results
    assert np.mean([result["p"] <= 1e-2 for result in results[40:]]) < 0.05


def test_what_a_unit_lacks_is_explained_at_its_own_baseline(fleet) -> None:
    model_set, rows = fleet
    rows = rows[:100].copy()
    rows[60:, 1] += 30.0
    results = one(model_set, sent(rows, dict.fromkeys(range(60, 80), "f0"))).results[70:80]
    shown = np.mean([explained(result)["f0"]["value"] for result in results])
    assert shown == pytest.approx(rows[:20, 0].mean(), abs=1.0)  # 3 from the group's


@pytest.mark.parametrize("size", [1, 7])
def test_a_unit_with_missing_values_is_cut_anywhere(fleet, size: int) -> None:
    model_set, rows = fleet
    readings = sent(rows, dict.fromkeys((3, 12, 18, 19, 25, 26, 60, 61), "f1"))[:100]
    whole = one(model_set, readings)
    results, _ = in_pieces(model_set, readings, size)
    for a, b in zip(whole.results, results, strict=True):
        assert b["log10_p"] == pytest.approx(a["log10_p"], abs=1e-4)


def test_an_offset_settles_in_all_operating_conditions() -> None:
    """Restated, it is five times as far in one condition as in the other: 0.6 of all alarmed."""
    random = np.random.default_rng(4)
    n = TRAINED + 1400
    busy = (np.arange(n) // 40 % 2).astype(float)
    rows = random.normal(size=(n, 5)) * np.where(busy[:, None] > 0, [0.2, 1, 1, 1, 1], 1.0)
    rows += busy[:, None] * [0.0, 20.0, 12.0, 9.0, 15.0]
    options = FitOptions(seed=0, models=("isolation_forest", "one_class_svm"))
    model_set, _ = fit_model_set([rows[:TRAINED]], [times(TRAINED)], NAMES, options)
    assert model_set.preprocessing.conditions is not None
    rows = rows[TRAINED:]
    rows[SHIFTED:, 0] += 6.0
    results = one(model_set, sent(rows), POLICY).results
    events = [result["metadata"].get("event") or {} for result in results]
    assert any(event.get("persistent") for event in events[SHIFTED:SETTLED])
    assert np.mean([result["is_anomaly"] for result in results[SETTLED:]]) < 0.01
