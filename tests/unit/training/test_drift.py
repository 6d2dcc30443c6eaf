"""The drift report says why a group has nothing to compare."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from models.bundles.rules import Rule, RuleIndex
from tests.fixtures.training import settings_for
from training import drift

NAMES = {"pumps": ["flow", "temp"], "fans": ["rpm"]}


class TwoGroups:
    """A champion of two groups, as far as the report asks it."""

    def __init__(self) -> None:
        self.version, self.groups = "v1", list(NAMES)
        self.rules = [Rule("pumps", asset_id="PUMP*"), Rule("fans", asset_id="FAN*")]

    def group_for(self, asset_id: str, sensor_id: str | None, feature: str | None) -> str:
        rule = RuleIndex(self.rules).find(asset_id, sensor_id, feature)
        return "" if rule is None else rule.group

    def model_set(self, group: str) -> Any:
        one = {"edges": [1.0, 2.0], "shares": [0.3, 0.3, 0.4], "n": 9}
        return SimpleNamespace(profile=dict.fromkeys([*NAMES[group], "score/final_score"], one))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    settings = settings_for(tmp_path / "var", mlflow=False)
    monkeypatch.setattr("training.cli.common.load_settings", lambda: settings)
    monkeypatch.setattr(drift, "registry_of", lambda _: SimpleNamespace(alias=lambda _: "1"))
    monkeypatch.setattr(drift, "load_version", lambda *_: TwoGroups())
    monkeypatch.chdir(tmp_path)
    np.savez("m.npz", values=np.arange(80.0).reshape(40, 2), names=["flow", "temp"])
    return tmp_path


def test_a_matrix_names_no_group(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert drift.main(["--data", "m.npz"]) == 1
    why = (
        "--group: m.npz names no assets, so --group must say which group it belongs to: pumps, fans"
    )
    assert why in " ".join(capsys.readouterr().err.split())


def test_a_matrix_is_compared_with_the_group_that_is_named(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert drift.main(["--data", "m.npz", "--group", "pumps"]) == 0
    printed = capsys.readouterr().out
    assert "flow" in printed
    assert drift.main(["--data", "m.npz", "--group", "fans"]) == 0
    assert "has none of its features: rpm" in " ".join(capsys.readouterr().out.split())


def test_a_file_without_streams_of_a_group_says_so(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [f"PUMP_1,2026-01-01T00:{i:02}:00Z,{i},{i % 7}" for i in range(40)]
    (place / "d.csv").write_text("\n".join(["asset_id,timestamp,flow,temp", *lines]))
    assert drift.main(["--data", "d.csv"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "fans: nothing to compare: no stream of d.csv belongs to it by the champion's" in printed
    assert "pumps: nothing to compare" not in printed
