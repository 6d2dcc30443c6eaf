"""Files of several assets, of which each has several pieces."""

from __future__ import annotations

from pathlib import Path

import pytest

import datasets


def _write(folder: Path, name: str, hours: range, asset: int) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    times = [f"2026-01-{1 + hour // 24:02d} {hour % 24:02d}:00" for hour in hours]
    values = [f"{hour * 7 % 11 + asset},{hour % 5}" for hour in hours]
    rows = "".join(f"{time},{both}\n" for time, both in zip(times, values, strict=True))
    path.write_text(f"timestamp,temp,flow\n{rows}")


@pytest.mark.parametrize(
    "name",
    [
        "P{asset}/2026-01-{day:02d}.csv", "P{asset}/2026/01/{day:02d}.csv",
        "P{asset}/data_{day}.csv",
        "P{asset}_202601{day:02d}_0000.csv", "2026-01-{day:02d} P{asset}.csv",
        "P{asset} ({day}).csv", "P{asset}/P{asset}_{day}.csv", "P{asset}_{day:02d}.01.2026.csv",
    ],
)  # fmt: skip
@pytest.mark.parametrize("overlap", [0, 5])
def test_pieces_of_several_assets_are_joined(tmp_path: Path, name: str, overlap: int) -> None:
    for asset in (1, 2):
        for day in (1, 2, 3):
            hours = range(max(0, 24 * (day - 1) - overlap), 24 * day)
            _write(tmp_path, name.format(asset=asset, day=day), hours, asset)
    data = datasets.load_files(datasets.files_of(str(tmp_path / "**" / "*.csv")))
    assert [(stream.asset_id, len(stream.timestamps)) for stream in data.streams] == [
        ("P1", 72), ("P2", 72),
    ]  # fmt: skip
    (note,) = [note for note in data.notes if "pieces of several" in note]
    assert "P1: 3 files, P2: 3 files" in note
    assert not any("file's name" in note or "folders are part" in note for note in data.notes)


@pytest.mark.parametrize(
    ("names", "assets"),
    [
        (("P1_2026.csv", "P1_2025.csv", "P2_2026.csv"), 3),  # at the same time: three machines
        (("line_1/P1.csv", "line_1/P2.csv", "line_2/P3.csv"), 3),
    ],
)
def test_files_of_the_same_time_stay_assets(
    tmp_path: Path, names: tuple[str, ...], assets: int
) -> None:
    for number, name in enumerate(names):
        _write(tmp_path, name, range(48), number)
    data = datasets.load_files(datasets.files_of(str(tmp_path / "**" / "*.csv")))
    assert len(data.streams) == assets
    assert not any("pieces of several" in note for note in data.notes)


@pytest.mark.parametrize(
    "name", ["line_{asset}/motor_{day}.csv", "pump-200{day}-{asset}.csv", "{asset}/run_{day}.csv"]
)
def test_machines_and_experiments_measured_in_turn_stay_assets(tmp_path: Path, name: str) -> None:
    for asset in (1, 2):
        for day in (1, 3, 9):
            hours = range(24 * (day - 1), 24 * (day - 1) + 20)
            _write(tmp_path, name.format(asset=asset, day=day), hours, asset)
    data = datasets.load_files(datasets.files_of(str(tmp_path / "**" / "*.csv")))
    assert len(data.streams) == 6
    assert not any("pieces of several" in note for note in data.notes)


def test_files_at_regular_times_are_pieces_of_the_asset_of_their_folder(tmp_path: Path) -> None:
    for asset in (1, 2):
        for day in range(1, 7):
            hours = range(24 * (day - 1), 24 * (day - 1) + 2)
            _write(tmp_path, f"bearing_{asset}/{day}.csv", hours, asset)
    data = datasets.load_files(datasets.files_of(str(tmp_path / "**" / "*.csv")))
    assert [stream.asset_id for stream in data.streams] == ["bearing_1", "bearing_2"]
