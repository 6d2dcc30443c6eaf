"""From items to streams and back, and scoring that does not depend on the company."""

from __future__ import annotations

import asyncio
import copy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from errors import AnomalyError, InputError, Unavailable
from models.bundles.bundle import Bundle
from models.bundles.rules import Rule
from models.detectors.base import Array
from models.fitting.model_set_fit import fit_model_set
from models.fitting.options import FitOptions
from models.scoring.ensemble import DetectorCall, StreamOutcome, score
from models.scoring.model_set import ModelSet
from models.scoring.policy import ScoringPolicy
from models.scoring.stream_work import Reading, StreamWork
from serving.detection.planning import (
    StoredContext,
    StoredStream,
    group_by_stream,
    reassemble,
    set_times,
)
from serving.detection.runners import (
    BundleCache,
    DetectorRunner,
    LocalRunners,
    RemoteRunners,
    pack,
    unpack,
)
from serving.detection.scoring_engine import Job, ScoringEngine
from serving.requests.detect import Item
from tests.fixtures.bundle import points
from training.simulate import Plant

T0 = datetime(2026, 1, 1, tzinfo=UTC)


def item(asset: str, minute: int | None, **more: Any) -> Item:
    given: dict[str, Any] = {
        "sensor_id": None,
        "features": {"rms": float(minute or 0)},
        "timestamp": None if minute is None else T0 + timedelta(minutes=minute),
        "criticality": None,
        "history": None,
        "metadata": {},
    }
    return Item(asset, **{**given, **more})


def minutes(planned: Any) -> list[float]:
    return [point.features["rms"] for point in planned.work.readings]


def test_items_of_a_stream_become_one_work_in_time_order() -> None:
    items: list[Any] = [item("A", 2), item("B", 5), InputError("bad"), item("A", 1)]
    a, b = group_by_stream(items, StoredContext())
    assert (minutes(a), a.items) == ([1.0, 2.0], [3, 0])
    assert (minutes(b), b.items) == ([5.0], [1])


def test_own_history_beats_the_batch_which_goes_behind_what_is_stored() -> None:
    stored = StoredStream({"bundle": "1"}, [Reading(T0, {"rms": -1.0})])
    items: list[Any] = [item("A", 1), item("A", 2, history=[{"rms": 9.0}]), item("A", 3)]
    alone, chain = group_by_stream(items, StoredContext({("A", "", ""): stored}))
    assert [p.features for p in alone.work.window] == [{"rms": 9.0}]
    assert alone.work.state is None  # whatever its siblings had looked up
    assert (minutes(alone), alone.items) == ([2.0], [1])
    assert chain.work.window == stored.window
    assert chain.work.state == stored.state
    # the item with its own history is history to those after it
    assert (minutes(chain), chain.items) == ([1.0, 2.0, 3.0], [0, None, 2])


def test_two_criticalities_of_one_stream_are_scored_once() -> None:
    items: list[Any] = [item("A", 1), item("A", 2, criticality="high"), item("A", 3)]
    (chain,) = group_by_stream(items, StoredContext(criticality={"A": "medium"}))
    assert (minutes(chain), chain.items) == ([1.0, 2.0, 3.0], [0, 1, 2])
    assert chain.work.criticality == ["medium", "high", "medium"]


def test_each_reading_has_its_own_threshold_and_the_scores_are_those_of_one(
    model_set: ModelSet, plant: Plant
) -> None:
    readings = points(plant, 0, 0, 40)
    each = ["critical", "low"] * 20

    def scored(criticality: Any) -> list[dict[str, Any]]:
        work = StreamWork("A", None, None, criticality, None, (), readings)
        return score(model_set, [work])[0].results

    mixed, same = scored(each), scored("medium")
    assert [r["final_score"] for r in mixed] == [r["final_score"] for r in same]
    assert [r["threshold"] for r in mixed] == [0.3, 0.7] * 20
    assert [r["metadata"]["asset_criticality"] for r in mixed] == each
    assert all(r["is_anomaly"] == (r["final_score"] >= r["threshold"]) for r in mixed)


def test_items_without_a_time_get_the_present_in_their_order() -> None:
    items: list[Any] = [item("A", None), item("A", None)]
    set_times(items, T0)
    assert [i.timestamp for i in items] == [T0, T0 + timedelta(microseconds=1)]


