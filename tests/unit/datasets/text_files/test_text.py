"""A file's bytes as text: compression, byte order mark, code page, runs of blanks."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zipfile
from pathlib import Path

import pytest
import zstandard

from datasets.text_files.text import SAMPLE_BYTES, encoding_of, open_bytes, sample, utf8
from errors import DatasetError

TEXT = "Zeit;Temperatur [°]\n1;21\n"


def zipped(path: Path, members: list[str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in members:
            archive.writestr(name, TEXT)
    return path


@pytest.mark.parametrize(
    "compress",
    [bytes, gzip.compress, bz2.compress, lzma.compress, zstandard.ZstdCompressor().compress],
)
def test_compression_is_known_by_the_first_bytes(tmp_path, compress):
    path = tmp_path / "readings.csv"
    path.write_bytes(compress(TEXT.encode()))
    assert sample(path) == (TEXT.encode(), True)


def test_an_archive_holds_one_file(tmp_path):
    with open_bytes(zipped(tmp_path / "one.zip", ["a.csv", "__MACOSX/._a.csv"])) as file:
        assert file.read() == TEXT.encode()
    with pytest.raises(DatasetError, match="holds 2 files, not one"):
        open_bytes(zipped(tmp_path / "two.zip", ["a.csv", "b.csv"]))
    for part in ("[Content_Types].xml", "mimetype"):
        with pytest.raises(DatasetError, match="is a document, not text: save its table as CSV"):
            open_bytes(zipped(tmp_path / "sheet.csv", [part, "a.xml"]))


def test_damage_is_an_error_that_names_the_file(tmp_path):
    path = tmp_path / "cut.csv.gz"
    path.write_bytes(gzip.compress(TEXT.encode() * 99)[:-9])
    with pytest.raises(DatasetError, match=r"^cut.csv.gz: cannot be decompressed"):
        sample(path)


def test_a_large_file_is_only_sampled(tmp_path):
    path = tmp_path / "large.csv"
    path.write_bytes(b"x" * (SAMPLE_BYTES + 1))
    assert sample(path) == (b"x" * SAMPLE_BYTES, False)


@pytest.mark.parametrize(
    ("encoding", "found"),
    [("utf-8", "utf-8"), ("utf-8-sig", "utf-8-sig"), ("utf-16", "utf-16"),
     ("utf-16-le", "utf-16-le"), ("utf-16-be", "utf-16-be"),
     ("cp1252", "cp1252"), ("cp850", "cp850")],
)  # fmt: skip
def test_the_encoding_is_known_by_its_mark_or_by_what_makes_words(encoding, found):
    assert encoding_of(TEXT.encode(encoding)) == found


def test_arrow_gets_utf8_with_one_blank_between_fields(tmp_path):
    path = tmp_path / "blanks.txt"
    path.write_bytes("a   °b\n1 \t 2\n".encode("cp1252"))
    with utf8(path, "cp1252", True) as file:
        assert file.read(4) + file.read() == "a °b\n1 2\n".encode()
