"""Read the parts of a data set: files, and the sheets of workbooks, which are like files.

The sheets of a workbook are pieces of one table if they follow one another in time (a sheet per
month). Otherwise the workbook is like a folder, and each sheet like a file in it (a sheet per
machine).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np

from datasets.columns.roles import NAMED_BY_FILE
from datasets.format import FEATURE, FileFormat
from datasets.reader import load
from datasets.suffixes import bare_name, read_as
from datasets.types import Dataset, StreamKey, Times, key_of
from datasets.workbooks.sheet_choice import Choice
from datasets.workbooks.workbook import SheetText, Workbook, is_workbook
from errors import DatasetError


@dataclass(frozen=True, slots=True)
class Part:
    """A file, or a sheet of a workbook.

    Parameters
    ----------
    shown : what messages call it.
    name : names its sensor, if each part is a sensor.
    data : what it holds; its notes do not name it.
    """

    shown: str
    name: str
    data: Dataset


@dataclass(slots=True)
class Parts:
    """The parts of one file.

    Parameters
    ----------
    found : those that can be read.
    notes : findings about the file as a whole.
    problems : the errors of those that cannot.
    sheets : whether they are several sheets.
    """

    found: list[Part]
    notes: list[str] = field(default_factory=list)
    problems: list[DatasetError] = field(default_factory=list)
    sheets: bool = False


def single(path: Path, form: FileFormat | None) -> Path | SheetText | None:
    """Return the only part of a file, to be streamed: itself, or a sheet. None: it has several.

    Raises
    ------
    DatasetError
        It is a workbook that cannot be read.
    """
    if not _is_workbook(path):
        return path
    with Workbook(path) as book:
        return book.only(book.choose(form or FileFormat()))


def _is_workbook(path: Path) -> bool:
    """Return whether a file is read as a workbook; one that cannot be read at all is not."""
    try:
        return path.is_file() and read_as(path) != "parquet" and is_workbook(path)
    except (DatasetError, OSError):
        return False


def parts_of(
    path: Path,
    feature_names: str | Sequence[str] | None,
    form: FileFormat | None,
    *,
    group: str | None,
    asset: str | None,
) -> Parts:
    """Read a file, or the sheets of a workbook.

    Parameters
    ----------
    path
        The file.
    feature_names, form, group
        Those of :func:`datasets.reader.load`.
    asset
        The asset, if nothing else names it. None: something must.

    Raises
    ------
    DatasetError
        The file cannot be read, or none of its sheets.
    """
    options: dict[str, Any] = {"feature_names": feature_names, "form": form, "group": group}
    if not _is_workbook(path):
        return Parts([Part(path.name, bare_name(path), load(path, asset=asset, **options))])
    with Workbook(path) as book:
        choice = book.choose(form or FileFormat())
        sheet = book.only(choice)
        if sheet is not None:
            return Parts([Part(path.name, bare_name(path), load(sheet, asset=asset, **options))])
        return _Sheets(book, choice, options).read(asset)


@dataclass(frozen=True, slots=True)
class _Sheets:
    """Several sheets of a workbook.

    Parameters
    ----------
    book, choice : the workbook, and the sheets to read.
    options : arguments of :func:`datasets.reader.load`.
    """

    book: Workbook
    choice: Choice
    options: Mapping[str, Any]

    def read(self, asset: str | None) -> Parts:
        """Read the sheets; see :func:`parts_of`."""
        path, form = self.book.path, self.options["form"] or FileFormat()
        out = Parts([], [*self.choice.notes], sheets=True)
        for sheet in self.choice.names:
            try:
                data = self._load(sheet, sheet)
            except DatasetError as error:
                out.problems.append(error)
                continue
            out.found.append(Part(self._shown(sheet), sheet, data))
        if not out.found:
            raise out.problems[0]
        if one_after_another([times_of(part.data) for part in out.found]):
            if asset is None:
                for part in filter(unnamed, out.found):
                    self._load(part.name, None)  # raises: nothing names the asset
            out.found = [renamed(part, asset or "", bare_name(path)) for part in out.found]
        elif form.one_file_per == FEATURE:
            out.found = [renamed(part, bare_name(path), part.name) for part in out.found]
            _note(out.found, "workbook")
        else:
            _note(out.found, "sheet")
            if form.sheet is None and _contradict(out.found):
                first, *others = out.found
                shown = ", ".join(part.name for part in others)[:300]
                out.notes = [
                    f"read from the sheet {first.name!r}: the same columns and times occur in"
                    f" {shown} too (--sheet NAME chooses another, --sheet all reads all)"
                ]
                out.found = [first]
        return out

    def _load(self, sheet: str, asset: str | None) -> Dataset:
        return load(self.book.text(sheet, self._shown(sheet)), asset=asset, **self.options)

    def _shown(self, sheet: str) -> str:
        return f"{self.book.path.name} ({sheet})"


def one_after_another(parts: Sequence[Times]) -> bool:
    """Return whether parts with times (n_i,) are pieces of one series, though they may overlap."""
    spans = [(times.min(), np.sort(times)[len(times) // 2], times.max()) for times in parts]
    return not any(a[0] <= b[1] <= a[2] for a, b in permutations(spans, 2))


def _contradict(parts: Sequence[Part]) -> bool:
    """Return whether a stream is in several parts that are not one after another."""
    pieces: dict[StreamKey, list[Times]] = {}
    for part in parts:
        for stream in part.data.streams:
            pieces.setdefault(key_of(stream), []).append(stream.timestamps)
    return not all(map(one_after_another, pieces.values()))


def times_of(data: Dataset) -> Times:
    """Return the times of all readings (n,), stream by stream."""
    return np.concatenate([stream.timestamps for stream in data.streams])


def unnamed(part: Part) -> bool:
    """Return whether nothing but the name of its file tells a part's asset."""
    return NAMED_BY_FILE in part.data.notes


def _note(parts: Sequence[Part], what: str) -> None:
    """Say that assets have the name of their sheet or workbook, not of their file."""
    for part in parts:
        notes = part.data.notes
        notes[:] = [n.replace("file", what) if n == NAMED_BY_FILE else n for n in notes]


def renamed(part: Part, asset: str, name: str) -> Part:
    """Return a sheet as a part of another name; its asset has that name if nothing names it.

    Parameters
    ----------
    part : the sheet.
    asset, name : the new names of asset and part.
    """
    data = part.data
    if unnamed(part):
        streams = [replace(stream, asset_id=asset) for stream in data.streams]
        groups = data.groups and {(asset, key[1]): value for key, value in data.groups.items()}
        data = replace(data, streams=streams, groups=groups)
    return Part(part.shown, name, data)
