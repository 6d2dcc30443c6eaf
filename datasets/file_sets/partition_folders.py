"""Read what the folders of a partitioned table say: ``asset_id=P1/year=2026/part-0.parquet``.

Spark, pandas, Hive and DuckDB divide a table so, and leave these columns out of its files.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from datasets.columns.long_tables import may_name_machines, names_sensors
from datasets.columns.roles import NAMED_BY_FILE, names_assets
from datasets.file_sets.parts import Part
from datasets.format import FileFormat
from datasets.sampled_columns import plain_name
from datasets.suffixes import is_data
from datasets.types import StreamKey

_NULL: Final = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True, slots=True)
class FolderNames:
    """What folders such as ``machine=7/sensor=S1`` name: by role, the key and the value."""

    asset: tuple[str, str]
    sensor: tuple[str, str] | None = None

    def without_columns(self, form: FileFormat | None) -> FileFormat | None:
        """Return the format without the columns that folders hold, and the file does not."""
        if form is None:
            return None
        held = {"asset_id": self.asset[0], "sensor_id": self.sensor and self.sensor[0]}
        rest = {role: name for role, name in form.columns.items() if held.get(role) != name}
        return replace(form, columns=rest)

    def applied(self, part: Part) -> Part:
        """Return a part with the sensor that the folder names, and say so in its notes."""
        data = part.data
        told = f"the folder {self.asset[0]}=... names the asset"
        notes = [told if note == NAMED_BY_FILE else note for note in data.notes]
        if self.sensor is None:
            return replace(part, data=replace(data, notes=notes))
        key, sensor = self.sensor
        notes.append(f"the folder {key}=... names the sensor")
        streams = [replace(each, sensor_id=each.sensor_id or sensor) for each in data.streams]
        groups = data.groups and {
            (asset, own or sensor): group for (asset, own), group in data.groups.items()
        }
        units: dict[StreamKey, list[str]] = {
            (asset, own or sensor): of for (asset, own), of in data.units_of_streams.items()
        }
        data = replace(data, streams=streams, groups=groups, notes=notes, units_of_streams=units)
        return replace(part, data=data)


def named_by_folders(path: Path, form: FileFormat | None) -> FolderNames | None:
    """Return what the folders of a file name; None if none names the asset, or the caller does.

    Parameters
    ----------
    path
        The file.
    form
        Format options; ``columns`` may name the keys of the folders that mean asset and sensor.
    """
    if form is not None and form.asset_id is not None:
        return None
    form = form or FileFormat()
    asset = sensor = None
    for key, value in keys_and_values(path):
        plain = plain_name(key)
        named = names_assets(plain) or may_name_machines(plain)
        if asset is None and _means(key, form.role("asset_id"), named):
            asset = key, value
        elif sensor is None and _means(key, form.role("sensor_id"), names_sensors(plain)):
            sensor = key, value
    return None if asset is None else FolderNames(asset, sensor)


def _means(key: str, wanted: str | None, usual: bool) -> bool:
    """Return whether a key means a role: the caller's column for it, or one of a usual name."""
    return usual if wanted is None else key == wanted


def keys_and_values(path: Path) -> list[tuple[str, str]]:
    """Return the keys and values of the folders above a file, the innermost first."""
    parted = (folder.name.partition("=") for folder in path.absolute().parents)
    return [
        (key, unquote(value)) for key, sign, value in parted
        if sign and key and value and value != _NULL
    ]  # fmt: skip


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
