"""Write tables to files and load them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import datasets
from datasets import FileFormat


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., datasets.Dataset]:
    """Load a table from a file of a kind, with options of its format."""

    def act(frame: pd.DataFrame, suffix: str = "csv", **options: Any) -> datasets.Dataset:
        path = tmp_path / f"plant.{suffix}"
        if suffix == "csv":
            frame.to_csv(path, index=False)
        else:
            frame.to_parquet(path, index=False)
        return datasets.load(path, None, FileFormat(**options))

    return act
