"""Read what the folders of a partitioned table say: ``asset_id=P1/year=2026/part-0.parquet``.

Spark, pandas, Hive and DuckDB divide a table so, and leave these columns out of its files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from datasets.format import FileFormat
from datasets.long_tables import may_name_machines
from datasets.parts import Part
from datasets.roles import NAMED_BY_FILE, names_assets
from datasets.sampled_columns import plain_name
from datasets.suffixes import is_data

_NULL: Final = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True, slots=True)
class FolderAsset:
    """An asset that a folder such as ``machine=7`` names: the key ``machine``, the value ``7``."""

    key: str
    value: str

    def without_column(self, form: FileFormat | None) -> FileFormat | None:
        """Return the format without the column of assets, which the file does not have."""
        if form is None or form.columns.get("asset_id") != self.key:
            return form
        rest = {role: name for role, name in form.columns.items() if role != "asset_id"}
        return replace(form, columns=rest)

    def tell(self, parts: Sequence[Part]) -> None:
        """Say in the notes that the folder names the asset, where the file does not."""
        for part in parts:
            part.data.notes[:] = [
                f"the folder {self.key}=... names the asset" if note == NAMED_BY_FILE else note
                for note in part.data.notes
            ]


def asset_of_folder(path: Path, form: FileFormat | None) -> FolderAsset | None:
    """Return the asset that the folders of a file name; None if none does, or the caller does.

    Parameters
    ----------
    path
        The file.
    form
        Format options; ``columns`` may name the key of the folders that means the asset.
    """
    if form is not None and form.asset_id is not None:
        return None
    wanted = None if form is None else form.role("asset_id")
    for key, value in keys_and_values(path):
        plain = plain_name(key)
        known = names_assets(plain) or may_name_machines(plain)
        if value != _NULL and (key == wanted if wanted is not None else known):
            return FolderAsset(key, value)
    return None


def keys_and_values(path: Path) -> list[tuple[str, str]]:
    """Return the keys and values of the folders above a file, the innermost first."""
    parted = (folder.name.partition("=") for folder in path.absolute().parents)
    return [(key, unquote(value)) for key, sign, value in parted if sign and key and value]


def is_partitioned(folder: Path) -> bool:
    """Return whether a folder has no files of data, but folders such as ``asset_id=P1``."""
    inside = list(folder.iterdir())
    return any(is_partition(path) for path in inside) and not any(map(is_data, inside))


def partitioned_files(folder: Path) -> list[Path]:
    """Return the sorted files of data in a folder's partitions, at any depth."""
    found: list[Path] = []
    for path in folder.iterdir():
        if is_partition(path):
            found += filter(is_data, path.iterdir())
            found += partitioned_files(path)
    return sorted(found)


def is_partition(path: Path) -> bool:
    """Return whether a path is a folder such as ``asset_id=P1``."""
    key, sign, value = path.name.partition("=")
    return bool(key and sign and value) and path.is_dir()
