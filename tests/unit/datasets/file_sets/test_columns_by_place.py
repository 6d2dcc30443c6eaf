"""Files whose columns have no names."""

from __future__ import annotations

from pathlib import Path

import pytest

import datasets
from datasets import Dataset, FileFormat
from errors import DatasetError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of files of 3, 3 and 5 columns."""
    for name, columns in (("p1", 3), ("p2", 3), ("t1", 5)):
        rows = "\n".join(" ".join(f"{i * 7 % 5}.{j}" for j in range(columns)) for i in range(9))
        (tmp_path / f"{name}.txt").write_text(f"{rows}\n", encoding="utf-8")
    return tmp_path


def load(spec: str, asset: str | None = None) -> Dataset:
    form = FileFormat(time_unit="row", header=False, asset_id=asset)
    return datasets.load_files(datasets.files_of(spec), form=form)


def test_files_of_one_asset_without_names_must_have_as_many_columns(folder: Path) -> None:
    with pytest.raises(DatasetError, match=r"t1.txt ends with column 5, p1.txt with 3: without"):
        load(f"{folder}", "RIG")
    alike = load(f"{folder}/p*.txt", "RIG")
    assert (len(alike.streams), alike.feature_names) == (1, ["1", "2", "3"])


def test_files_of_an_asset_each_may_have_other_columns(folder: Path) -> None:
    data = load(f"{folder}")
    assert [stream.asset_id for stream in data.streams] == ["p1", "p2", "t1"]
