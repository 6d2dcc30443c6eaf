"""Convert a file's bytes to UTF-8 text: compression, byte order mark, code page, runs of blanks."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import re
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import pyarrow as pa

from datasets.text_files.checked_file import ByteReader, CheckedFile
from errors import DatasetError

#: Errors of damaged archives; others are of type OSError.
DAMAGED: Final = (EOFError, gzip.BadGzipFile, lzma.LZMAError, zipfile.BadZipFile, zlib.error)
#: Bytes sampled to recognise a file's layout.
SAMPLE_BYTES: Final = 256 * 1024
_MOST_SAMPLED: Final = 64 * SAMPLE_BYTES  # for files with very long lines
_COMPRESSED: Final[dict[bytes, Callable[[Path], Any]]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
    b"\x28\xb5\x2f\xfd": lambda path: pa.input_stream(str(path), compression="zstd"),
    b"PK\x03\x04": lambda path: _zipped(path),
}
#: A tar archive has this in the header of its first file.
_TAR: Final = (257, b"ustar")
#: How files begin that are no texts, and whose tables are not read.
_OTHERS: Final = {
    b"ARROW1": "an Arrow (Feather) file", b"\x89HDF": "an HDF5 file", b"MATLAB 5": "a MATLAB file",
    b"SQLite format 3": "a database (SQLite)", b"%PDF-": "a PDF", b"RDX": "a file of R",
    b"\x93NUMPY": "an array of NumPy", b"Rar!": "a RAR archive", b"7z\xbc\xaf": "a 7-Zip archive",
}  # fmt: skip
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
#: Code pages common in plants: Windows and DOS, Western and Cyrillic. A general detector
#: (charset-normalizer 3.5) fails on the few special characters of a header.
_CODE_PAGES: Final = ("cp1252", "cp850", "cp1251", "cp866")
_SIGNS: Final = frozenset("°ºµμ²³¹±ΩØø‰€£§·×÷–—“”„’‘…«»®©™ª½¼¾\xa0")
#: A text that programs write as a formula, so that a spreadsheet keeps its zeros: ="0012".
_FORMULA: Final = re.compile(r'(?<![^;,\t|\r\n])(?:"=""([^"\r\n]*)"""|="([^"\r\n]*)")')
_WORD: Final = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True, slots=True)
class MemoryFile:
    """A text in memory that is opened and named like a file.

    Parameters
    ----------
    name : the file's name, for messages.
    content : the text's bytes.
    """

    name: str
    content: bytes


def open_bytes(path: Path | MemoryFile) -> IO[bytes]:
    """Open a file's content; decompress it if its first bytes show a compression."""
    if isinstance(path, MemoryFile):
        return io.BytesIO(path.content)
    with path.open("rb") as head:
        start = head.read(8)
    for magic, opened in _COMPRESSED.items():
        if start.startswith(magic):
            file: IO[bytes] = opened(path)
            return file
    return path.open("rb")


def sample(path: Path | MemoryFile, lines: int = 0) -> tuple[bytes, bool]:
    """Return the first bytes of a file, and whether they are the whole file.

    They are more if they do not hold so many ``lines``, as in a file of thousands of columns.
    """
    size = SAMPLE_BYTES
    try:
        with open_bytes(path) as file:
            found = _bytes(file, size + 1)
            while len(found) > size and _line_ends(found) < lines and size < _MOST_SAMPLED:
                size *= 4
                found += _bytes(file, size + 1 - len(found))
    except DAMAGED as error:
        raise undone(path, error) from None
    return found[:size], len(found) <= size


