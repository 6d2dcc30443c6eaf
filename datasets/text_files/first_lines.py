"""Read the first lines of a text file, and refuse files that hold no table."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from datasets.columns.kinds_of_rows import COMPARED
from datasets.format import FileFormat
from datasets.text_files.text import MemoryFile, encoding_of, sample
from errors import DatasetError

#: Characters that never occur in text, but do in bytes decoded by mistake.
_CONTROL: Final = re.compile(r"[\x00-\x08\x0e-\x1f\ufeff\ufffe\uffff]")
#: Byte order marks where a line begins: files with one were put on end.
_MARKS: Final = re.compile(r"^\ufeff+", re.MULTILINE)
#: A block of zeros within a file, left by a logger that lost power while it wrote.
_LOST_BLOCK: Final = re.compile(r"\x00{4,}")
#: How web pages begin, which some programs save under the name of a workbook, and XML.
_MARKUP: Final = re.compile(r"\s*<(?:!doctype|html|head|body|meta|table|\?xml)\b", re.IGNORECASE)
#: How files of Weka and sktime begin, below their comments.
_ATTRIBUTES: Final = re.compile(r"(?:\s*[%#].*\n)*\s*@(?:relation|problemname)\b", re.IGNORECASE)
LINE_END: Final = re.compile(r"\r\n?|\n")


def first_lines(path: Path | MemoryFile, form: FileFormat) -> tuple[list[str], str]:
    """Return the first lines of a text file, and its encoding."""
    start, whole = sample(path, lines=COMPARED)
    if start.startswith(bytes(4)):
        start = start.lstrip(b"\0")
    encoding = form.encoding or encoding_of(start)
    try:
        text = start.decode(encoding, errors="strict" if whole else "ignore")
    except UnicodeDecodeError as error:
        raise DatasetError(
            f"{path.name}: is not {encoding} ({error.reason} at byte {error.start}): --encoding"
            " gives the encoding",
            field="encoding",
        ) from None
    text = text.rstrip("\0\x1a")  # left by a logger that lost power, or DOS's end of file
    text = _LOST_BLOCK.sub("", _MARKS.sub("", text))
    if not text.strip():
        raise DatasetError(f"{path.name}: is empty")
    if (odd := _CONTROL.search(text)) is not None:
        line = len(LINE_END.findall(text[: odd.start()])) + 1
        raise DatasetError(
            f"{path.name}: line {line} holds the character {odd[0]!r}, so it is damaged or is not"
            f" text in {encoding}: --encoding gives another"
        )
    if _MARKUP.match(text):
        raise DatasetError(
            f"{path.name}: is a web page or XML, not a table: open it in a spreadsheet program and"
            " save it as .xlsx or CSV"
        )
    if _ATTRIBUTES.match(text):
        raise DatasetError(
            f"{path.name}: is an .arff or .ts file, whose columns are not named by a line above"
            " them: save it as CSV with a line of names"
        )
    lines = LINE_END.split(text)
    if not lines[-1] or not whole:  # the sample cuts the last line
        lines = lines[:-1] or lines
    return lines, encoding
