"""Public data sets to the wide form."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.convert import main
from datasets import load

SKAB = "datetime;flow;anomaly;changepoint\n2020-03-09 10:14:33;{};0.0;0.0\n"


def test_each_skab_experiment_is_an_asset_of_its_own(tmp_path: Path) -> None:
    folder = tmp_path / "valve1"
    folder.mkdir()
    for name in ("10", "2"):
        (folder / f"{name}.csv").write_text(SKAB.format(name))
    assert main(["skab", str(folder), str(tmp_path / "all.csv")]) == 0
    found = load(tmp_path / "all.csv")
    assert found.feature_names == ["flow"]
    assert [(s.asset_id, s.values[0, 0]) for s in found.streams] == [
        ("VALVE1_2", 2.0),
        ("VALVE1_10", 10.0),
    ]
    assert main(["skab", str(folder / "2.csv"), str(tmp_path / "one.csv")]) == 0
    assert [s.asset_id for s in load(tmp_path / "one.csv").streams] == ["VALVE1_2"]


def test_each_engine_is_an_asset(tmp_path: Path) -> None:
    rows = [f"{unit} {cycle} " + " ".join(["1.5"] * 24) for unit in (1, 2) for cycle in (1, 2)]
    (tmp_path / "train.txt").write_text("\n".join(rows))
    assert main(["cmapss", str(tmp_path / "train.txt"), str(tmp_path / "out.csv")]) == 0
    found = load(tmp_path / "out.csv")
    assert [s.asset_id for s in found.streams] == ["ENGINE_001", "ENGINE_002"]
    assert len(found.feature_names) == 24


@pytest.mark.parametrize(
    ("kind", "content", "message"),
    [
        ("cmapss", "112\n98\n", "is no cmapss data"),
        ("cmapss", "1 1 2.0\n", "a row has 1 values instead of 24"),
        ("skab", "a,b\n1,2\n", "is no skab data"),
        ("skab", None, "No such file"),
    ],
)
def test_other_files_are_refused_in_a_sentence(
    kind: str,
    content: str | None,
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = tmp_path / "data.txt"
    if content is not None:
        source.write_text(content)
    assert main([kind, str(source), str(tmp_path / "out.csv")]) == 1
    assert message in capsys.readouterr().err
