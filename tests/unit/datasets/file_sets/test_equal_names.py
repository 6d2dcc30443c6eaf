"""Files of one name in several folders."""

from __future__ import annotations

from pathlib import Path

import pytest

import datasets
from datasets import Dataset, FileFormat
from errors import DatasetError


def _pumps(folder: Path, files: dict[str, tuple[str, float]], asset: str | None = None) -> Dataset:
    """Files with a day of hourly readings: name -> date and mean."""
    for name, (date, mean) in files.items():
        rows = (f"{date} {hour:02d}:00,{mean + hour % 3},{hour}" for hour in range(24))
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("timestamp,temp,flow\n" + "\n".join(rows) + "\n")
    found = datasets.files_of(f"{folder}/**/*.csv")
    return datasets.load_files(found, form=FileFormat(asset_id=asset))


def _lengths(data: Dataset) -> dict[str, int]:
    return {stream.asset_id: len(stream.timestamps) for stream in data.streams}


def test_a_folder_per_pump_is_an_asset_per_pump(tmp_path: Path) -> None:
    files = {f"pump_{n}/data.csv": ("2026-01-01", 20.0 * n) for n in (1, 2)}
    data = _pumps(tmp_path, files)
    assert _lengths(data) == {"pump_1/data": 24, "pump_2/data": 24}
    assert any(note.startswith("2 files called data.csv have readings") for note in data.notes)
    assert _lengths(_pumps(tmp_path, files, asset="P")) == {"P": 48}


def test_a_folder_per_year_holds_pieces_of_one_asset(tmp_path: Path) -> None:
    files = {f"{year}/pump.csv": (f"{year}-01-01", 20.0) for year in (2025, 2026)}
    assert _lengths(_pumps(tmp_path, files)) == {"pump": 48}


def test_a_copy_in_a_folder_counts_once(tmp_path: Path) -> None:
    files = dict.fromkeys(("pump.csv", "backup/pump.csv"), ("2026-01-01", 20.0))
    assert _lengths(_pumps(tmp_path, files)) == {"pump": 24}


def test_a_file_beside_the_folder_keeps_its_name(tmp_path: Path) -> None:
    files = {"pump.csv": ("2026-01-01", 20.0), "hall 2/pump.csv": ("2026-01-01", 50.0)}
    assert _lengths(_pumps(tmp_path, files)) == {"hall 2/pump": 24, "pump": 24}


def test_an_error_names_the_folder_of_a_file_whose_name_occurs_twice(tmp_path: Path) -> None:
    for folder in ("test", "train"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "pump.csv").write_text("timestamp,temp\n")
    with pytest.raises(DatasetError, match=r"^test/pump.csv: holds no rows"):
        datasets.load_files(datasets.files_of(f"{tmp_path}/*/*.csv"))
