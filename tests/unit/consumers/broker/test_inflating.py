"""A compressed batch a chunk at a time: all of it, bounded, and its damage by name."""

from __future__ import annotations

import gzip
from collections.abc import Callable

import lz4.frame
import pytest
import snappy
import zstandard

from consumers.broker.inflating import CHUNK, InflateError, chunks

PLAIN = b"0123456789abcdef" * (CHUNK // 8)  # two chunks of it


def xerial(data: bytes) -> bytes:
    """Snappy as the Java client frames it: a header, then blocks behind their lengths."""
    half = len(data) // 2
    blocks = [snappy.compress(part) for part in (data[:half], data[half:])]
    head = b"\x82SNAPPY\x00" + bytes(8)
    return head + b"".join(len(block).to_bytes(4, "big") + block for block in blocks)


FORMS: dict[str, tuple[int, Callable[[bytes], bytes]]] = {
    "none": (0, bytes),
    "gzip": (1, gzip.compress),
    "gzip members": (1, lambda data: gzip.compress(data[:9]) + gzip.compress(data[9:])),
    "snappy": (2, lambda data: bytes(snappy.compress(data))),
    "xerial": (2, xerial),
    "lz4": (3, lz4.frame.compress),
    "zstd": (4, lambda data: zstandard.ZstdCompressor().compress(data)),
}


@pytest.mark.parametrize("form", FORMS)
def test_what_comes_out_is_what_went_in(form):
    codec, compress = FORMS[form]
    assert b"".join(chunks(codec, compress(PLAIN), len(PLAIN))) == PLAIN


@pytest.mark.parametrize("form", ["gzip", "lz4", "zstd"])
def test_a_stream_is_inflated_in_pieces_of_a_bounded_size(form):
    codec, compress = FORMS[form]
    parts = list(chunks(codec, compress(PLAIN), 1))
    assert len(parts) > 1
    assert max(map(len, parts)) <= CHUNK


def test_a_block_that_would_fill_the_memory_is_refused_before_it_is_inflated():
    bomb = bytes(snappy.compress(bytes(10**7)))
    with pytest.raises(InflateError, match="inflates to 10000000 bytes; at most 1000"):
        list(chunks(2, bomb, 1000))


@pytest.mark.parametrize("form", ["gzip", "snappy", "lz4", "zstd"])
@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"x" + data])
def test_damage_is_an_error_of_ours(form, damage):
    codec, compress = FORMS[form]
    damaged = damage(compress(bytes(range(256)) * 40))
    try:
        found = b"".join(chunks(codec, damaged, 10**6))
    except InflateError:
        return
    assert form == "zstd"  # which ends quietly where its bytes do; the batch then lacks records
    assert len(found) < 256 * 40


def test_a_codec_that_nobody_knows_is_named():
    with pytest.raises(InflateError, match="codec 7"):
        list(chunks(7, b"", 1))
