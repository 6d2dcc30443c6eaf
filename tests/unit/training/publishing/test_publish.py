"""Where a trained bundle goes: champion or challenger, its notes, what it is judged on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from datasets import Stream
from models.bundles.bundle import Bundle
from models.fitting.options import FitOptions
from models.registry.base import CHALLENGER, CHAMPION, Registry
from models.registry.promotion import VERDICT_TAG, Champion, load_champion
from models.scoring.policy import ScoringPolicy
from tests.fixtures.training import settings_for
from training.cli.common import registry_of
from training.cli.progress import ProgressDisplay
from training.data.preparation import Prepared
from training.data.sources import TrainingData
from training.evaluation.summary import Measures
from training.fitting.parallel_fit import Task
from training.publishing.mlflow_tracking import Trained
from training.publishing.publish import (
    JobLostError,
    Publication,
    example_frames,
    held_out,
    held_out_tag,
)
from training.simulate import Plant


def stream(asset: str, values: np.ndarray) -> Stream:
    return Stream(asset, None, np.arange(len(values)).astype("datetime64[s]"), values)


def task(name: str, features: list[str], streams: list[Stream], cut: list[int]) -> Task:
    return Task(name, Prepared(features, streams, cut), FitOptions(), ScoringPolicy())


@pytest.fixture
def data(plant: Plant) -> TrainingData:
    """Two pumps, of whose 900 readings the last 300 are held out."""
    streams = [
        Stream(asset, "S1", plant.timestamps, values)
        for asset, values in zip(plant.asset_ids[:2], plant.values[:2], strict=True)
    ]
    return TrainingData(plant.feature_names, streams, "two pumps")


@pytest.fixture
def publication(tmp_path: Path, bundle_dir: Path, data: TrainingData) -> Publication:
    settings = settings_for(tmp_path / "var", mlflow=False)
    tasks = [task("default", data.feature_names, list(data.streams), [600, 600])]
    bundle = Bundle.load(bundle_dir)
    trained = Trained(bundle, bundle_dir, tasks, [], {}, {}, data, {"data": "two pumps"})
    display = ProgressDisplay(Console(quiet=True), quiet=True)
    return Publication(trained, registry_of(settings), settings, display, Champion())


def aliases(registry: Registry) -> dict[str, str | None]:
    return {name: registry.alias(name) for name in (CHAMPION, CHALLENGER)}


def second(publication: Publication, **changes: Any) -> tuple[Publication, str]:
    """The same bundle published once more, beside a champion."""
    registry = publication.registry
    registry.set_alias(CHAMPION, registry.register(publication.trained.folder))
    champion = load_champion(registry, publication.cache)
    again = replace(publication, champion=champion, **changes)
    return again, registry.register(publication.trained.folder, tags={"groups": "1"})


def test_the_first_bundle_is_champion_at_once(publication: Publication) -> None:
    registry = publication.registry
    version = registry.register(publication.trained.folder)
    assert publication._alias(version) == (CHAMPION, "the first bundle: champion at once", None)
    assert aliases(registry) == {CHAMPION: version, CHALLENGER: None}


def test_the_first_bundle_is_champion_even_if_it_should_not_be_promoted(
    publication: Publication,
) -> None:
    """Without it the service would have none; the message and the help say so."""
    again = replace(publication, mode="false")
    version = again.registry.register(again.trained.folder)
    message = "the first bundle: champion at once, though it was not to be promoted"
    assert again._alias(version) == (CHAMPION, message, None)
    assert aliases(again.registry) == {CHAMPION: version, CHALLENGER: None}


@pytest.mark.parametrize(
    ("mode", "alias", "message"),
    [
        ("true", CHAMPION, "promoted on request, replacing version 1"),
        ("false", CHALLENGER, "kept as challenger on request; "),
    ],
)
def test_on_request_nothing_is_compared(
    publication: Publication, mode: str, alias: str, message: str
) -> None:
    again, version = second(publication, mode=mode)
    found = again._alias(version)
    assert (found[0], found[2]) == (alias, None)
    assert found[1].startswith(message)
    assert aliases(again.registry)[alias] == version
    (about,) = (v for v in again.registry.versions() if v["version"] == version)
    assert "on request" in about["tags"][VERDICT_TAG]


def test_groups_carried_over_from_a_champion_of_before_keep_it_a_challenger(
    publication: Publication,
) -> None:
    again, version = second(publication, trained=replace(publication.trained, carried=True))
    moved = replace(again, champion=Champion("0"))
    alias, message, _ = moved._alias(version)
    assert alias == CHALLENGER
    assert "its other groups are those of the champion before version 1" in message


def test_a_champion_that_cannot_be_loaded_is_not_replaced_unseen(publication: Publication) -> None:
    again, version = second(publication)
    again.champion = Champion("1", problem="damaged")
    alias, message, found = again._alias(version)
    assert (alias, found) == (CHALLENGER, None)
    assert "not comparable with the champion, version 1: the champion cannot be loaded" in message


def test_the_same_bundle_is_not_worse_on_what_was_held_out(publication: Publication) -> None:
    """The whole comparison, through the code that scores; groups carried over from it are its."""
    again, version = second(publication, trained=replace(publication.trained, carried=True))
    alias, message, found = again._alias(version)
    assert found is not None
    assert found.comparable
    assert found.champion.alarms == found.challenger.alarms
    assert found.champion.alarms["readings"] == 2 * 300
    assert alias == CHAMPION
    assert message.startswith("promoted, replacing version 1: ")


def test_the_verdict_counts_for_the_champion_that_there_is_when_it_is_given(
    publication: Publication, monkeypatch: pytest.MonkeyPatch
) -> None:
    again, version = second(publication, mode="true")
    other = again.registry.register(publication.trained.folder)
    verdict = Publication._verdict

    def given(self: Publication, champion: Champion) -> Any:
        self.registry.set_alias(CHAMPION, other)  # by somebody else, meanwhile
        return verdict(self, champion)

    monkeypatch.setattr(Publication, "_verdict", given)
    _, message, _ = again._alias(version)
    assert message == f"promoted on request, replacing version {other}, promoted meanwhile"


def test_a_lost_job_moves_no_alias(publication: Publication) -> None:
    def lost() -> None:
        raise JobLostError("the job is no longer ours")

    again, version = second(publication, mode="true", confirm=lost)
    with pytest.raises(JobLostError):
        again._alias(version)
    assert aliases(again.registry) == {CHAMPION: "1", CHALLENGER: None}


def test_what_is_held_out_has_the_columns_of_all_groups() -> None:
    a = stream("A", np.arange(8.0).reshape(4, 2))
    b = stream("B", np.arange(3.0)[:, None])
    all_seen = stream("C", np.arange(2.0)[:, None])
    tasks = [task("a", ["x", "y"], [a], [3]), task("b", ["z"], [b, all_seen], [1, 2])]
    whole = TrainingData(["z", "x", "y"], [a, b, all_seen], "a file", single=[None] * 3)
    found, skip = held_out(tasks, whole)
    assert found.feature_names == ["x", "y", "z"]
    assert [s.asset_id for s in found.streams] == ["A", "B"]  # of C nothing is held out
    assert skip == [3, 1]
    np.testing.assert_array_equal(found.streams[0].values[:, :2], a.values)
    assert np.isnan(found.streams[0].values[:, 2]).all()
    np.testing.assert_array_equal(found.streams[1].values[:, 2], b.values[:, 0])
    assert [len(s.timestamps) for s in held_out(tasks, whole, whole=True)[0].streams] == [4, 3, 2]
    assert held_out(tasks, whole, whole=True)[1] == [0, 0, 0]


def test_the_tag_of_held_out_figures_stays_short_enough_for_a_tag() -> None:
    alarms = {"rate": 0.00123456, "low": 0.001, "high": float("nan"), "readings": 5000}
    measured = {f"group {k:03}": Measures(alarms, [], {"medium": 0.5}) for k in range(200)}
    text = held_out_tag(measured)
    kept = json.loads(text)
    assert len(text) <= 4500
    assert list(kept)[:2] == ["group 000", "group 001"]
    assert 10 < len(kept) < 200
    assert kept["group 000"] == {
        "alarm_rate": 0.001235, "alarm_rate_low": 0.001, "held_out_readings": 5000.0,
        "false_events_per_month.medium": 0.5,
    }  # fmt: skip


def test_the_example_is_a_few_readings_and_what_the_bundle_answers(
    bundle: Bundle, data: TrainingData
) -> None:
    frame, answer = example_frames(bundle, data, ScoringPolicy())
    assert list(frame.columns) == ["asset_id", "sensor_id", "timestamp", *data.feature_names]
    assert len(frame) == len(answer) == 2 * 5
    assert frame["timestamp"][0] == "2026-01-01T00:00:00.000000+00:00"
    assert answer["final_score"].between(0, 1).all()
