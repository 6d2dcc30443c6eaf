"""``POST /train``: what is no part of it is refused, and what its jobs leave behind goes."""

from __future__ import annotations

import os
import time
from pathlib import Path

import orjson
import pytest

from errors import InputError
from models.bundles.atomic_files import cached, prune_folders
from serving import metrics
from serving.housekeeping import Housekeeping
from serving.requests.training_request import parse_training
from serving.training_queue import tidy

NOW = time.time()


def test_old_data_and_output_of_jobs_go_and_the_rest_stays(tmp_path) -> None:
    past = time.time() - 90 * 86_400 - 60
    for name in ("old.npz", "old.log", "old.txt", "new.npz", "new.log"):
        (tmp_path / name).touch()
        if name.startswith("old"):
            os.utime(tmp_path / name, (past, past))
    tidy(tmp_path, 0)
    assert len(list(tmp_path.iterdir())) == 5
    tidy(tmp_path, 90)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["new.log", "new.npz", "old.txt"]


def test_a_misspelt_field_is_refused_and_not_passed_over() -> None:
    with pytest.raises(InputError, match="promot: is not known") as refused:
        parse_training(orjson.dumps({"data": [[1.0]], "promot": False}))
    assert refused.value.entry()["field"] == "promot"
    assert (
        parse_training(orjson.dumps({"data": [[1.0]], "promote": False})).options["promote"]
        is False
    )


def used(folder: Path, hours_ago: float) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bundle.json").write_text("x" * 100)
    at = NOW - hours_ago * 3600
    os.utime(folder, (at, at))


def test_bundles_that_nobody_used_lately_go_and_the_champion_stays(tmp_path: Path) -> None:
    for number in range(8):
        used(tmp_path / "bundles" / f"{number}-abc", hours_ago=30 - number)
    for name, hours in ((".draft-new", 2), (".draft-old", 30), (".damaged-old", 30)):
        used(tmp_path / "bundles" / name, hours)
    (tmp_path / "bundles" / "champion.json").write_text("{}")
    house = Housekeeping(lambda: True, lambda: {"folder": "1-abc"}, tmp_path, 3, 90)
    house.tidy_up(NOW)
    left = sorted(path.name for path in (tmp_path / "bundles").iterdir())
    assert left == [".draft-new", "1-abc", "5-abc", "6-abc", "7-abc", "champion.json"]
    assert metrics.FILES.labels("bundles")._value.get() == 5 * 100 + 2
    used(tmp_path / "bundles" / "8-abc", hours_ago=0)
    used(tmp_path / "bundles" / "5-abc", hours_ago=0.5)
    house.tidy_up(NOW)  # somebody may be about to load what was used within the hour
    assert (tmp_path / "bundles" / "5-abc").is_dir()


def test_a_bundle_that_is_fetched_again_was_used(tmp_path: Path) -> None:
    used(tmp_path / "1-abc", hours_ago=30)
    assert cached(tmp_path / "1-abc", None)
    assert prune_folders(tmp_path, 0, (), NOW) == []
