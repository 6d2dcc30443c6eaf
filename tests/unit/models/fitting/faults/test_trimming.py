"""Faults in training that nobody labelled: found by events, and nothing lost without any."""

import numpy as np
import pytest
from scipy.signal import lfilter

from benchmarks.noise import KINDS
from benchmarks.plants import dirty
from models.fitting.faults.event_heights import apart
from models.fitting.faults.fault_search import find_faults
from models.fitting.faults.trimming import without_faulty
from models.fitting.garbage.cleaning import clean
from models.fitting.model_set_fit import fit_model_set
from models.fitting.options import FitOptions
from models.scoring.ensemble import score
from models.scoring.stream_work import StreamWork
from training.fitting.stream_scores import readings_of
from training.simulate import simulate

pytestmark = pytest.mark.slow  # fits models

SVM = FitOptions(models=("one_class_svm",), folds=3)
TRAINED = 1500


def faulty(streams, max_share):
    return find_faults(streams, max_share).faults


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("seed", range(4))
def test_clean_data_lose_nothing(kind, seed):
    for n, d in ((600, 1), (4000, 8), (1000, 30)):
        values = KINDS[kind](np.random.default_rng([seed, n]), n, d)
        assert not faulty([values], 0.15)[0].any()


@pytest.mark.parametrize("short", [1, 8])
def test_a_stream_of_a_few_readings_keeps_no_others_from_a_fit(short):
    values = np.random.default_rng(0).normal(size=(3000, 3))
    found = faulty([values[:1500], values[1500:-short], values[-short:]], 0.15)
    assert not np.concatenate(found).any()


def test_many_features_lose_nothing_to_those_left_out_first():
    """What is left out lies further off than what is fitted on, by the fit alone."""
    noise = np.random.default_rng(0).normal(size=(3000, 100))
    assert not faulty([lfilter([1.0], [1.0, -0.9], noise, axis=0)], 0.15)[0].any()


@pytest.mark.parametrize("share", [0.02, 0.05, 0.1])
def test_faults_are_found_whole_and_little_else(share):
    values = [
        v[:2880] for v in simulate(assets=4, readings=2880, seed=1, machines=("PUMP",)).values
    ]
    train = dirty(values, share, 3)
    truth = np.concatenate([(a != b).any(axis=1) for a, b in zip(train, values, strict=True)])
    found = np.concatenate(faulty(train, 0.15))
    assert found[truth].mean() > 0.9
    assert found[~truth].mean() < 0.05
    assert np.concatenate(faulty(train, share / 2)).mean() <= share / 2
    assert not np.concatenate(faulty(train, 0.0)).any()


@pytest.mark.parametrize("seed", [1, 2])
def test_a_tenth_of_faults_hides_itself_among_few_events_neither(seed):
    """Slow readings have some forty events in 3,000; without the highest fewer than thirty."""
    random = np.random.default_rng(seed)
    load = lfilter([0.44], [1.0, -0.9], random.normal(size=3000))
    values = load[:, None] * [1.0, 2.0, 3.0] + random.normal(size=(3000, 3))
    truth = np.zeros(3000, bool)
    for start in range(100, 2900, 300):
        truth[start + int(random.integers(200)) :][:30] = True
    values[truth, 0] += 12.0
    found = faulty([values], 0.15)[0]
    assert found[truth].mean() > 0.9
    assert found[~truth].mean() < 0.1


@pytest.mark.parametrize("seed", range(3))
def test_a_tenth_of_short_faults_hides_itself_neither(seed):
    """With their surroundings a hundred short faults take up all that may be left out, and more."""
    random = np.random.default_rng(seed)
    streams, truth, mixing = [], [], random.normal(size=(2, 6))
    for _ in range(3):
        load = lfilter([0.31], [1.0, -0.95], random.normal(size=(4000, 2)), axis=0)
        mixed = load @ mixing + 0.3 * random.normal(size=(4000, 6))
        where = np.zeros(4000, bool)
        for start in random.integers(0, 3988, 33).tolist():
            where[start : start + 12] = True
            size = random.choice([-1, 1]) * random.uniform(8, 16)
            mixed[start : start + 12, random.integers(6)] += size
        streams.append(mixed)
        truth.append(where)
    found, faults = np.concatenate(faulty(streams, 0.15)), np.concatenate(truth)
    assert found[faults].mean() > 0.75
    assert found[~faults].mean() < 0.05


@pytest.mark.parametrize("seed", range(3))
def test_bursts_of_a_tenth_of_the_readings_are_normal(seed):
    random = np.random.default_rng(seed)
    values = random.normal(size=(6000, 4))
    for start in random.integers(0, 5988, 60).tolist():
        values[start : start + 12, 0] += random.uniform(8, 16)
    assert not faulty([values], 0.15)[0].any()


