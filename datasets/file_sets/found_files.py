"""Find the files of a name, a folder or a pattern, and say what a folder holds beside them."""

from __future__ import annotations

import glob
import os
from collections import Counter
from pathlib import Path
from typing import Final

from datasets.file_sets.partition_folders import is_partition, is_partitioned, partitioned_files
from datasets.suffixes import is_data
from errors import DatasetError

#: Characters of the names in a note, at most.
_SHOWN: Final = 100


def files_of(spec: str) -> list[Path]:
    """Return the sorted files of a file name, a folder or a glob pattern.

    Raises
    ------
    DatasetError
        The folder has no such file, or nothing is named.
    """
    if not spec.strip():  # Path("") is the current folder
        raise DatasetError("no file is named (a variable that is not set?)")
    path = Path(spec)
    if path.is_file():
        return [path]
    if path.is_dir():
        if is_partitioned(path) and (parts := partitioned_files(path)):
            return parts
        found = sorted(name for name in path.iterdir() if is_data(name))
        if not found:
            rest = "".join(f"; {note}" for note in not_read(spec))
            if any(name.is_file() for name in path.iterdir()):
                rest = f" (--data '{spec.rstrip('/')}/*' reads files of other names as text){rest}"
            raise DatasetError(
                f"folder {spec!r} holds no .csv, .json, .parquet or .xlsx file{rest}"
            )
        return found
    found = sorted(Path(name) for name in glob.glob(spec, recursive=True))
    return [name for name in found if name.is_file()]


def not_read(spec: str) -> list[str]:
    """Return notes on what a folder holds beside the files of :func:`files_of`.

    These are folders with files of data, and links that lead nowhere.
    """
    folder = Path(spec)
    inside = sorted(folder.iterdir()) if spec.strip() and folder.is_dir() else []
    notes = [
        f"left out: {path.name}: a link to a file that does not exist"
        for path in inside
        if path.is_symlink() and not path.exists()
    ]
    partitioned = bool(inside) and is_partitioned(folder)
    folders = [
        path.name
        for path in inside
        if path.is_dir()
        and not (partitioned and is_partition(path))
        and os.access(path, os.R_OK | os.X_OK)
        and any(map(is_data, path.iterdir()))
    ]
    if folders:
        kinds = Counter(
            path.suffix for name in folders for path in (folder / name).iterdir() if is_data(path)
        )
        ((suffix, _),) = kinds.most_common(1)
        shown = ", ".join(folders)[:_SHOWN]
        notes.append(
            f"left out: the files in {shown}: a folder in a folder is not read (--data"
            f" '{spec.rstrip('/')}/**/*{suffix}' reads them too)"
        )
    return notes