def test_results_go_back_to_their_items_with_the_callers_metadata() -> None:
    items: list[Any] = [
        item("A", 2, metadata={"mine": 1, "group": 2}),
        InputError("bad", code="c"),
        item("A", 1),
    ]
    planned = group_by_stream(items, StoredContext())

    results = [{"n": n, "metadata": {"group": "g"}} for n in (1, 2)]
    answers = reassemble(items, planned, [StreamOutcome(results, dict, 0)])
    assert [a.get("n") for a in answers] == [2, None, 1]
    assert answers[1]["error"]["code"] == "c"
    assert answers[0]["metadata"] == {"group": "g", "mine": 1, "caller": {"group": 2}}


def works(plant: Plant) -> list[StreamWork]:
    return [
        StreamWork(f"A{asset}", None, None, "medium", None, (), points(plant, asset, 0, number))
        for asset, number in ((0, 1), (1, 25), (2, 40))
    ]


def finals(outcomes: Any) -> list[list[float]]:
    return [[r["final_score"] for r in outcome.results] for outcome in outcomes]


@pytest.mark.parametrize("inline", [0, 1000])
def test_scores_do_not_depend_on_the_company(bundle: Bundle, plant: Plant, inline: int) -> None:
    expected = [
        score(bundle.model_set("default"), [work], ScoringPolicy())[0] for work in works(plant)
    ]
    engine = ScoringEngine(LocalRunners(), ScoringPolicy(), max_batch=30, inline=inline)

    async def scenario() -> Any:
        return await asyncio.gather(*(engine.score(bundle, works(plant)) for _ in range(5)))

    for outcomes in asyncio.run(scenario()):
        for found, wanted in zip(finals(outcomes), finals(expected), strict=True):
            assert found == pytest.approx(wanted, abs=1e-6)
    engine.close()


def test_missing_feature_is_imputed_and_marked_through_the_engine(
    bundle: Bundle, plant: Plant
) -> None:
    model_set = copy.copy(bundle.model_set("default"))
    model_set.preprocessing = replace(model_set.preprocessing, missing="impute", max_imputed=1)
    lenient = Bundle({"default": model_set})
    items: list[Any] = [
        item("PUMP_001", minute, features=dict(point.features))
        for minute, point in enumerate(points(plant, 0, 0, 3))
    ]
    del items[1].features["flow"]
    del items[2].features["flow"], items[2].features["pressure"]
    planned = group_by_stream(items, StoredContext())
    engine = ScoringEngine(LocalRunners(), ScoringPolicy())
    outcomes = asyncio.run(engine.score(lenient, [part.work for part in planned]))
    engine.close()
    whole, imputed, refused = reassemble(items, planned, outcomes)
    assert "imputed" not in whole["metadata"]
    assert imputed["metadata"]["imputed"] == ["flow"]
    assert 0.0 <= imputed["final_score"] < 0.5
    assert refused["error"]["code"] == "missing_features"


@pytest.mark.slow
def test_a_mixed_batch_is_split_by_group_and_answered_in_order(
    bundle: Bundle, plant: Plant
) -> None:
    """Two groups of the same features, 1,000 times apart, and a stream that is in neither."""
    options = FitOptions(models=("one_class_svm",), folds=2)
    large, _ = fit_model_set(
        [1000.0 * v[:600] for v in plant.values], None, plant.feature_names, options
    )
    rules = [Rule("small", asset_id="PUMP_*"), Rule("large", asset_id="MILL_*")]
    both = Bundle({"small": copy.copy(bundle.model_set("default")), "large": large}, rules)
    items: list[Any] = []
    for minute, point in enumerate(points(plant, 0, 0, 6)):
        thousandfold = {name: 1000.0 * value for name, value in point.features.items()}
        items.append(item("MILL_001", minute, features=thousandfold))
        items.append(item("PUMP_001", minute, features=dict(point.features)))
    items.insert(5, item("FAN_001", 0, features=dict(points(plant, 0, 0, 1)[0].features)))
    planned = group_by_stream(items, StoredContext())
    engine = ScoringEngine(LocalRunners(), ScoringPolicy())
    outcomes = asyncio.run(engine.score(both, [part.work for part in planned]))
    engine.close()
    answers = reassemble(items, planned, outcomes)
    assert answers.pop(5)["error"]["code"] == "no_group"
    del items[5]
    for asked, answer in zip(items, answers, strict=True):
        assert answer["asset_id"] == asked.asset_id
        assert answer["features"] == asked.features
        assert answer["metadata"]["group"] == ("large" if asked.asset_id == "MILL_001" else "small")
        assert answer["final_score"] < 0.5, "in its own group's units it is normal"


