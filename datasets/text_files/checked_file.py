"""Read a file that should be UTF-8, and name the line of the first byte that is not."""

from __future__ import annotations

import codecs
import io
from typing import IO, Any, Final

from errors import DatasetError

#: Bytes shown before and behind the one that is not UTF-8.
_AROUND: Final = 15


class ByteReader(io.RawIOBase):
    """A readable file whose subclasses need only ``read``."""

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read bytes into a buffer; see ``read``."""
        found = self.read(len(buffer))
        buffer[: len(found)] = found
        return len(found)


class CheckedFile(ByteReader):
    """Pass on a file's bytes as long as they are UTF-8.

    Arrow, which reads them, would tell neither the line nor, in a line that it cannot split, that
    this is the cause.

    Parameters
    ----------
    file
        The file, open for reading; it is closed with this one.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._lines = 0

    def read(self, size: int = -1) -> bytes:
        """Read bytes; raise `DatasetError` at the first that are not UTF-8."""
        found = self._file.read(size)
        try:
            self._decoder.decode(found, final=not found)
        except UnicodeDecodeError as error:
            before, after = error.object[: error.start], error.object[error.start :]
            line = self._lines + before.count(b"\n") + 1
            near = before[-_AROUND:].rpartition(b"\n")[2] + after[:_AROUND].partition(b"\n")[0]
            raise DatasetError(
                f"line {line} has {near.decode('cp1252', 'replace').strip()!r}, which is not"
                " UTF-8 as the text before it: --encoding gives the file's encoding, as cp1252",
                field="encoding",
            ) from None
        self._lines += found.count(b"\n")
        return found

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()