def _bytes(file: IO[bytes], size: int) -> bytes:
    """Read ``size`` bytes, or all that are left; a packed file gives them in pieces."""
    parts = []
    while size and (part := file.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _line_ends(content: bytes) -> int:
    return max(content.count(b"\n"), content.count(b"\r"))


def is_packed(start: bytes) -> bool:
    """Return whether a content, by its first bytes, is an archive or compressed (once more)."""
    at, mark = _TAR
    return start.startswith((*_COMPRESSED,)) or start[at:].startswith(mark)


def what_else(start: bytes) -> str:
    """Return what a file is that is no text, by its first bytes; empty if it may be one."""
    return next((kind for begin, kind in _OTHERS.items() if start.startswith(begin)), "")


def undone(path: Path | MemoryFile, error: Exception) -> DatasetError:
    """Return the error for an archive that is damaged."""
    reason = str(error) or type(error).__name__
    return DatasetError(f"{path.name}: cannot be decompressed: {reason}")


def encoding_of(start: bytes) -> str:
    """Guess a text's encoding from its first bytes: byte order mark, UTF-8, or likeliest page."""
    for mark, name in _MARKS:
        if start.startswith(mark):
            return name
    if start[1:200:2].count(0) > len(start[1:200:2]) // 2:
        return "utf-16-le"
    if start[0:200:2].count(0) > len(start[0:200:2]) // 2:
        return "utf-16-be"
    try:
        codecs.getincrementaldecoder("utf-8")("strict").decode(start)
        return "utf-8"
    except UnicodeDecodeError:
        pass
    return next((page for page in _CODE_PAGES if _readable(start, page)), _CODE_PAGES[0])


def without_formulas(text: str) -> str:
    """Return a CSV text with the text of each cell such as ``="0012"`` in its place."""
    return _FORMULA.sub(r'"\1\2"', text)


def utf8(
    path: Path | MemoryFile,
    encoding: str,
    fold_blanks: bool,
    kept: Callable[[list[str]], list[str]] | None = None,
) -> Any:
    """Open the file as UTF-8 bytes for Arrow.

    Parameters
    ----------
    path
        The file.
    encoding
        Encoding of its text.
    fold_blanks
        Replace runs of blanks by one blank.
    kept
        Returns the lines to keep, given some of the lines at a time, in order.
    """
    file = open_bytes(path)
    if not fold_blanks and kept is None and encoding in ("utf-8", "utf-8-sig"):
        return CheckedFile(file)
    text = io.TextIOWrapper(file, encoding=encoding, newline=None)
    return _Lines(text, fold_blanks, kept)


class _Lines(ByteReader):
    """Read a text as UTF-8 bytes, whole lines at a time."""

    def __init__(
        self,
        text: io.TextIOWrapper,
        fold: bool,
        kept: Callable[[list[str]], list[str]] | None,
    ) -> None:
        self._text = text
        self._kept = kept
        self._fold = fold
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        wanted = size if size >= 0 else 1 << 62
        parts, have = [self._rest], len(self._rest)
        while have < wanted and (lines := self._text.readlines(1 << 20)):
            if self._fold:
                lines = [" ".join(line.split()) + "\n" for line in lines]
            if self._kept is not None:
                lines = self._kept(lines)
            parts.append("".join(lines).encode())
            have += len(parts[-1])
        whole = b"".join(parts)
        self._rest = whole[wanted:]
        return whole[:wanted]

    def close(self) -> None:
        self._text.close()
        super().close()


def _readable(start: bytes, page: str) -> bool:
    """Return whether a code page gives plausible words and signs: °C, not øC; Öl, not Ùl."""
    try:
        text = start.decode(page)
    except UnicodeDecodeError:
        return False
    if any(not c.isalpha() and not c.isascii() and c not in _SIGNS for c in text):
        return False
    for word in _WORD.findall(text):
        foreign = [c for c in word if not c.isascii() and c not in _SIGNS]
        if foreign and page in ("cp1252", "cp850") and 2 * len(foreign) > len(word):
            return False
        if foreign and page in ("cp1251", "cp866") and len(foreign) < len(word):
            return False
        if len(word) == 1 and word in "øØ" and page == "cp1252":
            return False  # DOS's degree sign
    return True


def _zipped(path: Path) -> IO[bytes]:
    with zipfile.ZipFile(path) as archive:  # stays open as long as its member is
        members = [
            name for name in archive.namelist()
            if not name.endswith("/") and not name.startswith("__MACOSX/")
        ]  # fmt: skip
        if "[Content_Types].xml" in members or "mimetype" in members:
            raise DatasetError(f"{path.name}: is a document, not text: save its table as CSV")
        if len(members) != 1:
            raise DatasetError(f"{path.name}: holds {len(members)} files, not one: unpack it first")
        if archive.getinfo(members[0]).flag_bits & 1:
            raise DatasetError(f"{path.name}: is encrypted: unpack it first")
        try:
            return archive.open(members[0])
        except NotImplementedError as error:
            reason = str(error).casefold()
            raise DatasetError(
                f"{path.name}: cannot be decompressed ({reason}): unpack it first"
            ) from None
