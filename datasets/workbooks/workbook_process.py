"""Read a workbook of Excel 97 (.xls), .xlsb or .ods in a process of its own, with bounds.

How large these become in memory is not known before they are read, and the library that reads
them ends its process at some kinds of damage. So a child process reads them, with bounds of memory
and time, and passes the cells on in a temporary file.
"""

from __future__ import annotations

import json
import pickle
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import IO, Any, Final

from datasets.workbooks.workbook_checks import MOST_CELLS, Kind, too_large
from errors import DatasetError
from runtime import child_environment, die_with_parent

#: Address space: several times what a sheet of 33 million cells takes.
_MOST_MEMORY: Final = 4 << 30
#: Seconds of CPU; a sheet of 33 million cells takes a tenth.
_MOST_TIME: Final = 600
#: Exit status if the error is in words, on the last line of stderr.
_IN_WORDS: Final = 3
_BLOCK: Final = 1000  # rows written at a time
_DURATION: Final = re.compile(r"(-?)PT(\d{1,7})H(\d{1,7})M(\d{1,7}(?:\.\d+)?)S")


@dataclass(slots=True)
class StoredSheet:
    """A sheet whose rows are in a file; like python-calamine's.

    Parameters
    ----------
    name : the sheet's name.
    typ, visible : what it is, and whether it is shown.
    start : first row and column of its cells.
    merged_cell_ranges : first and last cell of each merged cell.
    at : where its rows begin in the file.
    file : the file.
    """

    name: str
    typ: Any
    visible: Any
    start: tuple[int, int] | None
    merged_cell_ranges: list[tuple[tuple[int, int], tuple[int, int]]] | None
    at: int
    file: IO[bytes]

    def iter_rows(self) -> Iterator[list[Any]]:
        """Yield the rows; several may iterate at once."""
        at = self.at
        while True:
            self.file.seek(at)
            block = _unpickled(self.file)
            at = self.file.tell()
            yield from block
            if len(block) < _BLOCK:
                return


class StoredWorkbook:
    """A workbook that a child process has read; like python-calamine's."""

    def __init__(self, file: IO[bytes]) -> None:
        from python_calamine import SheetTypeEnum, SheetVisibleEnum

        self._file = file
        file.seek(-8, 2)
        file.seek(int.from_bytes(file.read(8)))
        self.sheets_metadata = [
            StoredSheet(
                name, SheetTypeEnum.WorkSheet,
                SheetVisibleEnum.Visible if shown else SheetVisibleEnum.Hidden,
                start, merged, at, file,
            )
            for name, shown, start, merged, at in _unpickled(file)
        ]  # fmt: skip

    def get_sheet_by_name(self, name: str) -> StoredSheet:
        """Return a sheet."""
        return next(sheet for sheet in self.sheets_metadata if sheet.name == name)

    def close(self) -> None:
        """Delete the file."""
        self._file.close()


def read_apart(path: Path, kind: Kind) -> StoredWorkbook:
    """Read a workbook in a child process.

    Parameters
    ----------
    path : the file.
    kind : what it is by its content.

    Raises
    ------
    DatasetError
        It is too large.
    python_calamine.CalamineError
        It is damaged, or a password protects it.
    """
    import python_calamine as calamine

    # -P: modules of the folder in which the command runs are none of ours
    command = [sys.executable, "-P", "-m", __name__, str(path.absolute()), kind]
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the workbook closes it
    try:
        done = subprocess.run(  # noqa: S603 - this very module
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.PIPE,
            env=child_environment(), check=False,
        )  # fmt: skip
        if done.returncode == 0:
            return StoredWorkbook(file)
    except BaseException:
        file.close()
        raise
    file.close()
    if done.returncode < 0:  # ended by a signal
        raise _too_much(path)
    last = done.stderr.decode(errors="replace").splitlines()[-1:]
    if done.returncode != _IN_WORDS:
        raise calamine.CalamineError(f"the process that reads it failed: {''.join(last)}")
    problem, why = json.loads(last[0])
    if problem == "cells":
        raise too_large(path, why)
    if problem == "memory":
        raise _too_much(path)
    raise calamine.PasswordError(why) if problem == "password" else calamine.CalamineError(why)


def _too_much(path: Path) -> DatasetError:
    return DatasetError(
        f"{path.name}: is damaged, or takes more than {_MOST_MEMORY >> 30} GiB of memory to read:"
        " open it in a spreadsheet program and save the table as CSV"
    )


def _unpickled(file: IO[bytes]) -> Any:
    return pickle.load(file)  # noqa: S301 - written by this module's own child process


def _limit() -> None:
    """Bound memory and time of this process."""
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (_MOST_TIME, _MOST_TIME))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _store(book: Any, out: IO[bytes], durations: bool) -> None:
    """Write all sheets: blocks of rows, a list of the sheets, and where this list begins.

    Parameters
    ----------
    book : the workbook.
    out : where to write.
    durations : whether texts such as PT30H00M00S are durations, as in OpenDocument.
    """
    from python_calamine import SheetTypeEnum, SheetVisibleEnum

    index = []
    for info in book.sheets_metadata:
        if info.typ != SheetTypeEnum.WorkSheet:
            continue
        sheet = book.get_sheet_by_name(info.name)
        rows, columns = sheet.end or (0, 0)
        if (rows + 1) * (columns + 1) > MOST_CELLS:
            raise _TooManyCellsError(f"has cells up to row {rows + 1:,} and column {columns + 1:,}")
        shown = info.visible == SheetVisibleEnum.Visible
        index.append((info.name, shown, sheet.start, sheet.merged_cell_ranges, out.tell()))
        lines = iter(sheet.iter_rows())
        lines = map(_with_durations, lines) if durations else lines
        while len(block := list(islice(lines, _BLOCK))) == _BLOCK:
            pickle.dump(block, out)
        pickle.dump(block, out)
    at = out.tell()
    pickle.dump(index, out)
    out.write(at.to_bytes(8))


def _with_durations(row: list[Any]) -> list[Any]:
    """Return a row with the durations that the library leaves as texts: those of a day and more."""
    for column, cell in enumerate(row):
        if type(cell) is str and (found := _DURATION.fullmatch(cell)):
            sign, hours, minutes, seconds = found.groups()
            span = timedelta(hours=int(hours), minutes=int(minutes), seconds=float(seconds))
            row[column] = -span if sign else span
    return row


class _TooManyCellsError(Exception):
    """The cells of a sheet lie too far apart."""


def main() -> None:
    """Read the workbook that the command line names, and write its sheets to stdout."""
    import python_calamine as calamine

    die_with_parent()
    _limit()
    path, kind = Path(sys.argv[1]), sys.argv[2]
    out = sys.stdout.buffer
    try:
        # by its content if the name misleads, but then the library does not say what is wrong
        named = path.suffix.lower() == f".{kind}"
        with path.open("rb") as file, calamine.load_workbook(path if named else file) as book:
            _store(book, out, durations=kind == "ods")
        out.flush()
    except _TooManyCellsError as error:
        problem = "cells", str(error)
    except MemoryError:
        problem = "memory", ""
    except calamine.PasswordError as error:
        problem = "password", str(error)
    except BaseException as error:  # a panic of the library is no Exception
        problem = "damaged", str(error) or type(error).__name__
    else:
        return
    sys.stderr.write("\n" + json.dumps(problem) + "\n")
    raise SystemExit(_IN_WORDS)


if __name__ == "__main__":
    main()