def test_a_way_to_operate_is_none_of_them():
    """A quarter of the time at another level is no fault, whatever its distance."""
    values = np.random.default_rng(0).normal(size=(4000, 3))
    values[::40] += 0.1
    values[2000:3000, 0] += 12.0
    assert not faulty([values], 0.15)[0].any()


@pytest.mark.parametrize("seed", range(4))
def test_a_stream_that_always_stands_apart_is_none_of_them(seed):
    """One of eight machines at a level of its own is an eighth of the readings, below the limit."""
    random = np.random.default_rng(seed)
    streams = [random.normal(size=(1500, 5)) for _ in range(8)]
    streams[seed][:, :2] += 6.0
    assert not np.concatenate(faulty(streams, 0.15)).any()
    part = slice(200, 500)
    streams[seed][part, 3] += 10.0  # a fault on top of it
    found = faulty(streams, 0.15)
    assert found[seed][part].mean() > 0.9
    assert np.concatenate(found).sum() < 1.1 * 300


@pytest.mark.parametrize("times", [1.5, 3.0])
def test_a_stream_that_always_scatters_more_is_none_of_them(times):
    random = np.random.default_rng(0)
    streams = [random.normal(size=(1500, 5)) for _ in range(8)]
    streams[3] *= times
    assert not np.concatenate(faulty(streams, 0.15)).any()


def test_a_fault_in_most_of_one_stream_is_one():
    random = np.random.default_rng(0)
    streams = [random.normal(size=(1500, 5)) for _ in range(8)]
    streams[2][400:1450, :2] += 8.0
    found = faulty(streams, 0.15)
    assert found[2][400:1450].mean() > 0.9
    assert np.concatenate(found).sum() < 1.1 * 1050


def test_a_daily_job_and_bursts_are_none_of_them():
    random = np.random.default_rng(0)
    daily = random.normal(size=(8640, 3))
    for start in range(0, 8640, 288):
        daily[start + random.integers(5) :][:50, 0] += 8.0
    bursts = random.normal(size=(8640, 3))
    bursts[:, 2] = 0.01 * bursts[:, 2]
    for start in random.integers(0, 8600, 10):
        bursts[start : start + 40, 2] += random.uniform(1, 9)
    assert not faulty([daily], 0.15)[0].any()
    assert not faulty([bursts], 0.15)[0].any()


@pytest.mark.parametrize("seed", range(3))
def test_bursts_of_the_only_feature_are_none_of_them(seed):
    """A disk rests and writes: without what may be left out nothing is left to judge by."""
    random = np.random.default_rng(seed)
    writes = np.where(random.random(4000) < 0.9, 0.0, 1e6 * random.pareto(1.5, 4000))[:, None]
    assert not faulty([writes], 0.15)[0].any()
    assert not faulty([np.hstack([writes, 2.0 * writes])], 0.15)[0].any()


def test_one_long_fault_in_one_sensor_is_one():
    values = np.random.default_rng(0).normal(size=(3000, 4))
    values[1200:1500, 1] += 6.0
    (found,) = faulty([values], 0.15)
    assert found[1200:1500].all()
    assert found.sum() < 350


def test_faults_beyond_the_share_are_said_to_be_kept():
    plant = simulate(assets=4, readings=2400, seed=2, machines=("PUMP",))
    data = clean(dirty(plant.values, 0.08, 0), None, plant.feature_names)
    for share, gone, kept in ((0.15, True, False), (0.05, True, True), (0.002, False, True)):
        notes = " ".join(without_faulty(data, share).notes)
        assert ("nobody labelled" in notes) == gone
        assert ("beyond the share of --trim: they were kept" in notes) == kept


def test_what_was_left_out_is_said_and_its_like_is_seen_later():
    plant = simulate(assets=2, readings=2000, seed=2, machines=("PUMP",))
    train = dirty([v[:TRAINED] for v in plant.values], 0.05, 0)
    fresh = plant.values[0][TRAINED:].copy()
    fresh[400:460, 3] += 4.0 * train[0][:, 3].std()
    seen = {}
    for trim in (0.15, 0.0):
        options = FitOptions(models=SVM.models, folds=3, trim=trim)
        model_set, report = fit_model_set(train, None, plant.feature_names, options)
        notes = [note for note in report.notes if "nobody labelled" in note]
        assert len(notes) == bool(trim)
        work = _work(plant, fresh)
        (found,) = score(model_set, [work])
        alarms = np.array([r["is_anomaly"] for r in found.results])
        seen[trim] = alarms[400:460].mean()
        assert alarms[:400].mean() < 0.02
    assert seen[0.15] > 0.9
    assert seen[0.15] > seen[0.0]


