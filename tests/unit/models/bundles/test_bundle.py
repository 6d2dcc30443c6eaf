"""Bundles: groups by rule, saved whole or not at all, loaded lazily, equal scores."""

from __future__ import annotations

import json
import shutil
import tracemalloc
from dataclasses import asdict, replace

import numpy as np
import pytest

from benchmarks.scored import run_series
from errors import BundleError, UnknownGroup
from models.bundles.bundle import Bundle
from models.bundles.rules import Rule
from models.detectors.base import MODEL_NAMES
from models.fitting.model_set_fit import fit_model_set
from models.fitting.options import FitOptions
from models.scoring.ensemble import score
from models.scoring.stream_work import StreamWork
from tests.fixtures.bundle import points
from tests.fixtures.bundle_fit import GroupData, fit_bundle
from training.simulate import simulate


@pytest.fixture(scope="module")
def small():
    """A quick model set of one feature."""
    values = np.random.default_rng(0).normal(size=(200, 1))
    options = FitOptions(models=("one_class_svm",), folds=2)
    return fit_model_set([values], None, ["rms"], options)[0]


def test_saved_and_loaded_scores_are_equal(bundle_dir, plant):
    a, b = (Bundle.load(bundle_dir).model_set("default") for _ in range(2))
    work = StreamWork("A", None, None, "medium", None, [], points(plant, 0, 0, 50))
    assert score(a, [work])[0].results == score(b, [work])[0].results


def test_first_matching_rule_decides(small):
    rules = [
        Rule("vib", asset_id="PUMP_*", sensor_id="V?"),
        Rule("rest", asset_id="PUMP_*"),
        Rule("single", feature="rms"),
    ]
    bundle = Bundle({"vib": small, "rest": small, "single": small}, rules)
    assert bundle.group_for("PUMP_1", "V1", None) == "vib"
    assert bundle.group_for("PUMP_1", "T1", None) == "rest"
    assert bundle.group_for("PUMP_1", None, None) == "rest"
    assert bundle.group_for("MOTOR_1", "V1", "rms") == "single"
    with pytest.raises(UnknownGroup) as unknown:
        bundle.group_for("MOTOR_1", "V1", None)
    assert unknown.value.code == "no_group"
    with pytest.raises(UnknownGroup) as single:
        bundle.group_for("PUMP_1", "V1", "kurtosis")
    assert single.value.code == "missing_features"


def test_without_rules_every_grouped_stream_is_in_the_default_group(bundle):
    assert bundle.group_for("anything", None, None) == "default"
    with pytest.raises(UnknownGroup):
        bundle.group_for("anything", None, "rms")


def test_rule_for_a_group_that_is_not_there_is_refused(small):
    with pytest.raises(BundleError, match="nowhere"):
        Bundle({"a": small}, [Rule("nowhere")])


def test_version_is_the_content(small, tmp_path):
    one, two = Bundle({"a": small}), Bundle({"a": small})
    other = Bundle({"a": small}, [Rule("a", asset_id="X")])
    versions = [b.save(tmp_path / str(i)) for i, b in enumerate((one, two, other))]
    assert versions[0] == versions[1] != versions[2]
    assert Bundle.load(tmp_path / "0").version == versions[0]
    assert Bundle.load(tmp_path / "0", version="7").model_set("a").version == "7"


def test_existing_folder_is_not_overwritten(small, tmp_path):
    with pytest.raises(BundleError, match="exists already"):
        Bundle({"a": small}).save(tmp_path)


def test_failed_save_leaves_nothing(small, tmp_path, monkeypatch):
    def refuse(*_args):
        raise OSError("disk full")

    monkeypatch.setattr("models.bundles.bundle.write_json", refuse)
    with pytest.raises(BundleError, match="disk full"):
        Bundle({"a": small}).save(tmp_path / "b")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["", "[]", '{"format": 99}', '{"format": 1}'])
def test_damaged_bundle_is_refused(tmp_path, damage):
    (tmp_path / "bundle.json").write_text(damage)
    with pytest.raises(BundleError):
        Bundle.load(tmp_path)


def test_missing_bundle_is_refused(tmp_path):
    with pytest.raises(BundleError):
        Bundle.load(tmp_path / "nothing")


def test_nothing_is_pickled(bundle_dir):
    files = [p for p in bundle_dir.rglob("*") if p.is_file()]
    assert {p.suffix for p in files} == {".json", ".npz"}
    for path in files:
        if path.suffix == ".json":
            json.loads(path.read_text(), parse_constant=pytest.fail)
        else:
            with np.load(path, allow_pickle=False) as arrays:
                assert all(arrays[k].dtype != object for k in arrays.files)


