"""Fitting: decisions from the data, honest refusals, per-stream baselines."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from errors import TrainingError
from models.bundles.bundle import Bundle
from models.feature_drift import SCORE, compare, recent_columns
from models.fitting.calibration.cross_validation import make_folds, training_parts
from models.fitting.model_set_fit import fit_model_set
from models.fitting.options import FitOptions
from models.fitting.reading_times import median_interval
from models.scoring.ensemble import score
from models.scoring.stream_work import Reading, StreamWork
from tests.fixtures.bundle import QUICK, points

pytestmark = pytest.mark.slow  # fits models

SVM = FitOptions(models=("one_class_svm",), folds=3)


def normal(n=300, d=3, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


def test_too_few_rows_are_refused():
    with pytest.raises(TrainingError, match="12 readings are too few"):
        fit_model_set([normal(12)], None, list("abc"), SVM)


def test_too_few_rows_in_a_row_for_the_window_go_without_its_detector():
    options = FitOptions(models=("one_class_svm", "lstm_autoencoder"))
    model_set, report = fit_model_set([normal(62)], None, list("abc"), options)
    assert model_set.names == ("one_class_svm",)
    assert model_set.options["models"] == ["one_class_svm"]
    note, too_little = report.notes
    assert "too few to promise the budget" in too_little
    assert "needs 30 consecutive readings" in note
    assert "leave 25 of 62: fitted without it" in note
    assert "--window 25" in note
    window = replace(options, window=25, lstm_autoencoder={"hidden": 4, "epochs": 1})
    assert len(fit_model_set([normal(62)], None, list("abc"), window)[0].names) == 2


@pytest.mark.parametrize(("rows", "few"), [(600, True), (4000, False)])
def test_readings_that_are_too_few_to_promise_the_budget_are_said_to_be(rows, few):
    """A sample with less than one independent reading beyond it does not show one in 1,000."""
    _, report = fit_model_set([normal(rows, 1)], None, ["a"], SVM)
    said = [note for note in report.notes if "too few to promise the budget" in note]
    assert len(said) == few
    assert all("600 readings" in note and "one false alarm in 1,000" in note for note in said)


def test_too_few_rows_in_a_row_for_the_only_detector_are_refused_before_anything_is_fitted():
    steps = []
    options = FitOptions(models=("lstm_autoencoder",))
    with pytest.raises(TrainingError, match=r"too few readings.* needs 30 .* leave 25 of 62"):
        fit_model_set([normal(62)], None, list("abc"), options, lambda *step: steps.append(step))
    assert not steps


def test_a_fleet_of_streams_shorter_than_the_window_is_fitted():
    runs = [normal(20, seed=i) for i in range(300)]
    options = FitOptions(folds=2, isolation_forest={"n_trees": 10}, one_class_svm={"max_rows": 100})
    model_set, report = fit_model_set(runs, None, list("abc"), options)
    assert model_set.names == ("isolation_forest", "one_class_svm")
    assert "leave 20 of 6000" in report.notes[-1]


def test_constant_feature_is_dropped_noted_and_not_needed():
    values = np.column_stack([normal(d=2), np.full(300, 5.0)])
    model_set, report = fit_model_set([values], None, list("abc"), SVM)
    assert model_set.feature_names == ("a", "b")
    assert report.notes[0] == "c: constant (5), any other value is rare"
    assert model_set.preprocessing.ignored == ("c",)


def test_all_constant_is_refused_where_movement_is_not_to_be_watched():
    with pytest.raises(TrainingError, match="all 2 features are constant"):
        fit_model_set([np.ones((100, 2))], None, ["a", "b"], replace(SVM, watch_still=False))


def test_fits_side_by_side_come_to_the_same(tmp_path):
    values, times = [normal(n=90, d=2, seed=s) for s in range(2)], None
    found = []
    for threads in (1, 3):
        model_set, _ = fit_model_set(values, times, ["a", "b"], QUICK, threads=threads)
        found.append(Bundle({"default": model_set}).save(tmp_path / str(threads)))
    assert found[0] == found[1]


def test_scores_of_fresh_normal_readings_have_the_distribution_that_is_kept():
    model_set, _ = fit_model_set([normal(1500)], None, list("abc"), SVM)
    found = {}
    for name, shift in (("normal", 0.0), ("moved", 3.0)):
        fresh = [
            Reading(datetime.fromtimestamp(60 * i, UTC), dict(zip("abc", row, strict=True)))
            for i, row in enumerate((normal(1500, seed=1) + shift).tolist())
        ]
        work = StreamWork("A", None, None, "medium", None, [], fresh)
        results = score(model_set, [work])[0].results
        rows = [
            (
                r["features"],
                {"final_score": r["final_score"], "one_class_svm": r["scores"][0]["score"]},
            )
            for r in results
        ]
        found[name] = compare(model_set.profile, recent_columns(rows))
    for name in (SCORE + "final_score", SCORE + "one_class_svm"):
        assert found["normal"][name]["state"] == "stable"
        assert found["moved"][name]["state"] == "shifted"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"models": ("magic",)}, "magic"),
        ({"drift": "maybe"}, "drift"),
        ({"missing": "guess"}, "missing"),
        ({"folds": 1}, "folds"),
        ({"one_class_svm": {"nu": 7}}, "nu"),
        ({"one_class_svm": {"colour": 1}}, "one_class_svm"),
    ],
)
def test_wrong_options_are_refused_by_name(given, message):
    with pytest.raises(TrainingError, match=message):
        fit_model_set([normal()], None, list("abc"), FitOptions(**{"models": SVM.models, **given}))


def test_folds_hold_out_every_reading_exactly_once():
    lengths = [100, 37, 5]
    for by_stream in (False, True):
        folds = make_folds(lengths, 4, by_stream)
        seen = [np.zeros(n, int) for n in lengths]
        for held in folds:
            for part in held:
                seen[part.stream][part.start : part.end] += 1
            kept = sum(p.end - p.start for p in training_parts(lengths, held))
            assert kept + sum(p.end - p.start for p in held) == sum(lengths)
        assert all((s == 1).all() for s in seen)


def test_same_seed_same_model():
    a, b = (fit_model_set([normal()], None, list("abc"), SVM)[0] for _ in range(2))
    assert a.calibrations == b.calibrations


def test_fleet_of_short_runs_gets_baselines_and_they_help():
    rng = np.random.default_rng(0)
    runs = [rng.normal(size=(80, 3)) + rng.normal(0, 4, size=3) for _ in range(12)]
    model_set, report = fit_model_set(runs, None, list("abc"), SVM)
    assert (report.drift_mode, report.baseline) == ("fault", 20)
    assert model_set.adaptation.first_stretch == 1.0, "a run begins as new"
    fresh = rng.normal(size=(60, 3)) + np.array([6.0, -6.0, 6.0])
    fresh[50:, 0] += 8.0
    times = np.arange(60).astype("datetime64[h]")
    readings = _points(times, fresh, list("abc"))
    (out,) = score(model_set, [StreamWork("new", None, None, "medium", None, [], readings)])
    warm = [r["metadata"].get("warming_up", False) for r in out.results]
    assert warm == [True] * 20 + [False] * 40
    alarms = [r["is_anomaly"] for r in out.results]
    assert sum(alarms[20:50]) <= 1
    assert all(alarms[50:])
    why = out.results[50]["metadata"]["explanation"]["features"][0]
    assert why["feature"] == "a"
    assert why["expected"] == pytest.approx(6.0, abs=1.0)


def test_baseline_survives_the_cut():
    rng = np.random.default_rng(1)
    runs = [rng.normal(size=(80, 2)) + rng.normal(0, 4, size=2) for _ in range(12)]
    model_set, _ = fit_model_set(runs, None, ["a", "b"], SVM)
    times = np.arange(40).astype("datetime64[h]")
    readings = _points(times, rng.normal(size=(40, 2)) + 5.0, ["a", "b"])
    (whole,) = score(model_set, [StreamWork("x", None, None, "medium", None, [], readings)])
    state, cut = None, []
    for point in readings:
        (out,) = score(model_set, [StreamWork("x", None, None, "medium", state, [], [point])])
        state = out.state
        cut += out.results
    np.testing.assert_allclose(
        [r["final_score"] for r in cut], [r["final_score"] for r in whole.results], atol=1e-6
    )


def test_long_streams_are_taken_as_drifting_normally(plant):
    cut = plant.cut(0, 600)
    options = FitOptions(models=SVM.models, folds=2)
    model_set, report = fit_model_set(cut.values, cut.times(), cut.feature_names, options)
    assert (report.drift_mode, report.baseline) == ("normal", 0)
    assert model_set.preprocessing.interval == 60.0
    assert (model_set.preprocessing.scale >= model_set.preprocessing.spread).all()


def test_a_new_stream_begins_where_the_training_streams_ended():
    """A ramp has gone furthest at the end of training, and goes on from there."""
    ramp = np.linspace(0.0, 4.0, 340)[:, None]
    signs = np.random.default_rng(1).choice((-1.0, 1.0), (6, 3))
    streams = [normal(340, 3, k) + ramp * sign for k, sign in enumerate(signs)]
    options = replace(SVM, adaptation=0.005)
    model_set, report = fit_model_set(streams, None, list("abc"), options)
    begun = model_set.adaptation
    assert begun.first_stretch > 1.1
    assert report.figures["ensemble"]["first_stretch"] == begun.first_stretch


def test_progress_is_told(plant):
    stages = []
    cut = plant.cut(0, 200)
    fit_model_set(
        cut.values, None, cut.feature_names, QUICK, lambda *given: stages.append(given[0])
    )
    assert stages[0] == "calibration"
    assert "lstm_autoencoder" in stages


def test_normal_readings_of_the_plant_alarm_rarely(bundle, plant):
    model_set = bundle.model_set("default")
    alarms = [
        r["is_anomaly"]
        for i in range(3)
        for r in score(
            model_set,
            [StreamWork("A", None, None, "medium", None, [], points(plant, i, 0, 600))],
        )[0].results
    ]
    assert np.mean(alarms) < 0.005


def test_interval_is_the_median_step():
    times = np.array([0, 60, 120, 9000], "datetime64[s]")
    assert median_interval([times]) == 60.0
    assert median_interval(None) is None


def _points(times, values, names):
    from benchmarks.scored import as_points

    return as_points(times, values, names)


@pytest.mark.parametrize(
    ("apart", "lowest", "highest", "noted"),
    [
        (0.0, 1.0, 1.15, "raised by that much to allow for new"),
        (1.0, 1.6, 9.0, "raised by 50% to allow for new streams, which may still exceed"),
    ],
)
def test_the_tail_is_as_wide_as_streams_that_were_held_out_show(apart, lowest, highest, noted):
    """Within reason: streams of another kind take no faults from those fitted on."""
    rng = np.random.default_rng(5)
    streams = [normal(400, 3, seed) + rng.normal(0, apart, 3) for seed in range(8)]
    report = fit_model_set(streams, None, list("abc"), SVM)[1]
    assert lowest <= report.figures["ensemble"]["unmet_ratio"] <= highest
    assert any(noted in note for note in report.notes)
    still = fit_model_set(streams, None, list("abc"), replace(SVM, adaptation=0.0))[1]
    assert lowest <= still.figures["ensemble"]["unmet_ratio"] <= highest
    few = fit_model_set(streams[:4], None, list("abc"), replace(SVM, adaptation=0.0))[1]
    assert few.figures["ensemble"]["unmet_ratio"] == 1.0
    assert not any("left out of the fit" in note for note in few.notes)
