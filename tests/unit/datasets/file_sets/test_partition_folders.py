"""Partitioned tables, whose folders hold what their files lack."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import datasets
from datasets import Dataset, FileFormat
from datasets.file_sets.found_files import not_read
from datasets.file_sets.partition_folders import FolderNames, named_by_folders
from errors import DatasetError
from tests.unit.datasets.plant_files import START, readings


def partitioned(folder: Path, key: str = "asset_id", last: str = "") -> None:
    for number, asset in enumerate(("P1", "P 2")):
        for part in range(2):
            times = pd.date_range(START + pd.Timedelta(part, "D"), periods=300, freq="min")
            frame = pd.DataFrame(readings(300, seed=number), columns=["vib", "temp", "flow"])
            frame.insert(0, "timestamp", times)
            path = folder / f"{key}={asset.replace(' ', '%20')}" / last / f"part-{part}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            frame.to_parquet(path)
    (folder / "_SUCCESS").touch()


def load(spec: str, **form: object) -> Dataset:
    return datasets.load_files(datasets.files_of(spec), form=FileFormat(**form))  # type: ignore[arg-type]


def lengths(data: Dataset) -> dict[str, int]:
    return {stream.asset_id: len(stream.timestamps) for stream in data.streams}


@pytest.mark.parametrize("last", ["", "year=2026/month=1"])
@pytest.mark.parametrize("key", ["asset_id", "AssetID", "machine", "turbine_id"])
def test_folders_name_the_assets(tmp_path: Path, key: str, last: str) -> None:
    partitioned(tmp_path, key, last)
    for spec in (str(tmp_path), f"{tmp_path}/**/*.parquet"):
        data = load(spec)
        assert lengths(data) == {"P 2": 600, "P1": 600}
        note = f"part-0.parquet and 3 more: the folder {key}=... names the asset"
        assert note in data.notes
    assert not_read(str(tmp_path)) == []
    if not last:
        one = load(f"{tmp_path}/{key}=P1/part-0.parquet")
        assert lengths(one) == {"P1": 300}


def test_the_caller_chooses_the_folder_or_names_the_asset(tmp_path: Path) -> None:
    partitioned(tmp_path, "line")
    assert lengths(load(str(tmp_path), columns={"asset_id": "line"})) == {"P 2": 600, "P1": 600}
    assert lengths(load(str(tmp_path), asset_id="P")) == {"P": 1200}
    with pytest.raises(DatasetError, match="column 'plant' is missing"):
        load(str(tmp_path), columns={"asset_id": "plant"})


def test_a_column_of_the_file_names_the_asset(tmp_path: Path) -> None:
    partitioned(tmp_path, "machine")
    for path in datasets.files_of(str(tmp_path)):
        pd.read_parquet(path).assign(asset_id="A").to_parquet(path)
    assert set(lengths(load(str(tmp_path)))) == {"A"}


def test_a_partition_without_a_value_names_nothing() -> None:
    path = Path("t/asset_id=__HIVE_DEFAULT_PARTITION__/part-0.parquet")
    assert named_by_folders(path, None) is None
    path = Path("t/asset_id=P1/asset_id=/part-0.parquet")
    assert named_by_folders(path, None) == FolderNames(("asset_id", "P1"))


def test_files_in_folders_are_named_with_their_suffix(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "machine-1-1.txt").write_text("1,2\n")
    with pytest.raises(DatasetError, match=r"/\*\*/\*\.txt' reads them too"):
        datasets.files_of(str(tmp_path))


def test_machines_may_be_counted_from_zero(tmp_path: Path) -> None:
    partitioned(tmp_path, "machine")
    (tmp_path / "machine=P1").rename(tmp_path / "machine=0")
    (tmp_path / "machine=P%202").rename(tmp_path / "machine=1")
    assert lengths(load(str(tmp_path))) == {"0": 600, "1": 600}


@pytest.mark.parametrize("key", ["sensor_id", "tag", "place"])
def test_folders_name_the_sensors_of_an_asset(tmp_path: Path, key: str) -> None:
    for sensor in ("S1", "S2"):
        partitioned(tmp_path, last=f"{key}={sensor}")
    chosen = {"columns": {"sensor_id": key}} if key == "place" else {}
    data = load(str(tmp_path), **chosen)
    streams = {(each.asset_id, each.sensor_id): len(each.timestamps) for each in data.streams}
    assert streams == {(asset, of): 600 for asset in ("P1", "P 2") for of in ("S1", "S2")}
    assert f"part-0.parquet and 7 more: the folder {key}=... names the sensor" in data.notes


def test_a_folder_of_empty_partitions_holds_no_file(tmp_path: Path) -> None:
    (tmp_path / "asset_id=P1").mkdir()
    with pytest.raises(DatasetError, match=r"holds no \.csv"):
        datasets.files_of(str(tmp_path))


def test_a_folder_beside_the_partitions_is_said_to_be_left_out(tmp_path: Path) -> None:
    partitioned(tmp_path)
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "a.csv").write_text("1,2\n")
    (note,) = not_read(str(tmp_path))
    assert note.startswith("left out: the files in old:")