def test_times_are_left_out_with_their_readings():
    values = np.random.default_rng(0).normal(size=(3000, 2))
    values[1000:1060] += 10.0
    times = np.datetime64("2026-01-01", "us") + np.arange(3000) * np.timedelta64(60, "s")
    data = clean([values], [times], ["a", "b"])
    left = without_faulty(data, 0.15)
    assert left.timestamps is not None
    assert len(left.timestamps[0]) == len(left.streams[0]) < 2950
    assert not np.isin(times[1000:1060], left.timestamps[0]).any()


def test_what_people_called_a_false_alarm_is_no_unlabelled_fault():
    values = np.random.default_rng(0).normal(size=(3000, 2))
    values[1000:1060] += 10.0
    values[2000:2060] += 10.5
    times = np.datetime64("2026-01-01", "us") + np.arange(3000) * np.timedelta64(60, "s")
    data = clean([values], [times], ["a", "b"], who=["A / S"])
    left = without_faulty(data, 0.15, healthy={"A / S": times[990:1070], "B / S": times})
    assert left.timestamps is not None
    assert np.isin(times[990:1070], left.timestamps[0]).all()
    assert not np.isin(times[2000:2060], left.timestamps[0]).any()
    kept, gone = left.notes[-2:]
    assert "people called these alarms false (A / S 2026-01-01 16:" in kept
    assert "nobody labelled (A / S 2026-01-02 09:" in gone


def _work(plant, values):
    from datasets import Stream

    stream = Stream("PUMP-1", None, plant.timestamps[TRAINED:], values)
    return StreamWork("PUMP-1", None, None, "medium", None, [],
                      list(readings_of(stream, plant.feature_names)))  # fmt: skip


def test_faults_whose_intervals_are_alike_by_chance_are_no_cycle():
    """Five faults in one stream, two pairs of intervals alike, a long pause between."""
    rng = np.random.default_rng(3)
    streams = [rng.normal(size=(2_880, 5)) for _ in range(4)]
    faults = {0: (297, 538, 739, 2222, 2492), 1: (306, 474, 555, 1245, 1424), 2: (900,), 3: (70,)}
    for i, starts in faults.items():
        for start in starts:
            streams[i][start : start + 60, start % 5] += 6.0
    found = faulty(streams, 0.15)
    for i, starts in faults.items():
        assert all(found[i][start : start + 60].all() for start in starts)


def test_faults_that_only_break_the_relation_of_features_that_move_widely_are_found() -> None:
    rng = np.random.default_rng(0)
    load = np.repeat(rng.integers(-1, 2, 60), 100)[:, None] * 30.0
    rows = rng.normal(0.0, (1.0, 5.0, 2.0, 2.0, 2.0), (6000, 5))
    rows[:, :2] += load
    for at in (900, 2800, 5100):  # larger than the scatter of 5, smaller than the load's range
        rows[at : at + 30, 1] += 25.0
    found = find_faults([rows], 0.15).faults[0]
    assert [found[at : at + 30].mean() for at in (900, 2800, 5100)] == [1.0, 1.0, 1.0]
    assert found.sum() < 3 * 60


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("times", [1.0, 10.0])
def test_spikes_are_found_and_heavy_tails_are_none(seed, times):
    random = np.random.default_rng(seed)
    streams = [random.normal(size=(3000, 4)) for _ in range(2)]
    at = random.choice(3000, 20, replace=False)
    streams[0][at, random.integers(0, 4, 20)] *= times * random.choice([-40, 30, 60], 20)
    spikes = np.abs(streams[0]).max(axis=1) > 20.0 * times
    found = faulty(streams, 0.1)
    assert (found[0] & spikes).sum() == spikes.sum() > 5
    assert found[0].sum() <= 20 * 9, "and some readings around them"
    assert not found[1].any()
    for tail in (1.5, 3):
        assert not faulty([random.standard_t(tail, (3000, 4)) for _ in range(2)], 0.1)[0].any()


@pytest.mark.parametrize("share", [0.005, 0.03, 0.2])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_signal_that_is_on_for_single_readings_is_no_spike(share, seed):
    """Beside a rounded sensor many readings have the same magnitude."""
    draw = np.random.default_rng(seed)
    level = np.round(draw.normal(size=2500) * 2.0) / 2.0
    on = draw.random(2500) < share
    current = np.where(on, 5.0 + draw.normal(0.0, 0.1, 2500), draw.normal(0.0, 0.02, 2500))
    for signal in (on.astype(float), current):
        assert not faulty([np.column_stack([level, signal])], 0.15)[0].any()


