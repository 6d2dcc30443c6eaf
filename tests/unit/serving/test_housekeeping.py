"""Files under VAR_DIR are bounded: bundles that nobody used lately go, the champion stays."""

from __future__ import annotations

import os
import time
from pathlib import Path

from config import Settings
from models.bundles.atomic_files import cached, prune_folders
from serving import metrics
from serving.bundles.champion import Champion
from serving.housekeeping import Housekeeping

NOW = time.time()


async def nobody_follows() -> str:
    return ""


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
    champion = Champion(tmp_path / "bundles", nobody_follows)
    champion.write({"folder": "1-abc"})
    house = Housekeeping(champion, Settings(_env_file=None, var_dir=tmp_path, bundles_kept=3))
    house.tidy_up(NOW)
    left = sorted(path.name for path in (tmp_path / "bundles").iterdir())
    assert left == [".draft-new", "1-abc", "5-abc", "6-abc", "7-abc", "champion.json"]
    assert metrics.FILES.labels("bundles")._value.get() == 5 * 100 + len(b'{"folder": "1-abc"}')
    used(tmp_path / "bundles" / "8-abc", hours_ago=0)
    used(tmp_path / "bundles" / "5-abc", hours_ago=0.5)
    house.tidy_up(NOW)  # somebody may be about to load what was used within the hour
    assert (tmp_path / "bundles" / "5-abc").is_dir()


def test_a_bundle_that_is_fetched_again_was_used(tmp_path: Path) -> None:
    used(tmp_path / "1-abc", hours_ago=30)
    assert cached(tmp_path / "1-abc", None)
    assert prune_folders(tmp_path, 0, (), NOW) == []
