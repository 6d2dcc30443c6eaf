"""Tell the kind of a file by its suffixes: text, JSON, Parquet or workbook, compressed or not."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

from errors import DatasetError

_PARQUET: Final = (".parquet", ".pq", ".parq")
_TEXT: Final = (".csv", ".tsv", ".txt", ".tab", ".dat", ".asc", ".prn", ".lp")
_JSON: Final = (".json", ".jsonl", ".ndjson", ".jsonlines")
_WORKBOOK: Final = (".xlsx", ".xlsm", ".xls", ".ods", ".xlsb")
#: What a spreadsheet program puts beside a workbook while it is open.
_LOCK: Final = ("~$", ".~lock.")
_PACKED: Final = (".gz", ".bz2", ".xz", ".zst", ".zip")


Kind = Literal["parquet", "json", "text", "workbook"]


def kind_of(path: Path) -> Kind:
    """Return what the suffixes mean; raise `DatasetError` if they mean none of the formats."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in _PARQUET:
        return "parquet"
    if suffixes and suffixes[-1] in _PACKED:
        suffixes = suffixes[:-1] or [".csv"]
    if suffixes and suffixes[-1] in _JSON:
        return "json"
    if suffixes and suffixes[-1] in _TEXT:
        return "text"
    if suffixes and suffixes[-1] in _WORKBOOK:
        return "workbook"
    raise DatasetError(f"{path.name}: neither .csv nor .json nor .parquet nor .xlsx")


def read_as(path: Path) -> Kind | None:
    """Return what the suffixes mean, or None: the content alone tells what the file is."""
    try:
        return kind_of(path)
    except DatasetError:
        return None


def is_data(path: Path) -> bool:
    """Return whether a path is a file with a suffix of one of the formats."""
    return path.is_file() and not path.name.startswith(_LOCK) and read_as(path) is not None


def bare_name(path: Path) -> str:
    """Return a file's name without the suffixes of its format."""
    name = path.name
    for known in (_PACKED, (*_TEXT, *_JSON, *_PARQUET, *_WORKBOOK)):
        stem, dot, suffix = name.rpartition(".")
        if dot and f".{suffix.lower()}" in known:
            name = stem
    return name