def test_groups_load_lazily_and_the_oldest_leaves(small, tmp_path):
    Bundle({f"g{i}": small for i in range(5)}).save(tmp_path / "b")
    bundle = replace(Bundle.load(tmp_path / "b"), keep=2)
    assert len(bundle._loaded) == 0
    first = bundle.model_set("g0")
    assert bundle.model_set("g0") is first
    bundle.model_set("g1")
    bundle.model_set("g2")
    assert list(bundle._loaded) == ["g1", "g2"]
    assert bundle.model_set("g0") is not first


def test_describe_lists_all_three_models_and_loads_nothing(small, tmp_path):
    Bundle({"a": small}).save(tmp_path / "b")
    bundle = Bundle.load(tmp_path / "b")
    described = bundle.describe()["groups"]["a"]
    assert list(described) == list(MODEL_NAMES)
    assert [described[n]["is_trained"] for n in MODEL_NAMES] == [False, True, False]
    assert described["one_class_svm"]["feature_names"] == ["rms"]
    assert len(bundle._loaded) == 0


@pytest.mark.slow
def test_two_groups_with_scales_a_thousand_times_apart_keep_their_rate():
    """The same plant in other units: the same scores, and the rate that was promised."""
    plant = simulate(assets=4, readings=2880 + 5000, seed=1, machines=("PUMP",))
    names, times = plant.feature_names, plant.timestamps[2880:]
    options = FitOptions(models=("isolation_forest", "one_class_svm"))
    scales = {"a": 1.0, "b": 1000.0}
    data = {
        f"group_{sensor}": GroupData([scale * v[:2880] for v in plant.values], None, names)
        for sensor, scale in scales.items()
    }
    rules = [Rule(f"group_{sensor}", sensor_id=sensor) for sensor in scales]
    bundle, reports = fit_bundle(data, rules, options)
    assert set(reports) == set(data)
    scores = {}
    for sensor, scale in scales.items():
        model_set = bundle.model_set(bundle.group_for("X", sensor, None))
        runs = [
            run_series(model_set, times, scale * v[2880:], names, criticality="critical")
            for v in plant.values
        ]
        scores[sensor] = np.concatenate([run.score for run in runs])
        # 200 alarms expected of 20,000 readings; in clusters, so their spread is about 15 %
        assert 0.5e-2 < (scores[sensor] >= 0.3).mean() < 2e-2
    np.testing.assert_allclose(scores["b"], scores["a"], atol=1e-6)
    other = bundle.model_set("group_b")
    found = run_series(other, times[:200], plant.values[0][2880:3080], names)
    assert found.alarms(0.3).mean() > 0.9, "the other group's units are no normal readings here"


@pytest.mark.slow
def test_hundreds_of_small_groups_take_bounded_memory(small, tmp_path):
    """A group's folder is copied three hundred times: only ``keep`` of them are in memory."""
    folder = tmp_path / "b"
    Bundle({"g0": small}).save(folder)
    content = json.loads((folder / "bundle.json").read_text())
    (entry,) = content["groups"].values()
    source = folder / "groups" / entry["folder"]
    for i in range(1, 300):
        shutil.copytree(source, folder / "groups" / f"{i:04d}")
        content["groups"][f"g{i}"] = {**entry, "folder": f"{i:04d}"}
    content["rules"] = [asdict(Rule(f"g{i}", asset_id=f"A{i}")) for i in range(300)]
    (folder / "bundle.json").write_text(json.dumps(content))
    bundle = Bundle.load(folder)
    assert len(bundle.groups) == 300
    assert bundle.keep < 300
    tracemalloc.start()
    try:
        used = []
        for i in range(300):
            assert bundle.model_set(bundle.group_for(f"A{i}", None, None)).group == f"g{i}"
            assert len(bundle._loaded) == min(i + 1, bundle.keep)
            used.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    full = used[bundle.keep - 1]
    assert used[-1] < 1.05 * full, "what left is still held"
    assert next(iter(bundle._loaded)) == f"g{300 - bundle.keep}"


def test_a_bundle_without_groups_is_refused_as_what_it_is(small, tmp_path):
    with pytest.raises(BundleError, match="holds no group"):
        Bundle({})
    Bundle({"a": small}).save(tmp_path / "b")
    content = json.loads((tmp_path / "b" / "bundle.json").read_text())
    (tmp_path / "b" / "bundle.json").write_text(json.dumps({**content, "groups": {}}))
    with pytest.raises(BundleError, match=r"b: the bundle holds no group") as caught:
        Bundle.load(tmp_path / "b")
    assert "rules" not in caught.value.message
