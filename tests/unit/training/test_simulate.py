"""The simulated plant: seeded, labelled, faults where it says they are."""

from __future__ import annotations

import numpy as np
import pytest

from training.simulate import FAULT_KINDS, FEATURES, main, simulate


def test_same_seed_same_plant():
    one, two = (simulate(assets=2, readings=300, seed=3, faults=1) for _ in range(2))
    for a, b in zip(one.values, two.values, strict=True):
        np.testing.assert_array_equal(a, b)
    assert one.faults == two.faults
    assert not np.array_equal(one.values[0], simulate(assets=2, readings=300, seed=4).values[0])


def test_more_assets_leave_the_first_as_they_were():
    few, many = simulate(assets=1, readings=200), simulate(assets=3, readings=200)
    np.testing.assert_array_equal(few.values[0], many.values[0])


@pytest.mark.parametrize("kind", FAULT_KINDS)
def test_fault_moves_its_features_and_no_other(kind):
    clean = simulate(assets=1, readings=1500, seed=5)
    faulty = simulate(assets=1, readings=1500, seed=5, faults=1, first_fault=500, kinds=(kind,))
    (fault,) = faulty.faults
    moved = np.abs(faulty.values[0] - clean.values[0])
    inside = moved[fault.start : fault.end].max(axis=0)
    assert {FEATURES[j] for j in np.flatnonzero(inside > 0)} == set(fault.features)
    moved[fault.start : fault.end] = 0
    assert moved.max() == 0
    assert faulty.labels[0].sum() == fault.end - fault.start
    assert fault.start >= 500


def test_frame_is_wide_and_aware():
    frame = simulate(assets=2, readings=100).frame()
    assert list(frame.columns) == ["asset_id", "sensor_id", "timestamp", *FEATURES, "label"]
    assert len(frame) == 200
    assert str(frame["timestamp"].dt.tz) == "UTC"


def test_ramp_moves_every_feature():
    still, ramp = simulate(assets=1, readings=2000), simulate(assets=1, readings=2000, ramp=5.0)
    wander = (ramp.values[0] - still.values[0])[-1] / still.values[0].std(axis=0)
    assert (np.abs(wander) > 0.2).all()


def test_cut_keeps_whole_faults_only():
    plant = simulate(assets=1, readings=1000, faults=2, first_fault=200)
    first = plant.faults[0]
    part = plant.cut(first.start - 10, first.end + 10)
    assert [(f.start, f.kind) for f in part.faults] == [(10, first.kind)]
    assert not plant.cut(first.start + 1, 1000).faults[:0]


@pytest.mark.parametrize(
    "option", ["--assets=0", "--readings=0", "--faults=-1", "--from=-3", "--seed=-1"]
)
def test_a_number_that_means_no_plant_is_refused(option, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--out", str(tmp_path / "plant.csv"), option])
    assert ended.value.code == 2
    assert f"argument {option.split('=')[0]}: " in capsys.readouterr().err


def test_the_smallest_plant_is_written(tmp_path):
    assert main(["--out", str(tmp_path / "p.csv"), "--assets=1", "--readings=5"]) == 0
