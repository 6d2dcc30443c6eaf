"""Decompress a batch in chunks, so that a small batch cannot fill the memory."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import lz4.frame
import snappy
import zstandard

CHUNK = 256 * 1024  # bytes decompressed at a time
_XERIAL = b"\x82SNAPPY\x00"
_XERIAL_HEAD = 16  # bytes: the mark, and two versions of four bytes each


_ERRORS = (zlib.error, zstandard.ZstdError, RuntimeError, snappy.UncompressError, OSError)


class InflateError(ValueError):
    """The bytes do not match their declared compression or size."""


def chunks(codec: int, data: bytes, max_bytes: int) -> Iterator[bytes]:
    """Decompress ``data`` with the codec of this Kafka number.

    Parameters
    ----------
    max_bytes : int
        Maximum size of one decompressed block, for formats that are decompressed by whole blocks.

    Raises
    ------
    InflateError
    """
    if codec not in _CODECS:
        raise InflateError(f"compressed with codec {codec}, which is unknown")
    try:
        yield from _CODECS[codec](data, max_bytes)
    except _ERRORS as error:
        raise InflateError(f"cannot be inflated ({str(error)[:200]})") from None


def _plain(data: bytes, max_bytes: int) -> Iterator[bytes]:
    yield data


def _gzip(data: bytes, max_bytes: int) -> Iterator[bytes]:
    while data:  # there may be several members
        inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)
        while not inflater.eof:
            part = inflater.decompress(data, CHUNK)
            data = inflater.unconsumed_tail
            if part:
                yield part
            elif not data and not inflater.eof:
                raise InflateError("cannot be inflated (it ends too early)")
        data = inflater.unused_data


def _snappy(data: bytes, max_bytes: int) -> Iterator[bytes]:
    if not data.startswith(_XERIAL):
        yield _snappy_block(data, max_bytes)
        return
    at = _XERIAL_HEAD
    while at < len(data):
        end = at + 4 + int.from_bytes(data[at : at + 4], "big")
        yield _snappy_block(data[at + 4 : end], max_bytes)
        at = end


def _snappy_block(data: bytes, max_bytes: int) -> bytes:
    size = shift = 0
    for byte in data[:5]:
        size |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    if size > max_bytes:
        raise InflateError(f"a block inflates to {size} bytes; at most {max_bytes} are allowed")
    return bytes(snappy.decompress(data))


def _lz4(data: bytes, max_bytes: int) -> Iterator[bytes]:
    while data:
        inflater = lz4.frame.LZ4FrameDecompressor()
        while not inflater.eof:
            part = inflater.decompress(data, max_length=CHUNK)
            data = b""  # the decompressor keeps the unused rest
            if part:
                yield part
            elif inflater.needs_input:
                raise InflateError("cannot be inflated (it ends too early)")
        data = inflater.unused_data or b""


def _zstd(data: bytes, max_bytes: int) -> Iterator[bytes]:
    with zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True) as reader:
        while part := reader.read(CHUNK):
            yield part


_CODECS = {0: _plain, 1: _gzip, 2: _snappy, 3: _lz4, 4: _zstd}
