"""Read the JSON objects of a file one after another: JSON Lines, an array, or objects on end."""

from __future__ import annotations

import codecs
import io
import json
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import IO, Any, Final

import orjson

from datasets.text_files.text import utf8
from datasets.unreadable import Unreadable
from errors import DatasetError

Document = dict[str, Any]
Numbered = tuple[int, Document]
_BLOCK_LINES: Final = 2000  # lines parsed at a time
_PART: Final = 1 << 20  # bytes read at a time
#: What stands around a line: blanks, a mark of byte order, zeros of a logger that lost power, and
#: commas or brackets that make the lines an array.
_AROUND: Final = b" \t\r\n\0\x1a\xef\xbb\xbf"
_GAPS: Final = " \t\r\n\0\x1a\ufeff,\x1e"
#: Keys and values of a consumer that prints them stand before the message, each with a tab.
_MESSAGE: Final = b"\t{"


def is_json(start: bytes) -> bool:
    """Return whether the first bytes of a file begin a JSON object, or an array of them."""
    start = start[: 1 << 16].replace(b"\0", b"").lstrip(_AROUND + b"\xfe\xff")  # UTF-16 too
    if _MESSAGE + b'"' in start.partition(b"\n")[0]:
        return True
    rest = start[1:].lstrip(_AROUND)
    return (start[:1] == b"{" and rest[:1] in (b'"', b"}")) or (
        start[:1] == b"[" and rest[:1] in (b"{", b"]")
    )


def documents(path: Path, encoding: str, odd: Unreadable) -> Iterator[Numbered]:
    """Yield the objects of a file with their numbers; memory does not grow with the file.

    Parameters
    ----------
    path
        The file, which may be compressed.
    encoding
        Encoding of its text.
    odd
        Receives what is no object, by its number in the file from 1. In JSON Lines that is the
        number of the line, not counting empty lines.

    Raises
    ------
    DatasetError
        The file is an array that is damaged before its end.
    """
    with io.BufferedReader(utf8(path, encoding, False), _PART) as file:
        first = list(islice((line for line in file if line.strip(_AROUND)), 2))
        heads = [line.strip(_AROUND) for line in first]
        if heads and heads[0][:1] != b"[" and any(_MESSAGE in h or _is_whole(h) for h in heads):
            yield from _lines(first, file, odd)
        else:
            yield from _values(b"".join(first), file, odd)


def _is_whole(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _lines(first: list[bytes], file: IO[bytes], odd: Unreadable) -> Iterator[Numbered]:
    block, row = first, 0
    while block:
        lines = [line for line in (line.strip(_AROUND) for line in block) if line]
        for document in _parsed(lines) or (_line(line) for line in lines):
            row += 1
            if isinstance(document, DatasetError):
                odd.add(row, DatasetError(f"row {row} {document.message}"))
            else:
                yield row, document
        block = list(islice(file, _BLOCK_LINES))


def _parsed(lines: list[bytes]) -> list[Document] | None:
    """Parse many lines at once; None if each must be looked at."""
    whole = b",".join(lines)
    try:
        found = orjson.loads(b"[%b]" % whole)
        if set(map(type, found)) != {dict}:
            return None
        keys = sum(map(_keys, found))
    except (orjson.JSONDecodeError, RecursionError):
        return None
    # orjson keeps the last of equal keys, which shows in the number of keys
    return found if len(found) == len(lines) and whole.count(b'":') == keys else None


def _keys(document: Document) -> int:
    """Return the number of keys of an object and those in it."""
    return len(document) + sum(_keys(inner) for inner in document.values() if type(inner) is dict)


def _line(line: bytes) -> Document | DatasetError:
    """Parse one line; return what is wrong with it, if anything."""
    if line[:1] != b"{" and _MESSAGE in line:
        line = line[line.index(_MESSAGE) + 1 :]
    try:
        text = line.decode().strip(_GAPS)
        document, end = _Decoder().raw_decode(text)
        if text[end:].strip(_GAPS):
            raise ValueError(f"more follows at character {end + 1}")
    except (ValueError, RecursionError) as error:
        return DatasetError(f"is no JSON ({_why(error)}): {line[:60].decode(errors='replace')!r}")
    return _checked(document)


def _why(error: Exception) -> str:
    return error.msg if isinstance(error, json.JSONDecodeError) else str(error)


def _checked(document: Any) -> Document | DatasetError:
    """Return an object that can be read; else what is wrong with it."""
    if type(document) is not dict:
        return DatasetError(f"is no JSON object: {json.dumps(document)[:60]}")
    if _Decoder.TWICE in document:
        return DatasetError(f"has the key {document[_Decoder.TWICE]!r:.80} twice")
    try:
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return DatasetError("has half a character (a lone surrogate) in a text")
    except RecursionError:
        return DatasetError("holds objects in objects without end")
    return document


class _Decoder(json.JSONDecoder):
    """Python's decoder, which reads NaN too, and marks objects with a key that occurs twice."""

    TWICE: Final = "\0twice"

    def __init__(self) -> None:
        super().__init__(object_pairs_hook=self._object)

    def _object(self, pairs: list[tuple[str, Any]]) -> Document:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            found[self.TWICE] = next(name for name in names if names.count(name) > 1)
        for inner in found.values():
            if type(inner) is dict and self.TWICE in inner:
                found[self.TWICE] = inner[self.TWICE]
                break
        return found


def _values(first: bytes, file: IO[bytes], odd: Unreadable) -> Iterator[Numbered]:
    """Yield the elements of an array of objects, or objects that go over several lines."""
    decoder = _Decoder()
    utf = codecs.getincrementaldecoder("utf-8")()
    buffer = utf.decode(first + file.read(_PART)).lstrip(_GAPS).removeprefix("[")
    at = row = 0
    size = _PART
    while True:
        while at < len(buffer) and buffer[at] in _GAPS:
            at += 1
        try:
            document, end = decoder.raw_decode(buffer, at)
            at, size, row = end, _PART, row + 1
        except (ValueError, RecursionError) as error:
            if more := file.read(size):  # read ever more, since a single object may be large
                buffer, at, size = buffer[at:] + utf.decode(more), 0, 2 * size
                continue
            rest = buffer[at:].strip(_GAPS)
            if rest and rest != "]":
                _end(row + 1, rest, error, odd)
            return
        found = _checked(document)
        if isinstance(found, DatasetError):
            odd.add(row, DatasetError(f"row {row} {found.message}"))
        else:
            yield row, found


def _end(row: int, rest: str, error: Exception, odd: Unreadable) -> None:
    """Record an array's last object if it is cut short; refuse an array damaged before its end."""
    if re.match(r"\]\s*\[", rest):
        raise DatasetError(
            f"holds several arrays on end, the second from object {row} on: jq -s add joins them,"
            " or save each as a file"
        )
    problem = DatasetError(f"row {row} is no JSON ({_why(error)}): {rest[:60]!r}")
    if row == 1 or "}" in rest.rstrip("}] \r\n\t"):
        raise problem
    odd.add(row, problem)