@pytest.mark.parametrize("seed", range(3))
def test_faults_that_only_break_a_tight_relation_are_found(seed):
    """A tank's flow is proportional to its pump's state, and its pressure to its level."""
    draw = np.random.default_rng(seed)
    level, pump = np.full(4000, 500.0), np.ones(4000)
    for i in range(1, 4000):
        pump[i] = pump[i - 1] if 300.0 < level[i - 1] < 800.0 else level[i - 1] <= 300.0
        level[i] = level[i - 1] + (6.0 if pump[i] else -4.0) + draw.normal() / 2.0
    rows = np.column_stack([level, pump, 2.5 * pump, 0.01 * level])
    rows += draw.normal(size=rows.shape) * [1.5, 0.0, 0.03, 0.05]
    for at, feature, size in ((800, 2, 0.4), (1900, 3, 0.6), (3000, 2, 0.4)):
        rows[at : at + 60, feature] += size
    (found,) = faulty([rows], 0.15)
    assert [found[at : at + 60].mean() for at in (800, 1900, 3000)] == [1.0, 1.0, 1.0]
    assert found.sum() < 3 * 90


def test_a_gap_above_several_events_may_be_smaller_than_above_one() -> None:
    normal = np.linspace(0.01, 1.0, 60)
    assert apart(np.append(normal, 3.0)) == np.inf
    assert apart(np.append(normal, 3.5)) < 3.5
    assert apart(np.append(normal, [2.2, 2.5])) < 2.2
    assert apart(np.append(normal, 2.5), gone=2) < 2.5  # a third, after two that were left out
    assert apart(np.append(normal, [1.8, 1.9])) == np.inf
    many = np.linspace(2.2, 3.0, 10)  # another way to operate
    assert apart(np.append(normal, many)) == np.inf


@pytest.mark.parametrize("seed", range(3))
def test_heights_without_faults_have_no_gap(seed: int) -> None:
    draw = np.random.default_rng(seed)
    sets = [draw.exponential(size=n) for n in (30, 60, 120) for _ in range(300)]
    assert np.mean([heights.max() > apart(heights) for heights in sets]) < 0.01


@pytest.mark.parametrize("seed", range(3))
def test_a_fault_is_found_that_hides_behind_two_higher_ones(seed: int) -> None:
    """Vibration scatters with the load; one fault is only twice as high as what is usual."""
    draw = np.random.default_rng(seed)
    load = np.clip(60.0 + 15.0 * _ar(draw, 9000, 0.98), 10.0, 100.0)
    rows = np.column_stack([
        load, 0.02 * load * np.exp(0.12 * draw.normal(size=9000)), 0.8 * load + 5.0
    ])  # fmt: skip
    rows += draw.normal(size=rows.shape) * [0.6, 0.15, 0.8]
    for at, feature, size in ((800, 1, 3.0), (1900, 1, 3.0), (3000, 2, 6.0)):
        rows[at : at + 60, feature] += size
    (found,) = faulty([rows], 0.15)
    assert [found[at : at + 60].mean() for at in (800, 1900, 3000)] == [1.0, 1.0, 1.0]
    assert found.sum() < 3 * 110


def _ar(draw, count, keeps):
    steps = draw.normal(size=count) * np.sqrt(1.0 - keeps**2)
    return lfilter([1.0], [1.0, -keeps], steps)


def spiked(values, seed):
    """Readings (n, d) of which twenty have one value times 2.5 to 10 or -10, and which (n,)."""
    random = np.random.default_rng(seed)
    out, truth = values.copy(), np.zeros(len(values), bool)
    at = random.choice(len(values), 20, replace=False)
    times = random.choice([-1.0, 1.0], 20) * random.uniform(2.5, 10.0, 20)
    out[at, random.integers(0, values.shape[1], 20)] *= times
    truth[at] = True
    return out, truth


def check_spikes(values, seed, least):
    assert not faulty([values], 0.15)[0].any()
    train, truth = spiked(values, seed)
    found = faulty([train], 0.15)[0]
    assert found[truth].mean() >= least
    assert not found[~truth].any()


@pytest.mark.parametrize("seed", range(3))
def test_spikes_on_top_of_slow_excursions_are_found(seed):
    """The distance of slow curved sensors stays above its 80 % quantile for dozens of readings."""
    random = np.random.default_rng(seed)
    load = lfilter([0.2], [1.0, -0.98], random.normal(size=4000)) + 20.0
    values = np.stack([load, load**2 / 10.0, 50.0 + 40.0 / load], axis=1)
    values += random.normal(size=values.shape) * [0.2, 0.2, 0.05]
    check_spikes(values, seed, 0.9)


@pytest.mark.parametrize("seed", range(3))
def test_spikes_beside_a_cycle_are_found(seed):
    """Every 20 readings the load changes, which no straight line follows."""
    random = np.random.default_rng(seed)
    speed = lfilter([0.5], [1.0, -0.5], np.repeat(random.choice([9.0, 12.0, 15.0, 18.0], 200), 20))
    values = np.stack([speed, speed**2, lfilter([0.06], [1.0, -0.94], speed**3)], axis=1)[200:]
    values += random.normal(size=values.shape) * [0.05, 0.5, 3.0]
    check_spikes(values, seed, 0.75)
