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
    """Load a table, or a file's text, from a file with a suffix and options of its format."""

    def act(
        content: pd.DataFrame | str | bytes, suffix: str = "csv", **options: Any
    ) -> datasets.Dataset:
        path = tmp_path / f"plant.{suffix}"
        features = options.pop("features", None)
        if isinstance(content, str | bytes):
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        elif suffix == "csv":
            content.to_csv(path, index=False)
        else:
            content.to_parquet(path, index=False)
        return datasets.load(path, features, FileFormat(**options))

    return act