def test_a_request_that_breaks_scoring_takes_no_other_down(bundle: Bundle, plant: Plant) -> None:
    engine = ScoringEngine(LocalRunners(), ScoringPolicy())
    broken = StreamWork("A", None, None, "medium", None, (), [None])  # type: ignore[list-item]
    good, bad = engine.score_jobs([Job(bundle, works(plant)), Job(bundle, [broken])])
    assert isinstance(bad, Exception)
    assert not isinstance(good, BaseException)
    assert len(good) == 3
    engine.close()


def calls(bundle: Bundle, number: int) -> list[DetectorCall]:
    width = len(bundle.model_set("default").feature_names)
    rows = np.random.default_rng(number).normal(size=(number, width))
    return [DetectorCall("isolation_forest", "score", rows)]


@pytest.mark.parametrize("text", [False, True])
def test_a_runner_stacks_what_is_alike_and_answers_in_order(bundle: Bundle, text: bool) -> None:
    assert bundle.folder is not None
    runner = DetectorRunner("isolation_forest", BundleCache(bundle.folder.parent))
    asked = [
        {
            "bundle": bundle.folder.name,
            "group": "default",
            "method": method,
            "x": pack(calls(bundle, n)[0].x, text),
            "text": text,
        }
        for n, method in ((1, "score"), (5, "explain"), (3, "score"))
    ]
    asked.insert(
        1, {"bundle": "../../etc", "group": "default", "method": "score", "x": asked[0]["x"]}
    )
    asked.insert(2, {"nonsense": 1})
    answers = runner.answer(asked)
    model = bundle.model_set("default").detectors["isolation_forest"]
    assert unpack(answers[0]["y"]) == pytest.approx(model.score(calls(bundle, 1)[0].x))
    assert "error" in answers[1]
    assert answers[2]["error"]["code"] == "bad_call"
    assert unpack(answers[3]["y"]).shape == (5, len(bundle.model_set("default").feature_names))
    assert unpack(answers[4]["y"]) == pytest.approx(model.score(calls(bundle, 3)[0].x))


class Failing:
    """A detector that cannot score what it is given."""

    def score(self, x: Array) -> Array:
        raise ZeroDivisionError("a secret of the code")


def test_a_detector_that_fails_is_500_and_a_bundle_that_is_not_there_yet_503(
    bundle: Bundle, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert bundle.folder is not None
    held = BundleCache(bundle.folder.parent)
    runner = DetectorRunner("isolation_forest", held)
    damaged = Bundle.load(bundle.folder)
    damaged.model_set("default").detectors["isolation_forest"] = Failing()  # type: ignore[assignment]
    held._loaded[bundle.folder.name] = damaged
    elsewhere = DetectorRunner("isolation_forest", BundleCache(tmp_path))

    async def ask(where: DetectorRunner) -> AnomalyError:
        async def score(calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
            return where.answer(calls)

        runners = RemoteRunners({"isolation_forest": score}, asyncio.get_running_loop())
        with pytest.raises(AnomalyError) as refused:
            await asyncio.to_thread(runners.call, bundle, "default", calls(bundle, 4))
        return refused.value

    failed = asyncio.run(ask(runner))
    assert (failed.status, failed.retriable, failed.code) == (500, False, "runner_failed")
    assert "secret" not in failed.message
    assert "ZeroDivisionError: a secret of the code" in caplog.text
    missing = asyncio.run(ask(elsewhere))
    assert (missing.status, missing.retriable) == (503, True)


def test_a_dropped_connection_is_tried_again_and_a_dead_runner_is_503(bundle: Bundle) -> None:
    failures = [ConnectionResetError("closed"), ConnectionResetError("closed")]

    async def flaky(asked: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if failures:
            raise failures.pop()
        return [{"y": np.zeros(len(call["x"]))} for call in asked]

    async def dead(_: list[dict[str, Any]]) -> list[dict[str, Any]]:
        raise ConnectionRefusedError

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        runners = RemoteRunners({"isolation_forest": flaky}, loop)
        (found,) = await asyncio.to_thread(runners.call, bundle, "default", calls(bundle, 4))
        assert found.tolist() == [0.0] * 4
        runners = RemoteRunners({"isolation_forest": dead}, loop)
        with pytest.raises(Unavailable) as refused:
            await asyncio.to_thread(runners.call, bundle, "default", calls(bundle, 4))
        assert refused.value.status == 503

    asyncio.run(scenario())
