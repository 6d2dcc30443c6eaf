"""What every detector promises, checked on each of them."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from models.detectors.base import Detector
from tests.unit.detector_makers import FEATURES, MAKERS, STREAMS, UNBOUNDED, WINDOW, material

pytestmark = pytest.mark.slow  # fits models


@pytest.fixture(scope="module", params=MAKERS)
def detector(request: pytest.FixtureRequest) -> Detector:
    return MAKERS[request.param]().fit(STREAMS)


def state(detector: Detector) -> dict[str, bytes]:
    """Every array the detector holds, by the path to it."""
    found: dict[str, bytes] = {}

    def visit(path: str, value: object) -> None:
        if isinstance(value, np.ndarray):
            found[path] = value.tobytes()
        elif isinstance(value, dict):
            for key, part in value.items():
                visit(f"{path}.{key}", part)
        elif hasattr(value, "__dict__"):
            visit(path, vars(value))
        else:
            found[path] = repr(value).encode()

    visit("", vars(detector))
    return found


def test_scores_and_shares_have_the_promised_shape(detector: Detector) -> None:
    x = material(detector)
    score, share = detector.score(x), detector.explain(x)
    assert score.shape == (200,)
    assert score.dtype == np.float64
    assert share.shape == (200, FEATURES)
    assert (share >= 0).all()
    np.testing.assert_allclose(share.sum(axis=1), 1.0, rtol=1e-12)


def test_a_fault_scores_higher_and_is_blamed_on_its_sensor(detector: Detector) -> None:
    x = material(detector)
    score, share = detector.score(x), detector.explain(x)
    faulty = np.arange(200) % 4 == 0
    assert np.median(score[faulty]) > np.quantile(score[~faulty], 0.95)
    assert (share[faulty].argmax(axis=1) == 2).mean() > 0.9


def test_nothing_to_score_gives_no_scores(detector: Detector) -> None:
    x = material(detector)[:0]
    assert detector.score(x).shape == (0,)
    assert detector.explain(x).shape == (0, FEATURES)


def test_input_is_not_modified(detector: Detector) -> None:
    x = material(detector)
    x.flat[0] = 1e200  # clipped inside, on a copy
    before = x.copy()
    detector.score(x)
    detector.explain(x)
    np.testing.assert_array_equal(x, before)


def test_read_only_and_float32_and_strided_input_is_taken(detector: Detector) -> None:
    x = material(detector).astype(np.float32)
    expected = detector.score(x.astype(np.float64))
    x.flags.writeable = False
    np.testing.assert_array_equal(detector.score(x), expected)
    backwards = np.ascontiguousarray(x[..., ::-1])[..., ::-1]
    np.testing.assert_array_equal(detector.score(backwards), expected)


def test_fitting_does_not_modify_its_input(detector: Detector) -> None:
    streams = [s.copy() for s in STREAMS]
    for stream in streams:
        stream.flags.writeable = False
    MAKERS[detector.name]().fit(streams)
    np.testing.assert_array_equal(streams[0], STREAMS[0])


def test_scoring_never_changes_the_detector(detector: Detector) -> None:
    before = state(detector)
    first = detector.score(material(detector))
    detector.score(material(detector, seed=400) * 100)
    detector.explain(material(detector, seed=400) * 100)
    assert state(detector) == before
    np.testing.assert_array_equal(detector.score(material(detector)), first)


def test_a_row_does_not_depend_on_its_batch_mates(detector: Detector) -> None:
    x = material(detector)
    together = detector.score(x)
    alone = np.concatenate([detector.score(x[i : i + 1]) for i in range(len(x))])
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_array_equal(detector.score(x[::-1])[::-1], together)


def test_same_seed_same_scores_other_seed_others(detector: Detector) -> None:
    x = material(detector)
    twin = MAKERS[detector.name]().fit(STREAMS)
    np.testing.assert_array_equal(twin.score(x), detector.score(x))
    other = type(detector)(**{**detector.params, "seed": 4}).fit(STREAMS)
    assert not np.array_equal(other.score(x), detector.score(x))


@pytest.mark.slow
def test_the_order_of_features_hardly_matters(detector: Detector) -> None:
    order = np.array([3, 0, 4, 2, 1])
    x = material(detector)
    other = MAKERS[detector.name]().fit([s[:, order] for s in STREAMS])
    score, permuted = detector.score(x), other.score(x[..., order])
    if detector.name == "one_class_svm":
        np.testing.assert_allclose(permuted, score, rtol=1e-3)  # libsvm's stopping tolerance
    else:  # weights and cuts are drawn by position, so only the ranking can agree
        assert spearmanr(score, permuted).statistic > 0.8
    blamed = order[other.explain(x[..., order]).argmax(axis=1)]
    assert (blamed[::4] == 2).mean() > 0.9


def test_saved_and_loaded_scores_are_equal_bit_by_bit(detector: Detector, tmp_path: Path) -> None:
    detector.save(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        f"{detector.name}.json",
        f"{detector.name}.npz",
    ]
    with np.load(tmp_path / f"{detector.name}.npz", allow_pickle=False) as file:
        assert all(file[key].dtype.kind in "fi" for key in file.files)
    loaded = type(detector).load(tmp_path)
    x = material(detector)
    np.testing.assert_array_equal(loaded.score(x), detector.score(x))
    np.testing.assert_array_equal(loaded.explain(x), detector.explain(x))
    assert loaded.params == detector.params
    assert state(loaded) == state(detector)


def test_params_rebuild_the_detector(detector: Detector) -> None:
    params = json.loads(json.dumps(detector.params))
    assert type(detector)(**params).params == detector.params


def test_constant_data_is_fitted_and_a_change_of_it_noticed(detector: Detector) -> None:
    fitted = MAKERS[detector.name]().fit([np.ones((200, 3))])
    x = np.ones((2, 3) if detector.window == 1 else (2, WINDOW, 3))
    x[1, ..., 1] = 9.0
    score = fitted.score(x)
    assert np.isfinite(score).all()
    if detector.name in UNBOUNDED:  # a forest cannot cut where there is nothing to cut
        assert score[1] > 2 * abs(score[0])


def test_one_feature_is_enough(detector: Detector) -> None:
    fitted = MAKERS[detector.name]().fit([s[:, :1] for s in STREAMS])
    x = material(detector)[..., 2:3]
    assert fitted.score(x).shape == (200,)
    np.testing.assert_array_equal(fitted.explain(x), np.ones((200, 1)))


def test_far_is_never_the_same_as_near(detector: Detector) -> None:
    x = np.repeat(material(detector)[1:2], 6, axis=0)
    far = np.array([0.0, 5.0, 10.0, 100.0, 1e6, 1e300])
    x[(slice(None), 4) if detector.window == 1 else (slice(None), -1, 4)] += far
    score = detector.score(x)
    assert np.isfinite(score).all()
    if detector.name not in UNBOUNDED:  # it says so, and the ensemble makes up for it
        assert (np.abs(score) <= 1).all()
        return
    assert (np.diff(score) > 0).all()
    assert (detector.explain(x)[2:].argmax(axis=1) == 4).all()


def test_extreme_input_gives_finite_scores(detector: Detector) -> None:
    x = np.concatenate([material(detector) * k for k in (0.0, 1e10, -1e100, 1e306)])
    assert np.isfinite(detector.score(x)).all()
    share = detector.explain(x)
    np.testing.assert_allclose(share.sum(axis=1), 1.0, rtol=1e-9)


def test_threads_get_the_scores_of_one(detector: Detector) -> None:
    batches = [material(detector, seed=1000 * i) for i in range(8)]
    expected = [detector.score(x) for x in batches]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            for got, wanted in zip(pool.map(detector.score, batches), expected, strict=True):
                np.testing.assert_array_equal(got, wanted)


def test_progress_is_told(detector: Detector) -> None:
    steps: list[tuple[str, int, int]] = []
    MAKERS[detector.name]().fit(
        STREAMS, progress=lambda stage, done, total, _figures: steps.append((stage, done, total))
    )
    assert steps
    assert all(stage == detector.name and 1 <= done <= total for stage, done, total in steps)
